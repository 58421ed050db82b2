"""The built-in plugins, one in each file. They use the same entry points as all other plugins."""
