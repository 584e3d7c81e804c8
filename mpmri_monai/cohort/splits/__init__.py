"""Splits: which patient trains, validates and tests. Nothing else in the project divides patients."""

from mpmri_monai.cohort.splits.schemes import holdout, kfold, leave_one_patient_out, leave_one_site_out
from mpmri_monai.cohort.splits.settings import SplitSettings
from mpmri_monai.cohort.splits.table import (
    COLUMNS,
    NOT_DISJOINT,
    OUTER_FIT,
    ROLES,
    UNITS,
    check_splits,
    read_splits,
    roles_of,
    row_roles,
    splits_digest,
    write_splits,
)
from mpmri_monai.cohort.splits.units import patient_table, unit_table

__all__ = [
    "COLUMNS",
    "NOT_DISJOINT",
    "OUTER_FIT",
    "ROLES",
    "UNITS",
    "SplitSettings",
    "check_splits",
    "holdout",
    "kfold",
    "leave_one_patient_out",
    "leave_one_site_out",
    "patient_table",
    "read_splits",
    "roles_of",
    "row_roles",
    "splits_digest",
    "unit_table",
    "write_splits",
]
