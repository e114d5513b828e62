"""A small CRM with WhatsApp messages in it, and what it took to show their media: see README.md beside this file."""
