"""An answer for a new study: a DICOM folder and a lesion mask in, probabilities and a picture out."""

from mpmri_monai.inference.answer import AnswerWriter
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.study import StudyDataset, describe_study

__all__ = ["AnswerWriter", "StudyDataset", "TrainedModel", "describe_study"]
