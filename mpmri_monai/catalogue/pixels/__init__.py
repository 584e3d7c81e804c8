"""Stored pixels of images, native and compressed."""
