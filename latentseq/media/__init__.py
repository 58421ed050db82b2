"""Reading and writing video and images."""
