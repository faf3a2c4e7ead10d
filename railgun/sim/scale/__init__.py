"""What grows, and what does not, when a network has 100, 1,000 or 10,000 relays."""
