"""How much better a protocol that leaks looks than an honest one, on the same cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE
from mpmri_monai.evaluation.levels import UNIT
from mpmri_monai.evaluation.no_spread import interval_of, interval_of_difference
from mpmri_monai.evaluation.scored import Redrawn, Resampling, Scored, or_none, resampling, scored
from mpmri_monai.sequences import Task

METRICS = ("accuracy", "balanced_accuracy", "macro_auc")

METHOD = (
    "optimism = leaky - honest; interval: Student's t with the spread over resamples of the patients, drawn once for "
    "both protocols, each with all its units, copies and repeats of either"
)
LIMITS = (
    "the predictions are taken as fixed: the variance of training again is left out, and that of drawing other splits "
    "but for the repeats that are there; it is the optimism on this cohort with this model and training length"
)


def optimism(
    leaky: pd.DataFrame,
    honest: pd.DataFrame,
    task: Task,
    metrics: Sequence[str] = METRICS,
    *,
    level: str = "slice",
    role: str = "test",
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return how much larger the metrics of a leaky protocol are than those of a patient-disjoint one.

    Both protocols are scored on the same cohort, each by its own splits; a patient whom one of them never tested
    counts in the other alone. Stored copies of a sample count in the leaky protocol as the publication counted them.

    Args:
        leaky: predictions table of the protocol split by lesion or by sample; a patient may have several roles.
        honest: predictions table of the patient-disjoint protocol.
        task: the classes in order.
        metrics: names among those of `evaluate`.
        level: ``slice``, as the publication counted, or another.
        role: ``test`` or ``val``.
        bootstraps: number of resamples.
        seed: of the resampling.

    Returns:
        ``{"level", "role", "confidence", "bootstraps", "patients": {"both", "only_leaky", "only_honest"}, "n":
        {"leaky", "honest"}, "method", "limits", "metrics": {name: {"leaky": {"value", "low", "high"}, "honest": {…},
        "optimism": {…}}}}``; what is not defined is None.

    Raises:
        EvaluationError: no patient in common, a lesion labelled differently; as `evaluate`.
        LeakageError: the honest protocol is not patient-disjoint.
    """
    # Which of the two leaky units was divided makes no difference here; copies of samples count as they did.
    protocols = {
        "leaky": scored(leaky, task, level, role, unit="sample"),
        "honest": scored(honest, task, level, role),
    }
    patients = {name: set(protocol.patients) for name, protocol in protocols.items()}
    both = patients["leaky"] & patients["honest"]
    if not both:
        raise EvaluationError(expected="two protocols on the same cohort", found="no patient in common")
    _check_labels([protocol.units for protocol in protocols.values()], task)
    drawn = resampling(list(protocols.values()), bootstraps, np.random.default_rng(seed))
    found = {name: protocol.redrawn(metrics, drawn) for name, protocol in protocols.items()}
    return {
        "level": level,
        "role": role,
        "confidence": CONFIDENCE,
        "bootstraps": bootstraps,
        "patients": {
            "both": len(both),
            "only_leaky": len(patients["leaky"] - both),
            "only_honest": len(patients["honest"] - both),
        },
        "n": {name: len(protocol.units.drop_duplicates(UNIT[level])) for name, protocol in protocols.items()},
        "method": METHOD,
        "limits": LIMITS,
        "metrics": {
            metric: {
                **{name: interval_of(protocols[name], metric, found[name][metric], drawn) for name in protocols},
                "optimism": _difference(metric, protocols, found["leaky"][metric] - found["honest"][metric], drawn),
            }
            for metric in metrics
        },
    }


def _difference(
    metric: str, protocols: Mapping[str, Scored], found: Redrawn, drawn: Resampling
) -> dict[str, float | None]:
    low, high = interval_of_difference(metric, protocols["leaky"], protocols["honest"], found, drawn)
    return {"value": or_none(found.value), "low": low, "high": high}


def _check_labels(units: Sequence[pd.DataFrame], task: Task) -> None:
    """Raise EvaluationError where one lesion (one patient, at that level) has two labels."""
    keys = UNIT["lesion"] if "lesion" in units[0] else UNIT["patient"]
    labels = pd.concat([one[[*keys, "label"]] for one in units]).drop_duplicates()
    other = int(labels.duplicated(keys).sum())
    if other:
        raise EvaluationError(
            expected=f"one label of task {task.name} for each unit in both protocols",
            found=f"{other} labelled differently",
        )
