"""What the header of a file says: elements, vendors' private ones, frames of multi-frame files."""
