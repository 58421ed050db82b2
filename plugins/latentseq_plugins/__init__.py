"""The built-in plugins, one a file; installed over the same entry points as anybody's."""
