"""Predictions table -> metrics, intervals and the baseline to beat. Neither torch nor monai is needed."""

from mpmri_monai.evaluation.baseline import roi_baseline
from mpmri_monai.evaluation.predictions import class_names, read_predictions, write_predictions
from mpmri_monai.evaluation.results import evaluate
from mpmri_monai.evaluation.table import metrics_table

__all__ = [
    "class_names",
    "evaluate",
    "metrics_table",
    "read_predictions",
    "roi_baseline",
    "write_predictions",
]
