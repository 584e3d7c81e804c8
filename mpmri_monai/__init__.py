"""From multi-parametric MRI studies to honestly validated lesion classifiers. Research use only."""

__version__ = "0.1.0"
