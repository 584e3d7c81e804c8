"""Tests and intervals without approximation, for counts in which each patient is there once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME


def clopper_pearson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact binomial interval (Clopper and Pearson 1934) of a proportion.

    It covers at least ``confidence`` whatever the proportion, if the ``n`` units are independent: one a patient.

    Raises:
        EvaluationError: no unit, or more successes than units.
    """
    if not 0 <= successes <= n or n < 1:
        raise EvaluationError(expected="successes among at least one unit", found=f"{successes} of {n}")
    found = binomtest(int(successes), int(n)).proportion_ci(confidence_level=confidence, method="exact")
    return float(found.low), float(found.high)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947), by the binomial distribution.

    Args:
        only_a: units that only the first model has right.
        only_b: units that only the second model has right. Units must be independent: one a patient.
    """
    discordant = only_a + only_b
    return float(binomtest(int(only_a), int(discordant), 0.5).pvalue) if discordant else 1.0


def permutation_p(observed: float, null: Sequence[float] | np.ndarray) -> dict[str, float | int]:
    """Return the one-sided p-value of a metric that is better the larger it is.

    p = (b + 1) / (n + 1), where b of the n permutations reach the observed value (Phipson and Smyth 2010): the
    observed labelling is one of the permutations, so that p is never 0 and is valid for any n.

    Args:
        observed: the metric with the true labels.
        null: the metric with permuted labels, shape (permutation,).

    Returns:
        ``{"p", "n", "mean_null", "sd_null"}``; ``sd_null`` (n - 1 in the denominator) needs two permutations, else
        it is NaN.

    Raises:
        EvaluationError: no permutation, or a value that is not defined.
    """
    values = np.asarray(null, float)
    undefined = int((~np.isfinite(values)).sum()) + int(not np.isfinite(observed))
    if values.size == 0 or undefined:
        raise EvaluationError(
            expected="a defined metric for the true labels and for at least one permutation",
            found=f"{values.size} permutations, {undefined} undefined values",
        )
    reached = int((values >= observed - SAME).sum())
    return {
        "p": (reached + 1) / (values.size + 1),
        "n": int(values.size),
        "mean_null": float(values.mean()),
        "sd_null": float(values.std(ddof=1)) if values.size > 1 else float("nan"),
    }


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number by Holm's step-down method (1979), in the order given.

    They control the chance of any false claim, whatever the dependence. An undefined p-value stays None and does not
    count.
    """
    defined = [index for index, value in enumerate(p_values) if value is not None]
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for done, index in enumerate(sorted(defined, key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(defined) - done) * p_values[index]))
        corrected[index] = largest
    return corrected
