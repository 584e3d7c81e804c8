"""Natural images for pretraining: MNIST and CIFAR-10 from the files in which they are distributed."""

from mpmri_monai.natural.embeddings import draw_embeddings
from mpmri_monai.natural.images import DATASETS, NaturalImages, read_images
from mpmri_monai.natural.loader import NaturalDataset, NaturalEvaluationLoader, NaturalTrainingLoader

__all__ = [
    "DATASETS",
    "NaturalDataset",
    "NaturalEvaluationLoader",
    "NaturalImages",
    "NaturalTrainingLoader",
    "draw_embeddings",
    "read_images",
]
