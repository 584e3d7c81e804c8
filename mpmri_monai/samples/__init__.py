"""Volumes and masks in, samples out: taken at acquired positions, stored once."""

from mpmri_monai.samples.preparation import prepare, stores_kept
from mpmri_monai.samples.sample import Sample
from mpmri_monai.samples.settings import Grid, Settings
from mpmri_monai.samples.store import Store
from mpmri_monai.samples.study import sample_study

__all__ = ["Grid", "Sample", "Settings", "Store", "prepare", "sample_study", "stores_kept"]
