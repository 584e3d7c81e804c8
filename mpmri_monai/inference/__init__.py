"""An answer for a new study: its images and the place of a lesion in, probabilities, reasons and pictures out."""

from mpmri_monai.inference.answer import AnswerWriter
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.study import DescribedDataset, DescribedStudy, StudyDataset, describe_study

__all__ = ["AnswerWriter", "DescribedDataset", "DescribedStudy", "StudyDataset", "TrainedModel", "describe_study"]
