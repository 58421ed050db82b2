"""Ingestion: from files to a folder of clips. It plans tasks, does them, and assembles the results."""
