"""Whether a cohort looks like the one that a model was trained on: intensities, geometry, sequences and case mix.

Of the training cohort only what its reference tells is known: the smallest and the largest value, and counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import betabinom, chi2_contingency

from mpmri_monai.evaluation.exact import holm
from mpmri_monai.evaluation.levels import UNIT

SIGNIFICANT = 0.05
"""Below this, after Holm's correction over all that was looked at, chance is no explanation."""

COLUMNS = {"signal": "signal", "offset_mm": "offset"}
"""Column, before ``_<sequence>``, that holds a quantity which the reference has by sequence."""
DECIMALS = 4
"""Digits of the reference's ranges."""
TIMING = "timing"
"""The quantity that is of studies, not of samples."""
WORDS = {
    "extent_mm": "extent of the lesions [mm]",
    "pitch_mm": "pixel pitch of the network's crops [mm]",
    "offset_mm": "distance of the acquired slice [mm]",
    "signal": "signal in the lesion, before normalisation",
    TIMING: "seconds since the first phase",
}


def shifts(
    rows: pd.DataFrame,
    reference: Mapping[str, Any],
    fusion: Sequence[str],
    times_s: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Compare the samples of a cohort with what the reference says of the training cohort.

    If the patients of both were drawn alike, a new one lies beyond the smallest or largest of n values with a chance
    that is Beta(2, n - 1) distributed, so that the number beyond among m is beta-binomial; p is the chance of as many
    as were found. Values of one patient count once. Of a sequence n is as many of the training patients as the share of
    samples in which it was there.

    Args:
        rows: of the store's table, with ``label``.
        reference: of the weights.
        fusion: the sequences that the network sees; others do not matter.
        times_s: by sequence when it was acquired in each study, seconds since the study's first phase; None or without
            a sequence where that is not known.

    Returns:
        ``{"ranges": [{"quantity", "words", "sequence", "training": [low, high], "here": [low, high], "outside",
        "patients", "p", "p_holm", "shifted"}], "sequences": [{"sequence", "training", "here", "shifted"}],
        "case_mix": {"training", "here", "p", "p_holm", "shifted"}}``; ``here`` and ``training`` of sequences are shares
        of the samples that show them. In ``case_mix`` they are lesions per class, compared by a chi-squared test as if
        the lesions of a patient were all alike and counted once, which is cautious; p is None where a class is in
        neither.
    """
    trained_on = reference.get("trained_on", {})
    count = int(trained_on.get("patients", 0))
    if not same_start(reference["ranges"].get(TIMING, {}), times_s or {}):
        times_s = None
    found = []
    for quantity, sequence, limits in _limits(reference["ranges"], fusion):
        values = (
            _of_studies((times_s or {}).get(sequence, ()))
            if quantity == TIMING
            else _of_patients(rows, quantity, sequence)
        )
        if not values.empty:
            seen = 1.0 if sequence is None else reference["present"].get(sequence, 1.0)
            found.append(_range(values, quantity, sequence, limits, round(count * seen)))
    case_mix = _case_mix(rows, reference["classes"], trained_on.get("lesions_per_class", {}), count)
    tested = [*found, case_mix]
    for one, corrected in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = corrected
        one["shifted"] = corrected is not None and corrected < SIGNIFICANT
    return {
        "ranges": found,
        "sequences": [_presence(rows, name, reference["present"].get(name)) for name in fusion],
        "case_mix": case_mix,
    }


def same_start(timing: Mapping[str, Sequence[float]], times_s: Mapping[str, Any]) -> bool:
    """Return whether seconds here count from the phase from which they counted in training.

    They do not where that phase is missing: another one is the first then.

    Args:
        timing: of the reference, by sequence the earliest and the latest.
        times_s: by sequence what is known here; all sequences, not those of the fusion alone.
    """
    first = {name for name, limits in timing.items() if len(limits) == 2 and limits[1] == 0}
    return not first or bool(first & set(times_s))


def _limits(ranges: Mapping[str, Any], fusion: Sequence[str]) -> list[tuple[str, str | None, Sequence[float]]]:
    """Return quantity, sequence (None where it is of all) and training range of all that has one."""
    found: list[tuple[str, str | None, Sequence[float]]] = []
    for quantity, limits in ranges.items():
        if not isinstance(limits, Mapping):
            found.append((quantity, None, limits))
        elif quantity in (*COLUMNS, TIMING):
            found += [(quantity, name, limits[name]) for name in fusion if name in limits]
    return [one for one in found if len(one[2]) == 2]


def _of_patients(rows: pd.DataFrame, quantity: str, sequence: str | None) -> pd.DataFrame:
    """Return the smallest and the largest value of each patient, columns ``min, max``; none where there is no such."""
    column = quantity if sequence is None else f"{COLUMNS[quantity]}_{sequence}"
    if column not in rows:
        return pd.DataFrame(columns=["min", "max"])
    shown = rows if sequence is None else rows[rows[f"present_{sequence}"].astype(bool)]
    return shown[np.isfinite(shown[column])].groupby("patient")[column].agg(["min", "max"]).round(DECIMALS)


def _of_studies(times_s: Sequence[float]) -> pd.DataFrame:
    """Return the time of each study as `_of_patients`; the studies of a patient count each."""
    return pd.DataFrame({"min": times_s, "max": times_s}, dtype=float).round(DECIMALS)


def _range(
    values: pd.DataFrame, quantity: str, sequence: str | None, limits: Sequence[float], count: int
) -> dict[str, Any]:
    low, high = (round(float(limit), DECIMALS) for limit in limits)
    outside = int(((values["min"] < low) | (values["max"] > high)).sum())
    return {
        "quantity": quantity,
        "words": WORDS.get(quantity, quantity),
        "sequence": sequence,
        "training": [low, high],
        "here": [float(values["min"].min()), float(values["max"].max())],
        "outside": outside,
        "patients": len(values),
        "p": float(betabinom.sf(outside - 1, len(values), 2, count - 1)) if count > 1 else None,
    }


def _presence(rows: pd.DataFrame, name: str, training: float | None) -> dict[str, Any]:
    """Return how often a sequence is there; a network that never missed one in training is shifted by its absence."""
    here = float(rows[f"present_{name}"].mean())
    return {"sequence": name, "training": training, "here": here, "shifted": training == 1 and here < 1}


def _case_mix(
    rows: pd.DataFrame, classes: Sequence[str], training: Mapping[str, int], trained_on: int
) -> dict[str, Any]:
    """Return lesions by class, there and here, and p; ``trained_on`` is the number of patients there."""
    lesions = rows.drop_duplicates(UNIT["lesion"])["label"].value_counts()
    counts = np.array([[int(training.get(name, 0)), int(lesions.get(name, 0))] for name in classes])
    p = None
    if (counts.sum(axis=1) > 0).all() and (counts.sum(axis=0) > 0).all():
        patients = np.array([trained_on, rows["patient"].nunique()])
        independent = counts * np.minimum(patients / counts.sum(axis=0), 1)
        p = float(chi2_contingency(independent, correction=False).pvalue) if trained_on else None
    return {
        "training": dict(zip(classes, counts[:, 0].tolist(), strict=True)),
        "here": dict(zip(classes, counts[:, 1].tolist(), strict=True)),
        "p": p,
    }
