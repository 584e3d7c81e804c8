"""Studies -> manifest; splits; the leak rules. No voxels are read here."""

from mpmri_monai.cohort.build import Finding, build_manifest
from mpmri_monai.cohort.check import Inspection, check_manifest, inspect_study
from mpmri_monai.cohort.leaks import refuse_shared_images
from mpmri_monai.cohort.manifest import (
    DicomImage,
    Lesion,
    Manifest,
    Region,
    Study,
    load_manifest,
    parse_manifest,
    save_manifest,
)
from mpmri_monai.cohort.splits import (
    ROLES,
    holdout,
    kfold,
    patient_table,
    read_splits,
    roles_of,
    splits_digest,
    write_splits,
)

__all__ = [
    "ROLES",
    "DicomImage",
    "Finding",
    "Inspection",
    "Lesion",
    "Manifest",
    "Region",
    "Study",
    "build_manifest",
    "check_manifest",
    "holdout",
    "inspect_study",
    "kfold",
    "load_manifest",
    "parse_manifest",
    "patient_table",
    "read_splits",
    "refuse_shared_images",
    "roles_of",
    "save_manifest",
    "splits_digest",
    "write_splits",
]
