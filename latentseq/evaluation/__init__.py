"""Measuring predictions."""
