"""How a cohort is divided, and which of the fits this is: the ``split`` group of a bundle's configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mpmri_monai.cohort.splits.schemes import holdout, kfold, leave_one_patient_out, leave_one_site_out
from mpmri_monai.cohort.splits.table import OUTER_FIT, check_splits, read_splits
from mpmri_monai.cohort.splits.units import unit_table
from mpmri_monai.errors import ConfigError

Count = Annotated[int, Field(ge=0)]


class SplitSettings(BaseModel):
    """The scheme, and the fit to train.

    Raises:
        ConfigError: an option is unknown, out of its range, or contradicts another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = ""
    """A splits.csv made elsewhere; nothing is drawn then."""
    unit: Literal["patient", "lesion", "sample"] = "patient"
    """What is divided. Lesions and samples replicate published protocols: the result is not patient-disjoint."""
    folds: Count = 0
    """0 for one holdout, or the number of folds in which every patient is tested once."""
    leave_out: Literal["", "patient", "site"] = ""
    """Test every patient, or every site, alone; outer fits are numbered in the order of their names."""
    inner_folds: Count = 0
    """Folds within the train and val patients of each outer fit, for choices that must not see its test patients."""
    test: float = 0.4
    """Share of the patients in a holdout's test set; 0.4 is the 3:2 of Jia et al. 2019."""
    val: float = 0.15
    """Share of the other patients that validates. Not used for lesions and samples: their test set validates."""
    train_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of those who would train, the share that does, drawn by worst class; the others have no role. Shares are nested,
    and nobody who validates or tests changes with it."""
    by_site: bool = False
    """Stratify by site as well as by worst class."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """Number of independent divisions that are made."""
    repeat: Count = 0
    """The repeat to train."""
    fold: Count = 0
    """The outer fold to train."""
    inner: Annotated[int, Field(ge=-1)] = -1
    """The inner fold to train, or -1 for the outer fit."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(
                expected="usable split settings",
                found=problems,
                fix=f"known are {', '.join(SplitSettings.model_fields)}",
            ) from error
        _refuse_contradictions(self)

    @property
    def replica(self) -> bool:
        """Whether patients are on both sides of the split, as in the protocols that this replicates."""
        return self.unit != "patient"

    @property
    def inner_name(self) -> str:
        """The fit's entry in the column ``inner``."""
        return OUTER_FIT if self.inner < 0 else str(self.inner)

    def table(self, rows: pd.DataFrame, classes: Sequence[str], patients: Iterable[str], seed: int) -> pd.DataFrame:
        """Return the splits table: as read from the file, or made for these rows and this seed.

        Args:
            rows: labelled samples: patient, lesion, sample, label, site.
            classes: in order, the last one the worst.
            patients: all patients of the cohort, whom a file may name.
            seed: of the draws.

        Raises:
            ManifestError, SplitError, LeakageError: the file is not usable, or the cohort cannot be divided so.
        """
        if self.file:
            splits = read_splits(Path(self.file))
            check_splits(splits, patients, self.unit)
            return splits
        units = unit_table(rows, classes, self.unit)
        common = {
            "val": 0.0 if self.replica else self.val,
            "repeats": self.repeats,
            "by_site": self.by_site,
            "inner_folds": self.inner_folds,
            "train_share": self.train_share,
            "seed": seed,
        }
        if self.leave_out:
            leave_one_out = leave_one_patient_out if self.leave_out == "patient" else leave_one_site_out
            return leave_one_out(units, **common)
        if self.folds:
            return kfold(units, folds=self.folds, **common)
        return holdout(units, test=self.test, **common)


def _refuse_contradictions(split: SplitSettings) -> None:
    made = {name: getattr(split, name) for name in ("folds", "leave_out", "inner_folds") if getattr(split, name)}
    if split.folds and split.leave_out:
        found = f"split#folds {split.folds} and split#leave_out {split.leave_out}"
        raise ConfigError(expected="folds or leave_out", found=found, fix="leave one of them out")
    if split.replica and (split.leave_out or split.inner_folds):
        raise ConfigError(
            expected="leave_out and inner_folds of patients",
            found=f"split#unit {split.unit} with {', '.join(f'{name} {value}' for name, value in made.items())}",
            fix=f"{split.unit}s are divided by holdout or folds only, to replicate published protocols",
        )
    if split.file and split.train_share < 1:
        raise ConfigError(
            expected="split#file or split#train_share",
            found=f"both: {split.train_share}",
            fix="leave patients out of the file, whose roles count as they are",
        )
    if split.inner >= 0 and not split.file and split.inner >= split.inner_folds:
        raise ConfigError(
            expected=f"split#inner below split#inner_folds ({split.inner_folds}), or -1",
            found=str(split.inner),
            fix="raise --split#inner_folds",
        )
