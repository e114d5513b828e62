"""The way of media to the screen: request → message → source → Graph → S3 → signed → redirect."""
