"""The baseline to beat: logistic regression on mean signals in the lesion and its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from mpmri_monai.cohort.splits import kfold, patient_table, roles_of
from mpmri_monai.errors import EvaluationError, SplitError
from mpmri_monai.evaluation.predictions import KEY_COLUMNS, PRESENT, PROBABILITY
from mpmri_monai.sequences import Task

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse strengths C of the L2 penalty that are tried."""

DEFAULT_STRENGTH = 1.0
"""C where a class has too few patients to choose one."""

FOLDS = 5
MAX_ITERATIONS = 5000

SMALLEST_EXTENT_MM = 1.0
"""A region of one voxel has no extent to take the logarithm of."""

SMALLEST_PROBABILITY = 1e-12
"""Keeps the log loss finite for a class that the model of one fold has not seen."""

LESION = ["patient", "study", "lesion"]


def roi_baseline(
    table: pd.DataFrame,
    roles: Mapping[str, str],
    task: Task,
    sequences: Sequence[str],
    seed: int,
    *,
    repeat: int = 0,
    outer: int = 0,
) -> pd.DataFrame:
    """Fit the baseline on the patients of train and val and predict every labelled lesion.

    Multinomial logistic regression, L2-penalised, on the standardised mean signals ``level_<sequence>`` of the lesion
    (normalised per volume, averaged over its slices) and the logarithm of its extent. The penalty is chosen by
    patient-grouped cross-validation among the fitted patients. The signal of an absent sequence is the mean over the
    fitted lesions, with an indicator beside it.

    Args:
        table: rows of the samples store: ``patient, study, lesion, site, extent_mm, level_<sequence>…`` and ``label``
            (class name) or, as the store has it, ``label_<key of the task>``.
        roles: role of each patient; a patient without one is left out.
        task: names the label and the classes in order.
        sequences: those whose signals are used.
        seed: of the folds that choose the penalty.
        repeat: number of the repeat that ``roles`` belong to.
        outer: number of the outer fold that ``roles`` belong to.

    Returns:
        A predictions table with one row a lesion, for all roles; ``sample`` is empty.

    Raises:
        EvaluationError: a column is missing, or a class has no lesion to fit on.
    """
    lesions = _lesions(table, task, sequences)
    lesions["role"] = lesions["patient"].map(roles)
    lesions = lesions.dropna(subset="role").reset_index(drop=True)
    features = _features(lesions, sequences)
    fitted = lesions["role"].isin(["train", "val"]).to_numpy()
    counts = lesions.loc[fitted, "label"].value_counts()
    if set(counts.index) != set(task.classes):
        raise EvaluationError(
            expected="lesions of every class to fit the baseline on",
            found=", ".join(f"{name} {counts.get(name, 0)}" for name in task.classes),
        )
    # One thread: faster on matrices this small, and the sums do not depend on the machine's number of cores.
    with threadpool_limits(1):
        model = _model(_chosen_strength(features[fitted], lesions[fitted], task, seed))
        model.fit(features[fitted], lesions.loc[fitted, "label"])
    fit = lesions.assign(task=task.name, sample="", repeat=repeat, outer=outer, inner="")
    predictions = fit[list(KEY_COLUMNS)]
    probabilities = _probabilities(model, features, task)
    for index, name in enumerate(task.classes):
        predictions[PROBABILITY + name] = probabilities[:, index]
    for index, sequence in enumerate(sequences):
        predictions[PRESENT + sequence] = ~np.isnan(features[:, index])
    return predictions


def _lesions(table: pd.DataFrame, task: Task, sequences: Sequence[str]) -> pd.DataFrame:
    """Return one row for each labelled lesion: means over its slices, and its largest extent."""
    label = "label" if "label" in table else f"label_{task.label}"
    levels = [f"level_{sequence}" for sequence in sequences]
    missing = [column for column in (*LESION, "site", label, "extent_mm", *levels) if column not in table]
    if missing:
        raise EvaluationError(
            expected=f"the columns of a samples table, {', '.join(missing)} too", found="none of them"
        )
    labelled = table[table[label].isin(task.classes)]
    grouped = labelled.groupby(LESION, sort=True)
    rules = {"site": "first", label: "first", "extent_mm": "max", **dict.fromkeys(levels, "mean")}
    return grouped.agg(rules).reset_index().rename(columns={label: "label"})


def _features(lesions: pd.DataFrame, sequences: Sequence[str]) -> np.ndarray:
    """Return the features, shape (lesion, sequence + 1): mean signals in [0, 1], NaN when absent, and log extent."""
    levels = lesions[[f"level_{sequence}" for sequence in sequences]].to_numpy(float)
    return np.column_stack([levels, np.log(np.maximum(lesions["extent_mm"].to_numpy(float), SMALLEST_EXTENT_MM))])


def _model(strength: float) -> Pipeline:
    return make_pipeline(
        SimpleImputer(strategy="mean", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(C=strength, max_iter=MAX_ITERATIONS),
    )


def _chosen_strength(features: np.ndarray, lesions: pd.DataFrame, task: Task, seed: int) -> float:
    """Return the C with the smallest cross-validated log loss; no patient is on both sides of a fold."""
    try:
        patients = patient_table(lesions[["patient", "label", "site"]], task.classes)
        folds = min(FOLDS, int(patients["label"].value_counts().min()))
        splits = kfold(patients, folds=folds, val=0, seed=seed)
    except SplitError:
        return DEFAULT_STRENGTH
    losses = np.zeros(len(STRENGTHS))
    for fold in range(folds):
        tested = lesions["patient"].map(roles_of(splits, 0, fold)).eq("test").to_numpy()
        for index, strength in enumerate(STRENGTHS):
            model = _model(strength).fit(features[~tested], lesions.loc[~tested, "label"])
            predicted = _probabilities(model, features[tested], task)
            truth = lesions.loc[tested, "label"].map(task.classes.index).to_numpy()
            of_truth = predicted[np.arange(len(truth)), truth]
            losses[index] -= np.log(np.maximum(of_truth, SMALLEST_PROBABILITY)).sum()
    return STRENGTHS[int(losses.argmin())]


def _probabilities(model: Pipeline, features: np.ndarray, task: Task) -> np.ndarray:
    """Return probabilities with shape (lesion, class) in the task's order; 0 for a class that the model never saw."""
    probabilities = np.zeros((len(features), len(task.classes)))
    probabilities[:, [task.classes.index(name) for name in model.classes_]] = model.predict_proba(features)
    return probabilities
