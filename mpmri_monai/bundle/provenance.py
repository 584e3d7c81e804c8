"""Which patients weights have seen, themselves or in what they started from: salted hashes that travel with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpmri_monai import artefacts
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.evaluation.fitted import new_salt, salted

SCRATCH = "scratch"
WEIGHTS = "pretrained"
"""Under which the record of a run keeps the sha256 of the weights that it began with."""
SALT_STREAM = 2
"""Sets the salt of the training patients apart from other random numbers of the same seed."""

Seen = Sequence[Mapping[str, Any]]
"""One entry for each cohort: ``salt``, and ``patients``, the sha256 in hex of the salt and a patient's code."""


def seen_in_training(cohort: CohortData, pretrained: str) -> list[dict[str, Any]] | None:
    """Return whom the weights of a run have seen: its patients of train and val, and those of its pretraining.

    None when it is not known whom the pretraining saw.
    """
    before = seen_by(pretrained)
    if before is None:
        return None
    roles = cohort.row_roles
    patients = sorted(set(cohort.usable.loc[roles.isin(["train", "val"]), "patient"]))
    salt = new_salt(np.random.default_rng([cohort.seed, SALT_STREAM]))
    return [{"salt": salt, "patients": sorted(salted(salt, patient) for patient in patients)}, *before]


def seen_by(pretrained: str) -> list[dict[str, Any]] | None:
    """Return whom the weights ``pretrained`` have seen, as the reference beside them says; None when it does not say.

    That is ``reference.json`` or, where several weights lie in one folder, the JSON file with the name of the weights.
    A reference counts only if it is about these very weights.
    """
    if pretrained == SCRATCH:
        return []
    weights = Path(pretrained)
    for reference in (weights.parent / "reference.json", weights.with_suffix(".json")):
        seen = _seen_in(reference, weights)
        if seen is not None:
            return seen
    return None


def _seen_in(reference: Path, weights: Path) -> list[dict[str, Any]] | None:
    """Return what the file ``reference`` says of ``weights``; None when it is missing, damaged or about others."""
    try:
        content = artefacts.read_json(reference)
        if content["weights_sha256"] != artefacts.file_digest(weights):
            return None
        return [{"salt": str(one["salt"]), "patients": list(one["patients"])} for one in content["trained_on"]["seen"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def weights_digest(pretrained: str) -> str | None:
    """Return the sha256 of the weights ``pretrained``; None from scratch, or when there is no such file."""
    try:
        return None if pretrained == SCRATCH else artefacts.file_digest(pretrained)
    except OSError:
        return None


def count_seen(seen: Seen, patients: Iterable[str]) -> int:
    """Return how many of ``patients`` are among those that were seen."""
    known = [(str(one["salt"]), set(one["patients"])) for one in seen]
    return sum(any(salted(salt, patient) in hashes for salt, hashes in known) for patient in set(patients))
