"""Calibration of one table of predictions: fitted on validation lesions, scored on test lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError, LeakageError
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.abstention import REFERRED, CertaintyThresholds, abstention, fit_thresholds
from mpmri_monai.evaluation.conformal import (
    ALPHA,
    ClassConditionalSets,
    MarginalSets,
    coverage_range,
    fit_by_class,
    fit_marginal,
)
from mpmri_monai.evaluation.fitted import INNER, LEVEL, VAL, Fitted, NotFitted, new_salt
from mpmri_monai.evaluation.intervals import NO_INTERVAL
from mpmri_monai.evaluation.levels import FIT, UNIT
from mpmri_monai.evaluation.predictions import check_predictions
from mpmri_monai.evaluation.proportion import clustered_proportion
from mpmri_monai.evaluation.reliability import reliability
from mpmri_monai.evaluation.scored import Redrawn, Resampling, Scored, or_none, resampling, scored
from mpmri_monai.evaluation.temperature import Temperature, fit_temperature, nll
from mpmri_monai.sequences import Task

BOOTSTRAPS = 1000

KINDS: tuple[type[Fitted], ...] = (Temperature, MarginalSets, ClassConditionalSets, CertaintyThresholds)

NOTES = (
    "Fitted on lesions (mean probability over slices) such that every calibration patient counts once; scored on test "
    "lesions, each of which counts once in every repeat that tests it.",
    "Intervals take the patients as the independent units. They hold for these networks and these fitted values: to "
    "train or to calibrate again would add to them.",
    "The expected calibration error of a small sample is too high even for a perfectly calibrated network.",
)
EPOCH_NOTE = (
    "Where the same validation patients chose the epoch whose weights are kept, their scores flatter a little, and so "
    "does what is fitted on them."
)
INNER_NOTE = "Fitted on lesions that networks of the inner folds scored; applied to the network of the outer fit."


@dataclass(frozen=True)
class Calibrator:
    """All that was fitted for one network; each part may say why it was not."""

    temperature: Temperature | NotFitted
    marginal: MarginalSets | NotFitted
    by_class: ClassConditionalSets | NotFitted
    thresholds: CertaintyThresholds | NotFitted

    @property
    def parts(self) -> tuple[Fitted | NotFitted, ...]:
        return self.temperature, self.marginal, self.by_class, self.thresholds

    def refuse(self, patients: Sequence[str]) -> None:
        """Raise LeakageError when a part saw one of ``patients``."""
        for part in self.parts:
            if isinstance(part, Fitted):
                part.refuse(patients)


def calibrate(predictions: pd.DataFrame, task: Task, seed: int = 0, bootstraps: int = BOOTSTRAPS) -> dict[str, Any]:
    """Fit temperature, conformal sets and referral thresholds on validation lesions; score them on test lesions.

    Each fit (repeat, outer) has its own. Its validation lesions are those that its inner folds held out where the table
    has them, else those of its role ``val``.

    Args:
        predictions: with roles ``test`` and ``val``; see `mpmri_monai.evaluation.predictions`.
        task: the classes in order.
        seed: of the salt and the resampling.
        bootstraps: resamples of patients.

    Returns:
        ``{"level", "from", "lesions", "patients", "notes", "fitted", "temperature", "reliability", "ece", "nll",
        "brier", "conformal", "abstention"}``; ``fitted`` holds `Fitted.as_json` of everything. What could not be fitted
        is ``{"available": False, "why", "needed", "patients_per_class"}``, and the rest is made without it.

    Raises:
        EvaluationError: no labelled test row, or not a table of this task.
        LeakageError: a patient has two roles in one fit, takes part in the inner folds of a fit that tests it, or was
            seen by what would score it.
    """
    predictions = check_predictions(predictions, "the predictions to calibrate")
    rng = np.random.default_rng(seed)
    salt = new_salt(rng)
    test = scored(predictions, task, LEVEL)
    _check_inner(predictions, test)
    source = INNER if ((predictions["inner"] != "") & (predictions["role"] == "val")).any() else VAL
    calibrators = []
    for number, (repeat, outer) in enumerate(test.units[FIT].drop_duplicates().itertuples(index=False)):
        calibrator = _fit(_calibration_lesions(predictions, task, source, repeat, outer), task, source, salt)
        calibrator.refuse(test.patients[test.fits == number])
        calibrators.append(calibrator)
    return {
        "level": LEVEL,
        "from": source,
        "lesions": len(test.units.drop_duplicates(UNIT[LEVEL])),
        "patients": len(set(test.patients)),
        "notes": [*NOTES, EPOCH_NOTE if source == VAL else INNER_NOTE],
        "fitted": [part.as_json() for c in calibrators for part in c.parts if isinstance(part, Fitted)],
        **_scores(test, calibrators, resampling([test], bootstraps, rng)),
    }


def read_fitted(entries: Sequence[Mapping[str, Any]]) -> list[Fitted]:
    """Return what was fitted, from the ``fitted`` entries of a reference.

    Raises:
        EvaluationError: an entry is of no known kind, or lacks a part.
    """
    kinds = {kind.kind: kind for kind in KINDS}
    for entry in entries:
        if not isinstance(entry, Mapping) or entry.get("kind") not in kinds:
            raise EvaluationError(
                expected=f"fitted entries of kind {', '.join(kinds)}",
                found=repr(entry.get("kind")) if isinstance(entry, Mapping) else "something else",
                where="the reference of the weights",
            )
    return [kinds[entry["kind"]].from_json(entry) for entry in entries]


def _check_inner(predictions: pd.DataFrame, test: Scored) -> None:
    """Raise LeakageError where a patient trains or validates an inner fold of the fit that tests it."""
    inner = predictions.loc[(predictions["inner"] != "") & (predictions["role"] != "test"), [*FIT, "patient"]]
    shared = inner.merge(test.units[[*FIT, "patient"]])["patient"].unique()
    if len(shared):
        raise LeakageError(
            expected="inner folds without the test patients of their outer fold",
            found=f"{len(shared)} of them, such as {', '.join(sorted(shared)[:3])}",
            where="predictions",
            fix="divide the patients that are left after the outer test set is taken",
            code="E_LEAK",
        )


def _calibration_lesions(predictions: pd.DataFrame, task: Task, source: str, repeat: int, outer: int) -> Scored | None:
    """Return the labelled validation lesions of one fit, or None when there is none."""
    chosen = (predictions["repeat"] == repeat) & (predictions["outer"] == outer) & (predictions["role"] == "val")
    chosen &= (predictions["inner"] != "") == (source == INNER)
    rows = predictions[chosen & (predictions["label"] != "")]
    return None if rows.empty else scored(rows.assign(inner=""), task, LEVEL, "val")


def _fit(lesions: Scored | None, task: Task, source: str, salt: str) -> Calibrator:
    if lesions is None:
        none = dict.fromkeys(task.classes, 0)
        missing = "validation patients (a share split#val, or inner folds)"
        parts = (NotFitted(kind.kind, "no validation patients in this split", missing, none) for kind in KINDS)
        return Calibrator(*parts)
    temperature = fit_temperature(lesions, source, salt)
    return Calibrator(
        temperature,
        fit_marginal(lesions, source, salt),
        fit_by_class(lesions, source, salt),
        fit_thresholds(_shown(lesions, [temperature]), source, salt),
    )


def _shown(lesions: Scored, temperatures: Sequence[Temperature | NotFitted]) -> Scored:
    """Return the lesions with the probabilities that are shown: calibrated, in the fits that have a temperature."""
    probabilities = lesions.probabilities.copy()
    for number, temperature in enumerate(temperatures):
        if isinstance(temperature, Temperature):
            of_fit = lesions.fits == number
            probabilities[of_fit] = temperature.scaled(probabilities[of_fit])
    return replace(lesions, probabilities=probabilities)


def _scores(test: Scored, calibrators: Sequence[Calibrator], drawn: Resampling) -> dict[str, Any]:
    temperatures = [calibrator.temperature for calibrator in calibrators]
    shown = _shown(test, temperatures)
    tables = {"before": test}
    if all(isinstance(part, Temperature) for part in temperatures):
        tables["after"] = shown
    return {
        "temperature": _temperature(temperatures),
        "reliability": {name: reliability(table) for name, table in tables.items()},
        **before_and_after(tables, drawn),
        "conformal": {
            "alpha": ALPHA,
            "marginal": _conformal([c.marginal for c in calibrators], test, drawn),
            "by_class": _conformal([c.by_class for c in calibrators], test, drawn),
        },
        "abstention": abstention(shown, drawn, _answered([c.thresholds for c in calibrators], shown)),
    }


def _temperature(temperatures: Sequence[Temperature | NotFitted]) -> dict[str, Any]:
    """Return the temperature of each fit; when one of them has none, why."""
    return _lacking(temperatures) or {"available": True, "values": [part.value for part in temperatures]}


def _lacking(parts: Sequence[Fitted | NotFitted]) -> dict[str, Any] | None:
    """Return why the first fit that lacks a part does so, or None when every fit has it."""
    lacking = [part for part in parts if isinstance(part, NotFitted)]
    if not lacking:
        return None
    fits = {} if len(parts) == 1 else {"fits_without": len(lacking), "fits": len(parts)}
    return lacking[0].as_json() | fits


def before_and_after(tables: Mapping[str, Scored], drawn: Resampling) -> dict[str, Any]:
    """Return ECE, negative log-likelihood and Brier score, before calibration and after, and what it changed."""
    found: dict[str, Any] = {}
    for name, measure in (("ece", metrics.ece), ("nll", nll), ("brier", metrics.brier)):
        values = {
            when: drawn.split(measure(table.truth, table.probabilities, table.of_patients(drawn.weights)))
            for when, table in tables.items()
        }
        if name == "nll":  # has no upper bound, which the intervals of metrics build on
            found[name] = {when: _around(value, drawn) for when, value in values.items()}
        else:
            found[name] = {when: drawn.interval(name, value) for when, value in values.items()}
        if len(values) == 2:
            change = values["after"] - values["before"]
            none = {"value": change.value, "low": None, "high": None}
            found[name]["change"] = none if name in NO_INTERVAL else _around(change, drawn)
    return found


def _conformal(
    fitted: Sequence[MarginalSets | ClassConditionalSets | NotFitted], test: Scored, drawn: Resampling
) -> dict[str, Any]:
    """Return coverage and size of the sets of the test lesions, over all and for each class."""
    lacking = _lacking(fitted)
    if lacking:
        return lacking
    sets = np.concatenate([part.sets(test.probabilities[test.fits == number]) for number, part in enumerate(fitted)])
    covered, size = sets[np.arange(len(sets)), test.truth], sets.sum(axis=1)
    weights = test.of_patients(drawn.weights)
    groups = {None: np.ones(len(sets), bool)}
    groups |= {name: test.truth == number for number, name in enumerate(test.task.classes)}
    scores = {
        name: {
            "coverage": clustered_proportion(covered[inside], test.patients[inside]),
            "size": _around(drawn.split(_means(size[inside], weights[:, inside])), drawn),
        }
        for name, inside in groups.items()
    }
    counts = [part.calibration_patients for part in fitted]
    return {
        "available": True,
        "quantiles": [part.quantiles for part in fitted],
        "calibration_patients": counts,
        "expected_range": list(coverage_range(min(counts))),
        **scores.pop(None),
        "one_class": clustered_proportion(size == 1, test.patients),
        "classes": scores,
    }


def _answered(thresholds: Sequence[CertaintyThresholds | NotFitted], shown: Scored) -> dict[float, np.ndarray]:
    """Return which test lesions are answered for each share to be referred; nothing when a fit has no thresholds."""
    if _lacking(thresholds):
        return {}
    certainty = shown.probabilities.max(axis=1)
    return {
        share: np.concatenate(
            [part.answered(certainty[shown.fits == number], share) for number, part in enumerate(thresholds)]
        )
        for share in REFERRED
        if share > 0
    }


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean for each row of weights, shape (row,); NaN where they add up to 0."""
    total = weights.sum(axis=1)
    return np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)


def _around(found: Redrawn, drawn: Resampling) -> dict[str, float | None]:
    low, high = drawn.of_difference(found)
    return {"value": or_none(found.value), "low": low, "high": high}
