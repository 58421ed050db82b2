"""Reads footage: videos, images, arrays, TFRecord files and sound."""
