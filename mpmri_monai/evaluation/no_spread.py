"""Intervals of metrics whose spread redrawn patients cannot show."""

from __future__ import annotations

from typing import Any

import numpy as np

from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.exact import clopper_pearson
from mpmri_monai.evaluation.intervals import EFFECTIVE, EXACT
from mpmri_monai.evaluation.proportion import clustered_proportion
from mpmri_monai.evaluation.scored import Redrawn, Resampling, Scored

ONE_ANSWER = "all cases of each class got one answer, which says nothing about the spread"


def interval_of(units: Scored, name: str, found: Redrawn, drawn: Resampling) -> dict[str, Any]:
    """Return a metric with its interval, as `intervals.interval`, also where resamples show no spread of it.

    Resamples of a perfect result all agree. Where every case of a class got the same answer, as from a network that
    knows one class alone, redrawing patients within their classes changes no more than how many cases they bring, and
    an interval from that would be as narrow as those numbers are alike.
    """
    shown = drawn.interval(name, found)
    if shown["value"] in (0.0, 1.0) and shown["low"] is None:
        return _perfect(units, name, shown)
    if shown["low"] is None or not one_answer_a_class(units) or name not in metrics.decision_metrics(units.task):
        return shown
    if name == "accuracy":
        share = clustered_proportion(units.truth == units.decided, units.patients)
        return shown | {"low": share["low"], "high": share["high"], "method": EFFECTIVE}
    return shown | {"low": None, "high": None, "method": None, "why": ONE_ANSWER}


def interval_of_difference(
    name: str, first: Scored, second: Scored, found: Redrawn, drawn: Resampling
) -> tuple[float | None, float | None]:
    """Return the interval of a difference of two models; both ends are None where resamples show no spread of it."""
    hidden = all(one_answer_a_class(one) and name in metrics.decision_metrics(one.task) for one in (first, second))
    return (None, None) if hidden else drawn.of_difference(found)


def one_answer_a_class(units: Scored) -> bool:
    """Whether the answer to each case follows from its class: the class is then all that redrawing would show."""
    pairs = np.unique(np.stack([units.truth, units.decided]), axis=1)
    return pairs.shape[1] == len(np.unique(units.truth))


def _perfect(units: Scored, name: str, shown: dict[str, Any]) -> dict[str, Any]:
    """Return a share of exactly 0 or 1 with the interval of its patients; other metrics as they are.

    With one case a patient the interval is exact, with more it is wider than need be.
    """
    kind, _, of = name.partition("_")
    k = units.task.classes.index(of) if of in units.task.classes else len(units.task.classes) - 1
    chosen = {
        "accuracy": np.ones(len(units.truth), bool),
        "sensitivity": units.truth == k,
        "specificity": units.truth != k,
    }.get(kind)
    patients = 0 if chosen is None else len(set(units.patients[chosen]))
    if patients < 2:
        return shown
    low, high = clopper_pearson(round(shown["value"] * patients), patients)
    return {key: value for key, value in shown.items() if key != "why"} | {"low": low, "high": high, "method": EXACT}
