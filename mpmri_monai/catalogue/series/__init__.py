"""Images of a series: which belong to one volume, and in which order volumes were made."""
