"""Metrics of predictions: arrays in, numbers and tables out."""
