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
from mpmri_monai.cohort.permutation import permuted_labels
from mpmri_monai.cohort.splits import (
    NOT_DISJOINT,
    OUTER_FIT,
    ROLES,
    SplitSettings,
    check_splits,
    holdout,
    kfold,
    leave_one_patient_out,
    leave_one_site_out,
    patient_table,
    read_splits,
    roles_of,
    row_roles,
    splits_digest,
    unit_table,
    write_splits,
)

__all__ = [
    "NOT_DISJOINT",
    "OUTER_FIT",
    "ROLES",
    "DicomImage",
    "Finding",
    "Inspection",
    "Lesion",
    "Manifest",
    "Region",
    "SplitSettings",
    "Study",
    "build_manifest",
    "check_manifest",
    "check_splits",
    "holdout",
    "inspect_study",
    "kfold",
    "leave_one_patient_out",
    "leave_one_site_out",
    "load_manifest",
    "parse_manifest",
    "patient_table",
    "permuted_labels",
    "read_splits",
    "refuse_shared_images",
    "roles_of",
    "row_roles",
    "save_manifest",
    "splits_digest",
    "unit_table",
    "write_splits",
]
