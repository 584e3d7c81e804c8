"""Predictions table -> metrics, intervals and the baseline to beat. Neither torch nor monai is needed."""

from mpmri_monai.evaluation.baseline import roi_baseline
from mpmri_monai.evaluation.calibration import calibrate, read_fitted
from mpmri_monai.evaluation.comparison import compare, compare_many
from mpmri_monai.evaluation.coverage import coverage
from mpmri_monai.evaluation.delong import delong_interval, delong_test
from mpmri_monai.evaluation.exact import clopper_pearson, holm, mcnemar, permutation_p
from mpmri_monai.evaluation.fitted import Fitted
from mpmri_monai.evaluation.operating_points import operating_points
from mpmri_monai.evaluation.optimism import optimism
from mpmri_monai.evaluation.predictions import class_names, read_predictions, write_predictions
from mpmri_monai.evaluation.ranking import inner_fits, ranking
from mpmri_monai.evaluation.repeats_summary import over_epochs, retraining, roc_band
from mpmri_monai.evaluation.results import evaluate
from mpmri_monai.evaluation.table import metrics_table

__all__ = [
    "Fitted",
    "calibrate",
    "class_names",
    "clopper_pearson",
    "compare",
    "compare_many",
    "coverage",
    "delong_interval",
    "delong_test",
    "evaluate",
    "holm",
    "inner_fits",
    "mcnemar",
    "metrics_table",
    "operating_points",
    "optimism",
    "over_epochs",
    "permutation_p",
    "ranking",
    "read_fitted",
    "read_predictions",
    "retraining",
    "roc_band",
    "roi_baseline",
    "write_predictions",
]
