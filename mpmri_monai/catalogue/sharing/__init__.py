"""Copies of studies without identifiers."""
