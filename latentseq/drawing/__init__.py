"""Pictures and films out."""
