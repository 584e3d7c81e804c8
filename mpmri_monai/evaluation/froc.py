"""FROC: how many lesions are found at how many false candidates a study, with intervals over patients.

The free-response receiver operating characteristic (Bunch et al. 1978) as the CAMELYON 16 challenge draws it: a lesion
is found at a threshold when some candidate on it scores as high; further candidates on it count for nothing; a
candidate on no lesion is a false positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import left_out, redrawn
from mpmri_monai.evaluation.exact import clopper_pearson
from mpmri_monai.evaluation.intervals import EXACT, interval

SCHEMA = "mpmri-monai/froc/1"
RATES = (1.0, 2.0, 4.0)
"""False positives a study at which the sensitivity is reported."""
CURVE = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Those at which the curve is drawn, as in LUNA 16 (Setio et al. 2017)."""
POOLING = (
    "each fit has its own threshold at a rate of false positives, for scores of different networks have no common "
    "scale; lesions found are added over the fits"
)
FALSE = ""
"""``lesion`` of a candidate that is on none."""


def froc(
    candidates: pd.DataFrame,
    lesions: pd.DataFrame,
    studies: pd.DataFrame,
    *,
    rates: Sequence[float] = RATES,
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the sensitivity for lesions at some rates of false positives a study, each with an interval.

    Between two thresholds the sensitivity is interpolated linearly, and beyond the lowest it stays: a rate that no
    threshold reaches has the sensitivity of all candidates.

    Args:
        candidates: a row each: ``study``, ``score`` (any number, higher is surer) and ``lesion``, the id of the lesion
            that it is on, in its study, or an empty text.
        lesions: a row each: ``study``, ``lesion``.
        studies: a row for every study that was searched: ``patient``, ``study``, and ``fit``, which names the network
            that searched it.
        rates: false positives a study.
        bootstraps: number of resamples of the patients, see `bootstrap.redrawn`.
        seed: of the resampling.

    Returns:
        ``{"schema", "studies", "patients", "lesions", "found" (lesions on which there is any candidate), "candidates",
        "pooling", "sensitivity": [{"rate", and an interval as of `intervals.interval`}]}``.

    Raises:
        EvaluationError: a table lacks a column, a study is unknown or twice, no lesion, a score is not finite, or a
            rate is not positive.
    """
    fits = _fits(candidates, lesions, studies, rates)
    patients = np.unique(studies["patient"].astype(str))
    stratum = np.zeros(len(patients), int)
    drawn = redrawn(stratum, bootstraps, np.random.default_rng(seed))
    as_is, resampled, jackknife = (
        _sensitivity(fits, weights, rates) for weights in (np.ones((1, len(patients))), drawn, left_out(stratum))
    )
    with_lesions = studies.loc[studies["study"].isin(lesions["study"]), "patient"].nunique()
    return {
        "schema": SCHEMA,
        "studies": len(studies),
        "patients": len(patients),
        "lesions": len(lesions),
        "found": int(sum(fit.hit.sum() for fit in fits)),
        "candidates": len(candidates),
        "pooling": POOLING if len(fits) > 1 else "one network",
        "sensitivity": [
            {"rate": float(rate)}
            | _interval(float(as_is[0, i]), resampled[:, i], jackknife[:, i], stratum, with_lesions)
            for i, rate in enumerate(rates)
        ],
    }


def froc_curve(
    candidates: pd.DataFrame, lesions: pd.DataFrame, studies: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the curve of one fit: false positives a study and sensitivity at every threshold, from none to all.

    Tables as of `froc`. The points are those of MONAI's ``compute_froc_curve_data``, in the other order; that one
    leaves out its lowest threshold, which loses a point where no lesion is missed.

    Raises:
        EvaluationError: as `froc`; several fits have no common curve.
    """
    fits = _fits(candidates, lesions, studies, RATES)
    if len(fits) != 1:
        raise EvaluationError(expected="studies of one fit", found=str(len(fits)))
    false_positives, sensitivity = fits[0].curves(np.ones((1, studies["patient"].nunique())))
    return false_positives[0], sensitivity[0]


@dataclass(frozen=True, eq=False)
class _Fit:
    """What one network found, by events in the order of falling scores: a lesion found, or a false positive."""

    patient: NDArray[np.int_]
    """(event,): number of the patient."""
    hit: NDArray[np.bool_]
    """(event,)."""
    last: NDArray[np.bool_]
    """(event,): no other has the same score after it, so that a threshold can lie there."""
    lesions: NDArray[np.float64]
    """(patient,): number of lesions."""
    studies: NDArray[np.float64]
    """(patient,): number of studies."""

    def curves(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return false positives a study and sensitivity, each (resample, threshold), for patients' weights
        (resample, patient); NaN where a resample has no study, or no lesion, of this fit."""
        counted = weights[:, self.patient]
        start = np.zeros((len(weights), 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            false = np.cumsum(counted * ~self.hit, axis=1)[:, self.last] / (weights @ self.studies)[:, None]
            found = np.cumsum(counted * self.hit, axis=1)[:, self.last] / (weights @ self.lesions)[:, None]
        return np.hstack([start, false]), np.hstack([start, found])


def _sensitivity(fits: Sequence[_Fit], weights: NDArray, rates: Sequence[float]) -> NDArray[np.float64]:
    """Return the sensitivity (resample, rate) over all fits, each at its own threshold."""
    found, total = np.zeros((len(weights), len(rates))), np.zeros(len(weights))
    for fit in fits:
        lesions = weights @ fit.lesions
        usable = (lesions > 0) & (weights @ fit.studies > 0)
        curves = zip(*fit.curves(weights[usable]), strict=True)
        at_rates = [np.interp(rates, false, sensitivity) for false, sensitivity in curves]
        found[usable] += np.reshape(at_rates, (-1, len(rates))) * lesions[usable, None]
        total += lesions
    with np.errstate(invalid="ignore"):
        return found / total[:, None]


def _interval(
    value: float, resampled: NDArray, jackknife: NDArray, stratum: NDArray, with_lesions: int
) -> dict[str, Any]:
    """Return a sensitivity with its interval; one of exactly 0 or 1 with the exact one of its patients."""
    found = interval("sensitivity", value, resampled, jackknife, stratum)
    if value not in (0.0, 1.0) or found["low"] is not None:
        return found
    low, high = clopper_pearson(round(value * with_lesions), with_lesions)
    return {key: entry for key, entry in found.items() if key != "why"} | {"low": low, "high": high, "method": EXACT}


def _fits(candidates: pd.DataFrame, lesions: pd.DataFrame, studies: pd.DataFrame, rates: Sequence[float]) -> list[_Fit]:
    _check(candidates, lesions, studies, rates)
    names = np.unique(studies["patient"].astype(str))
    numbers = dict(zip(studies["study"], np.searchsorted(names, studies["patient"].astype(str)), strict=True))
    on_lesion = candidates["lesion"] != FALSE
    best = candidates[on_lesion].groupby(["study", "lesion"], as_index=False)["score"].max()
    events = pd.concat([best, candidates.loc[~on_lesion, ["study", "lesion", "score"]]], ignore_index=True)
    events = events.sort_values(["score", "study", "lesion"], ascending=[False, True, True], kind="stable")
    return [_fit(events, lesions, list(part["study"]), numbers, len(names)) for _, part in studies.groupby("fit")]


def _fit(
    events: pd.DataFrame, lesions: pd.DataFrame, studies: list[str], numbers: dict[str, int], patients: int
) -> _Fit:
    mine = events[events["study"].isin(studies)]
    score = mine["score"].to_numpy(float)
    with_lesion = lesions.loc[lesions["study"].isin(studies), "study"]
    return _Fit(
        patient=mine["study"].map(numbers).to_numpy(int),
        hit=(mine["lesion"] != FALSE).to_numpy(bool),
        last=np.append(score[1:] != score[:-1], True)[: len(score)],
        lesions=np.bincount([numbers[study] for study in with_lesion], minlength=patients).astype(float),
        studies=np.bincount([numbers[study] for study in studies], minlength=patients).astype(float),
    )


def _check(candidates: pd.DataFrame, lesions: pd.DataFrame, studies: pd.DataFrame, rates: Sequence[float]) -> None:
    wanted = {"candidates": ("study", "score", "lesion"), "lesions": ("study", "lesion"),
              "studies": ("patient", "study", "fit")}  # fmt: skip
    tables = {"candidates": candidates, "lesions": lesions, "studies": studies}
    problems = [
        f"{name} without {column}" for name, columns in wanted.items() for column in columns
        if column not in tables[name]
    ]  # fmt: skip
    if not problems:
        known = set(studies["study"])
        strange = (set(candidates["study"]) | set(lesions["study"])) - known
        on_lesion = candidates.loc[candidates["lesion"] != FALSE, ["study", "lesion"]]
        unknown = set(map(tuple, on_lesion.to_numpy())) - set(map(tuple, lesions[["study", "lesion"]].to_numpy()))
        checks = {
            "a study twice": studies["study"].duplicated().any(),
            f"studies that were not searched ({', '.join(sorted(map(str, strange))[:3])})": bool(strange),
            "a lesion twice": lesions.duplicated(["study", "lesion"]).any(),
            "candidates on unknown lesions": bool(unknown),
            "no lesion": lesions.empty,
            "a score that is not finite": not np.isfinite(candidates["score"].astype(float)).all(),
            "a rate that is not positive": not all(rate > 0 for rate in rates),
        }
        problems = [what for what, there in checks.items() if there]
    if problems:
        raise EvaluationError(
            expected="tables of candidates, lesions and studies that belong together", found="; ".join(problems)
        )
