"""DATA to a dataset, its splits, its windows."""
