"""Draws and writes pictures, charts and videos."""
