"""The Kademlia table in which peers find relays and each other. Knows datagrams; nothing of rooms or messages."""
