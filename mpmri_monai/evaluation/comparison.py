"""Paired comparison of models that were tested on the same units by the same splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, SAME
from mpmri_monai.evaluation.delong import delong_test
from mpmri_monai.evaluation.exact import holm, mcnemar
from mpmri_monai.evaluation.levels import FIT, RULES, UNIT
from mpmri_monai.evaluation.no_spread import interval_of_difference
from mpmri_monai.evaluation.pooling import PAIRS, PRECISIONS, pooling
from mpmri_monai.evaluation.scored import Redrawn, Scored, or_none, resampling, scored
from mpmri_monai.sequences import Task

COMPARED = ("macro_auc", "accuracy", "balanced_accuracy")
"""Metrics that are compared when none is named."""

METHOD = (
    "difference = a - b; interval: Student's t with the spread over resamples of the patients, each with all its units "
    "of both models; p: two-sided permutation test, the two models' predictions of a patient are swapped at random for "
    "all its units at once (as ranks within the fit where a metric depends on the order alone), p = (b + 1) / (n + 1)"
)
LIMITS = "the predictions are taken as fixed: the variance of training either model again is left out"
HOLM = "Holm over the {n} models compared with the reference, for each metric by itself"


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    task: Task,
    level: str = "lesion",
    *,
    metrics: Sequence[str] = COMPARED,
    role: str = "test",
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Return the differences a - b between two models tested on the same units, as JSON-like content.

    The interval is from resamples of the patients, the same for both models. The p-value is from a permutation test:
    if the models are alike, swapping their predictions of a patient changes nothing (Bandos, Rockette and Gur 2005 for
    the AUC, on ranks, since the scores of two models have no common scale). McNemar's exact test needs each patient to
    count once, DeLong's test one model besides; elsewhere they are None, with the reason.

    Args:
        a: predictions table of the first model.
        b: of the second.
        task: the classes in order.
        level: ``slice``, ``lesion`` or ``patient``.
        metrics: names among those of `evaluate`.
        role: ``test`` or ``val``.
        bootstraps: number of resamples, and of permutations.
        seed: of both.

    Returns:
        ``{"level", "rule", "n", "patients", "fits", "role", "confidence", "bootstraps", "method", "limits",
        "metrics": {name: {"a", "b", "difference", "low", "high", "p"}}, "mcnemar": {"only_a", "only_b",
        "p", "why"}, "delong": {class: {"a", "b", "difference", "low", "high", "z", "p"}, "why"}}``. What is not
        defined is None.

    Raises:
        EvaluationError: the tables do not hold the same units, fits and labels; an unknown metric or level.
        LeakageError: a patient has two roles in one fit.
    """
    first, second = scored(a, task, level, role), scored(b, task, level, role)
    check_paired(first, second)
    rng = np.random.default_rng(seed)
    drawn = resampling([first], bootstraps, rng)
    swaps = pd.DataFrame(rng.integers(0, 2, size=(bootstraps, len(drawn.patients))), columns=drawn.patients)
    of_a, of_b = first.redrawn(metrics, drawn), second.redrawn(metrics, drawn)
    swapped = _swapped(first, second, metrics, swaps)
    return {
        "level": level,
        "rule": RULES[level],
        "n": len(first.units.drop_duplicates(UNIT[level])),
        "patients": len(drawn.patients),
        "fits": len(np.unique(first.fits)),
        "role": role,
        "confidence": CONFIDENCE,
        "bootstraps": bootstraps,
        "method": METHOD,
        "limits": LIMITS,
        "metrics": {
            name: _difference(
                of_a[name],
                of_b[name],
                interval_of_difference(name, first, second, of_a[name] - of_b[name], drawn),
                swapped[name],
            )
            for name in metrics
        },
        "mcnemar": _mcnemar(first, second),
        "delong": _delong(first, second),
    }


