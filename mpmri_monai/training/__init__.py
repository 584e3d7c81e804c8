"""Training by MONAI's engines on Ignite: data on the device, reproducible epochs, a run that can be killed."""

from mpmri_monai.training.checkpoint import Checkpoint
from mpmri_monai.training.dataset import SampleData, SampleDataset
from mpmri_monai.training.determinism import pin_threads, seed_everything
from mpmri_monai.training.fine_tuning import GradualUnfreezing, parameter_groups
from mpmri_monai.training.gradients import GradientClipping
from mpmri_monai.training.history import EarlyStop, History
from mpmri_monai.training.inferer import Inferer, lay_out
from mpmri_monai.training.loader import EvaluationLoader, TrainingLoader, check_balance, prepare_batch
from mpmri_monai.training.metrics import MacroAUC, larger_unless_nan
from mpmri_monai.training.prediction import AveragingInferer, predict, prediction_rows
from mpmri_monai.training.progress import Progress
from mpmri_monai.training.trainer import Trainer

__all__ = [
    "AveragingInferer",
    "Checkpoint",
    "EarlyStop",
    "EvaluationLoader",
    "GradientClipping",
    "GradualUnfreezing",
    "History",
    "Inferer",
    "MacroAUC",
    "Progress",
    "SampleData",
    "SampleDataset",
    "Trainer",
    "TrainingLoader",
    "check_balance",
    "larger_unless_nan",
    "lay_out",
    "parameter_groups",
    "pin_threads",
    "predict",
    "prediction_rows",
    "prepare_batch",
    "seed_everything",
]
