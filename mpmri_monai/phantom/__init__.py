"""The digital reference cohort: liver MRI whose anatomy, physics and class information are known exactly."""

from mpmri_monai.phantom.cohort import write_cohort
from mpmri_monai.phantom.presets import PRESETS, Preset
from mpmri_monai.phantom.study import HeldOutStudy, write_study

__all__ = ["PRESETS", "HeldOutStudy", "Preset", "write_cohort", "write_study"]