def compare_many(
    tables: Mapping[str, pd.DataFrame],
    reference: str,
    task: Task,
    level: str = "lesion",
    *,
    metrics: Sequence[str] = COMPARED,
    role: str = "test",
    bootstraps: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare each of several models with one of them; p-values are corrected by Holm's method.

    Args:
        tables: predictions tables by name.
        reference: name of the table that the others are compared with: ``b`` of each `compare`.
        task: as in `compare`, as the rest.
        level: see there.
        metrics: see there.
        role: see there.
        bootstraps: see there.
        seed: the same resamples and permutations serve every comparison.

    Returns:
        ``{"reference", "correction", "comparisons": [{"name", …}]}``: what `compare` gives for each other table, in
        order, with ``p_holm`` beside each ``p``.

    Raises:
        EvaluationError: the reference is not among the tables, or nothing else is; as `compare`.
    """
    others = [name for name in tables if name != reference]
    if reference not in tables or not others:
        raise EvaluationError(
            expected="a reference among the tables and at least one other table",
            found=f"reference {reference!r}, tables {', '.join(tables) or 'none'}",
        )
    comparisons = [
        {"name": name}
        | compare(
            tables[name], tables[reference], task, level, metrics=metrics, role=role, bootstraps=bootstraps, seed=seed
        )
        for name in others
    ]
    return {"reference": reference, "correction": add_holm(comparisons), "comparisons": comparisons}


def add_holm(comparisons: Sequence[dict[str, Any]]) -> str:
    """Put ``p_holm`` beside each ``p`` of several results of `compare` with one model; return the words for it."""
    for metric in comparisons[0]["metrics"] if comparisons else ():
        found = [comparison["metrics"][metric] for comparison in comparisons]
        for one, corrected in zip(found, holm([one["p"] for one in found]), strict=True):
            one["p_holm"] = corrected
    return HOLM.format(n=len(comparisons))


def check_paired(first: Scored, second: Scored) -> None:
    """Raise EvaluationError, with counts, where two models differ in patients, units, fits or labels."""
    keys = [*FIT, *UNIT[first.level]]
    patients = set(first.patients), set(second.patients)
    if patients[0] != patients[1]:
        raise EvaluationError(
            expected="two models tested on the same patients",
            found=f"{len(patients[0] - patients[1])} patients of the first are missing in the second, "
            f"{len(patients[1] - patients[0])} of the second in the first",
            fix="compare runs of one splits.csv",
        )
    merged = first.units.merge(second.units, on=keys, how="outer", indicator=True, suffixes=("_a", "_b"))
    missing = merged["_merge"].value_counts()
    if missing["left_only"] or missing["right_only"]:
        raise EvaluationError(
            expected=f"the same {first.level} units in the same repeats and folds of both models",
            found=f"{missing['left_only']} of the first are missing in the second, "
            f"{missing['right_only']} of the second in the first",
            fix="compare runs of one splits.csv; a level that both tables have in full",
        )
    if len(first.samples) and len(second.samples):
        of_sample = first.samples.merge(second.samples, how="outer", indicator=True)["_merge"].value_counts()
        if of_sample["left_only"] or of_sample["right_only"]:
            raise EvaluationError(
                expected=f"the {first.level} units of both models made from the same samples",
                found=f"{of_sample['left_only']} samples of the first are missing in the second, "
                f"{of_sample['right_only']} of the second in the first",
                fix="compare runs of one samples store",
            )
    other = int((merged["label_a"] != merged["label_b"]).sum())
    if other:
        raise EvaluationError(expected="the same labels in both tables", found=f"{other} units labelled differently")


def _difference(
    a: Redrawn, b: Redrawn, ends: tuple[float | None, float | None], swapped: np.ndarray
) -> dict[str, float | None]:
    """Return the content of one metric; ``swapped`` are differences after swaps, shape (permutation,)."""
    difference = or_none(a.value - b.value)
    low, high = ends
    p = None
    if difference is not None:
        reached = int((np.abs(swapped) >= abs(difference) - SAME).sum())
        p = (reached + 1) / (len(swapped) + 1)
    return {"a": or_none(a.value), "b": or_none(b.value), "difference": difference, "low": low, "high": high, "p": p}


def _swapped(first: Scored, second: Scored, names: Sequence[str], swaps: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the differences of the metrics when patients' predictions are swapped, each with shape (permutation,).

    Args:
        first: units of one model.
        second: the same units of the other.
        names: of the metrics.
        swaps: 1 where the predictions of a patient are swapped, else 0; a row a permutation, a column a patient.
    """
    by_rank = [name for name in names if pooling(name) in (PAIRS, PRECISIONS)]
    by_value = [name for name in names if name not in by_rank]
    # Both models' predictions lie in one table, from which weights of 0 and 1 pick those that make up either "model".
    picked = pd.concat([(1 - swaps).add_prefix("a"), swaps.add_prefix("b")], axis=1).astype(float)
    differences = {}
    for chosen, pair in ((by_value, (first, second)), (by_rank, (_ranked(first), _ranked(second)))):
        if chosen:
            both = _together(*pair)
            kept, given = both.measured(chosen, picked), both.measured(chosen, 1 - picked)
            differences |= {name: kept[name] - given[name] for name in chosen}
    return differences


def _together(first: Scored, second: Scored) -> Scored:
    """Return the units of both models, their patients told apart by ``a`` and ``b`` before the name."""
    pair = (first, second)
    named = [one.units.assign(patient=model + one.units["patient"]) for model, one in zip("ab", pair, strict=True)]
    return replace(
        first,
        units=pd.concat(named, ignore_index=True),
        truth=np.concatenate([one.truth for one in pair]),
        probabilities=np.concatenate([one.probabilities for one in pair]),
        fits=np.concatenate([one.fits for one in pair]),
    )


def _ranked(model: Scored) -> Scored:
    """Return the units with each class's scores replaced by their ranks within the fit, in (0, 1]."""
    ranks = np.empty_like(model.probabilities)
    for fit in np.unique(model.fits):
        chosen = model.fits == fit
        ranks[chosen] = rankdata(model.probabilities[chosen], axis=0) / chosen.sum()
    return replace(model, probabilities=ranks)


def _mcnemar(first: Scored, second: Scored) -> dict[str, int | float | str | None]:
    right = [one.probabilities.argmax(axis=1) == one.truth for one in (first, second)]
    found = {"only_a": int((right[0] & ~right[1]).sum()), "only_b": int((right[1] & ~right[0]).sum())}
    if not first.each_patient_once:
        return found | {"p": None, "why": "a patient counts more than once: units are not independent"}
    return found | {"p": mcnemar(found["only_a"], found["only_b"]), "why": None}


def _delong(first: Scored, second: Scored) -> dict[str, Any]:
    if not first.each_patient_once:
        return {"why": "a patient counts more than once: units are not independent"}
    if not first.one_fit:
        return {"why": "several fitted models: their scores have no common scale"}
    classes = first.task.classes
    counts = np.bincount(first.truth, minlength=len(classes))
    if min(*counts, *(len(first.truth) - counts)) < 2:
        return {"why": "a class with fewer than two patients"}
    # In a binary task the AUC of either class says the same.
    tested = range(len(classes)) if len(classes) > 2 else [1]
    areas = {
        classes[k]: delong_test(first.truth == k, first.probabilities[:, k], second.probabilities[:, k]) for k in tested
    }
    return areas | {"why": None}
