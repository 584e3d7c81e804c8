"""Models ranked by a metric, and how far the ranking hangs on the patients who happened to be there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE
from mpmri_monai.evaluation.no_spread import interval_of
from mpmri_monai.evaluation.scored import LOWER_IS_BETTER, resampling, scored
from mpmri_monai.sequences import Task


def ranking(
    tables: Mapping[str, pd.DataFrame],
    task: Task,
    level: str = "lesion",
    metric: str = "macro_auc",
    *,
    role: str = "test",
    bootstraps: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the models from the best to the worst, with the ranking's uncertainty.

    Every resample draws patients once for all models; in it each model has a rank. The chance to win is the share of
    resamples in which a model is first; models that tie for it share it.

    Args:
        tables: predictions tables by name, of the same patients; the fits may differ.
        task: the classes in order.
        level: ``slice``, ``lesion`` or ``patient``.
        metric: the larger the better, but for the Brier score and the calibration error.
        role: ``test`` or ``val``.
        bootstraps: number of resamples.
        seed: of the resampling.

    Returns:
        Columns ``name, value, low, high, rank, p_win, rank_low, rank_high``: value with the interval that
        `evaluate` gives (NaN where there is none), mean rank of ties, percentiles of the rank over the resamples.
        Equal values keep the order of ``tables``.

    Raises:
        EvaluationError: no table, tables of different patients, an undefined metric; as `evaluate`.
        LeakageError: a patient has two roles in one fit.
    """
    if not tables:
        raise EvaluationError(expected="at least one predictions table to rank", found="none")
    models = {name: scored(table, task, level, role) for name, table in tables.items()}
    _check_patients({name: set(model.patients) for name, model in models.items()})
    drawn = resampling(list(models.values()), bootstraps, np.random.default_rng(seed))
    found = {name: model.redrawn([metric], drawn)[metric] for name, model in models.items()}
    undefined = [name for name, one in found.items() if not np.isfinite(one.value)]
    if undefined:
        raise EvaluationError(expected=f"a defined {metric} for every model", found=f"none for {', '.join(undefined)}")
    sign = 1 if metric in LOWER_IS_BETTER else -1
    values = np.array([one.value for one in found.values()])
    resampled = np.array([one.resampled for one in found.values()])
    ranks = rankdata(sign * resampled[:, np.isfinite(resampled).all(axis=0)], axis=0)
    if not ranks.size:
        raise EvaluationError(expected=f"resamples in which {metric} is defined", found="none")
    first = ranks == ranks.min(axis=0)
    tail = (1 - CONFIDENCE) / 2
    intervals = [interval_of(models[name], metric, one, drawn) for name, one in found.items()]
    table = pd.DataFrame(
        {
            "name": list(models),
            "value": values,
            **{end: np.array([one[end] for one in intervals], float) for end in ("low", "high")},  # None becomes NaN
            "rank": rankdata(sign * values),
            "p_win": (first / first.sum(axis=0)).mean(axis=1),
            "rank_low": np.quantile(ranks, tail, axis=1),
            "rank_high": np.quantile(ranks, 1 - tail, axis=1),
        }
    )
    return table.sort_values("rank", kind="stable", ignore_index=True)


def inner_fits(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the inner folds as fits of their own, to be ranked with role ``val``.

    Each (repeat, outer, inner) becomes one ``outer`` of the same repeat and ``inner`` becomes empty, so that a metric
    compares only scores of one model. The predictions of the outer fits are left out.

    Raises:
        EvaluationError: there are no inner folds.
    """
    inner = predictions[predictions["inner"] != ""]
    if inner.empty:
        raise EvaluationError(expected="predictions of inner folds", found=f"{len(predictions)} rows of outer fits")
    return inner.assign(outer=inner.groupby(["repeat", "outer", "inner"]).ngroup(), inner="")


def _check_patients(patients: Mapping[str, set[str]]) -> None:
    everyone = set().union(*patients.values())
    short = {name: len(everyone - of) for name, of in patients.items() if of != everyone}
    if short:
        name = max(short, key=lambda key: short[key])
        raise EvaluationError(
            expected=f"all {len(patients)} models tested on the same {len(everyone)} patients",
            found=f"{len(short)} models lack some, such as {name}: {short[name]} missing",
            fix="rank runs of one splits.csv",
        )
