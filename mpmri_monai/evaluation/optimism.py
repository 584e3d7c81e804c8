"""How much better a protocol that leaks looks than an honest one, on the same cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE
from mpmri_monai.evaluation.levels import UNIT
from mpmri_monai.evaluation.scored import draws, or_none, percentiles, scored
from mpmri_monai.sequences import Task

METRICS = ("accuracy", "balanced_accuracy", "macro_auc")

METHOD = (
    "optimism = leaky - honest; interval: percentiles over resamples of the patients, drawn once for both protocols, "
    "each with all its units, copies and repeats of either"
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
        "optimism": {…}, "resamples"}}}``; what is not defined is None.

    Raises:
        EvaluationError: no patient in common, a lesion labelled differently; as `evaluate`.
        LeakageError: the honest protocol is not patient-disjoint.
    """
    # By its nature the leaky table has patients in several roles; only the rows of one role are looked at.
    protocols = {
        "leaky": scored(leaky[leaky["role"] == role], task, level, role),
        "honest": scored(honest, task, level, role),
    }
    patients = {name: set(protocol.patients) for name, protocol in protocols.items()}
    both = patients["leaky"] & patients["honest"]
    if not both:
        raise EvaluationError(expected="two protocols on the same cohort", found="no patient in common")
    _check_labels([protocol.units for protocol in protocols.values()], task)
    everyone, counts = draws(list(protocols.values()), bootstraps, np.random.default_rng(seed))
    values = {name: protocol.values(metrics) for name, protocol in protocols.items()}
    resampled = {name: protocol.redrawn(metrics, everyone, counts) for name, protocol in protocols.items()}
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
                **{name: _spread(values[name][metric], resampled[name][metric]) for name in protocols},
                "optimism": _spread(
                    values["leaky"][metric] - values["honest"][metric],
                    resampled["leaky"][metric] - resampled["honest"][metric],
                ),
                "resamples": int(np.isfinite(resampled["leaky"][metric] - resampled["honest"][metric]).sum()),
            }
            for metric in metrics
        },
    }


def _spread(value: float, resampled: np.ndarray) -> dict[str, float | None]:
    low, high = percentiles(resampled) if np.isfinite(value) else (None, None)
    return {"value": or_none(value), "low": low, "high": high}


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
