"""What agents read: who asks → which conversation → listed → read by key → answered."""
