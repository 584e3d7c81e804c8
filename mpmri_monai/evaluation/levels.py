"""From predictions of slices to those of lesions and of patients, by rules that are stated with the result."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np
import pandas as pd

from mpmri_monai.errors import EvaluationError, LeakageError
from mpmri_monai.evaluation.predictions import DECIMALS, PROBABILITY, class_names
from mpmri_monai.sequences import Task

FIT = ["repeat", "outer"]
"""What names one fitted model among the outer fits."""

UNIT = {
    "slice": ["patient", "study", "lesion", "sample"],
    "lesion": ["patient", "study", "lesion"],
    "patient": ["patient"],
}
"""What names one unit of a level; it is predicted once in each fit whose role holds its patient."""

RULES = {
    "slice": "each sample by itself",
    "lesion": "mean probability over the samples of the lesion",
    "patient": "truth: worst grade among the lesions; prediction: that of the lesion with the highest expected grade",
}

SUM_TOLERANCE = 1e-4
"""How far a row of probabilities may be from 1: float32 softmax and rounding to eight decimals stay far below it."""


COPY = "+"
"""Stands in the name of a sample that is a stored copy of another, before the name of the view."""


def tested_rows(predictions: pd.DataFrame, task: Task, role: str, unit: str = "patient") -> pd.DataFrame:
    """Return the labelled rows of ``role`` in the outer fits, checked and sorted.

    Args:
        predictions: checked by `predictions.check_predictions`.
        task: the classes in order.
        role: ``test`` or ``val``.
        unit: what was divided; a patient may have several roles only where it is ``lesion`` or ``sample``.

    Raises:
        EvaluationError: another task or other classes, probabilities that are none, unknown labels, or no row.
        LeakageError: a patient has two roles in one fit.
    """
    _check_task(predictions, task)
    outer = predictions[predictions["inner"] == ""]
    if unit == "patient":
        _check_roles(outer)
    rows = outer[(outer["role"] == role) & (outer["label"] != "")]
    if rows.empty:
        raise EvaluationError(
            expected=f"labelled predictions of role {role}",
            found=f"{len(outer)} rows, of roles {', '.join(sorted(set(outer['role']))) or 'none'}",
        )
    unknown = sorted(set(rows["label"]) - set(task.classes))
    if unknown:
        near = get_close_matches(unknown[0], task.classes, n=1)
        raise EvaluationError(
            expected=f"labels among {', '.join(task.classes)}",
            found=repr(unknown[0]),
            fix=f"did you mean {near[0]!r}?" if near else None,
        )
    values = rows[_probability_columns(task)].to_numpy(float)
    _check_probabilities(values)
    return rows.sort_values([*FIT, "patient", "study", "lesion", "sample"], ignore_index=True)


def check_complete(rows: pd.DataFrame, role: str, unit: str = "patient") -> None:
    """Refuse predictions of which a part is missing; it would be left out of the numbers without a word.

    Wherever a unit is tested, all its samples are; and where repeats have several folds, each repeat tests all units.
    Repeated holdouts test other patients by design.

    Args:
        rows: from `tested_rows`.
        role: of the rows; validation sets need not cover the cohort.
        unit: what was divided: ``patient``, ``lesion`` or ``sample``.

    Raises:
        EvaluationError: with the number of those that are missing.
    """
    key = {"patient": UNIT["patient"], "lesion": UNIT["lesion"], "sample": UNIT["slice"]}[unit]
    whole = rows.drop_duplicates(UNIT["slice"]).groupby(key).size()
    tested = rows.groupby([*FIT, *key]).size()
    wanted = whole.reindex(tested.index.droplevel(FIT)).to_numpy()
    if (tested.to_numpy() < wanted).any():
        raise EvaluationError(
            expected=f"all samples of a {unit} wherever it is tested",
            found=f"{int((wanted - tested).sum())} missing, of {int((tested.to_numpy() < wanted).sum())} {unit}s",
            fix="all runs of one evaluation need one store and one labels table; predict again",
            code="E_PREDICTIONS_MISSING",
        )
    if role != "test" or (rows.groupby("repeat")["outer"].nunique() < 2).all():
        return
    of_repeat = rows.drop_duplicates(["repeat", *key]).groupby("repeat").size()
    if (of_repeat < len(whole)).any():
        raise EvaluationError(
            expected=f"each of the {len(whole)} {unit}s tested in every repeat",
            found=", ".join(f"{len(whole) - n} missing in repeat {name}" for name, n in of_repeat.items()),
            fix="run the folds that are missing",
            code="E_PREDICTIONS_MISSING",
        )


def check_no_copies(rows: pd.DataFrame) -> None:
    """Raise EvaluationError where stored copies stand among the samples; it counts them."""
    copies = rows["sample"].str.contains(COPY, regex=False)
    if copies.any():
        raise EvaluationError(
            expected="each sample once; a stored copy is not a sample",
            found=f"{int(copies.sum())} copies among {len(rows)} rows",
            fix="leave the copies out, or name the unit that was divided, lesion or sample",
            code="E_COPIES",
        )


def at_level(rows: pd.DataFrame, task: Task, level: str) -> pd.DataFrame:
    """Return one row for each slice, lesion or patient and fit: `FIT`, `UNIT`, label and probabilities.

    Args:
        rows: from `tested_rows`.
        task: gives the order of the classes.
        level: ``slice``, ``lesion`` or ``patient``; `RULES` says how rows become one. Probabilities are rounded as
            they are written, so that a table gives the same metrics from memory and from its file, and noise breaks
            no tie.

    Raises:
        EvaluationError: the samples of a lesion have different labels.
    """
    probabilities = _probability_columns(task)
    rows = rows.round(dict.fromkeys(probabilities, DECIMALS))
    if level == "slice":
        return rows[[*FIT, *UNIT["slice"], "label", *probabilities]]
    grouped = rows.groupby([*FIT, *UNIT["lesion"]], sort=True)
    if (grouped["label"].nunique() > 1).any():
        raise EvaluationError(expected="one label for each lesion", found="samples of one lesion with different labels")
    lesions = grouped.agg({"label": "first", **dict.fromkeys(probabilities, "mean")}).reset_index()
    lesions = lesions.round(dict.fromkeys(probabilities, DECIMALS))
    if level == "lesion":
        return lesions
    lesions["grade"] = lesions["label"].map({name: index for index, name in enumerate(task.classes)})
    lesions["expected_grade"] = lesions[probabilities].to_numpy() @ np.arange(len(task.classes))
    by_patient = lesions.groupby([*FIT, "patient"], sort=True)
    worst = lesions.loc[by_patient["expected_grade"].idxmax(), [*FIT, "patient", *probabilities]]
    worst["label"] = np.array(task.classes)[by_patient["grade"].max().to_numpy()]
    return worst.reset_index(drop=True)


def levels_of(rows: pd.DataFrame, task: Task) -> tuple[str, ...]:
    """Return the levels that the rows can be evaluated at; a table without samples has no slices."""
    slices = ("slice",) if (rows["sample"] != "").any() else ()
    patients = ("patient",) if task.patient_level else ()
    return (*slices, "lesion", *patients)


def _probability_columns(task: Task) -> list[str]:
    return [PROBABILITY + name for name in task.classes]


def _check_probabilities(values: np.ndarray) -> None:
    """Raise EvaluationError unless every row of shape (unit, class) is a distribution."""
    undefined = np.isnan(values).any(axis=1)
    outside = ~undefined & ((values < 0) | (values > 1 + SUM_TOLERANCE)).any(axis=1)
    apart = ~undefined & ~outside & (np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE)
    problems = {"with NaN": undefined, "outside [0, 1]": outside, "with another sum": apart}
    found = [f"{int(rows.sum())} {what}" for what, rows in problems.items() if rows.any()]
    if found:
        raise EvaluationError(
            expected="probabilities in [0, 1] that add up to 1",
            found=f"among {len(values)} rows {', '.join(found)}",
            fix="look for divergence in the training log" if undefined.any() else None,
            code="E_PROBABILITIES",
        )


def _check_task(predictions: pd.DataFrame, task: Task) -> None:
    tasks, classes = sorted(set(predictions["task"])), class_names(predictions)
    if tasks != [task.name] or set(classes) != set(task.classes):
        raise EvaluationError(
            expected=f"predictions for task {task.name} with classes {', '.join(task.classes)}",
            found=f"task {', '.join(tasks) or '(no row)'} with classes {', '.join(classes)}",
        )


def _check_roles(outer: pd.DataFrame) -> None:
    roles = outer[[*FIT, "patient", "role"]].drop_duplicates()
    shared = sorted(set(roles.loc[roles.duplicated([*FIT, "patient"]), "patient"]))
    if shared:
        raise LeakageError(
            expected="every patient in one role of a fit",
            found=f"{len(shared)} in two, such as {', '.join(shared[:3])}",
            where="predictions",
            fix="split by patient",
            code="E_LEAK",
        )
