"""From files to a folder of clips: what is to be done, doing it, and putting the results together."""
