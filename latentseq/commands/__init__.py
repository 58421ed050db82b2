"""What users call: one file a command, of the command's name."""
