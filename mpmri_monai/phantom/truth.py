"""What is known about a phantom's lesions, and how well any classifier can do on them: the ceiling.

The Bayes classifier of the generating model, given the latents that the sequences show, is the best there is: no
network that sees only their pictures can beat it on average. Its result on given lesions is found by drawing labels
from what all latents together say about each lesion, and asking the classifier; the scatter over the draws is that of
a test set of this size. So a fusion never gets a higher accuracy ceiling than all sequences on the same lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from mpmri_monai.errors import EvaluationError
from mpmri_monai.phantom.classes import ClassModel, model_of
from mpmri_monai.phantom.patients import Patient
from mpmri_monai.sequences import PAPER_FUSIONS, fusion_name

KEYS = ("patient", "study", "site", "lesion", "label", "sequences", "diameter_mm")

DRAWS = 4000
"""Label sets drawn for the spread of the ceiling: percentiles are then good to about a percent of their width."""


def truth_table(patients: Sequence[Patient], prior: Sequence[float] | NDArray) -> pd.DataFrame:
    """Return one row a lesion: keys, latents, posterior of the model over all sequences and over each paper fusion."""
    model = patients[0].anatomy.findings
    rows = [
        {
            "patient": patient.name,
            "study": patient.study,
            "site": patient.site.name,
            "lesion": patient.lesion_name(k),
            "label": lesion.label,
            "sequences": fusion_name(patient.site.sequences),
            "diameter_mm": 2 * lesion.radius,
            **dict(zip(model.names, lesion.latents, strict=True)),
        }
        for patient in patients
        for k, lesion in enumerate(patient.body.lesions)
    ]
    table = pd.DataFrame(rows, columns=[*KEYS, *model.names])
    for name, sequences in named_fusions(model).items():
        table[[f"p_{name}_{label}" for label in model.classes]] = _posteriors(table, model, sequences, prior)
    return table


def named_fusions(model: ClassModel) -> dict[str, tuple[str, ...]]:
    """Return the fusions whose ceilings are told: all sequences, and those of the paper that there are."""
    paper = [fusion for fusion in PAPER_FUSIONS.values() if set(fusion) <= set(model.sequences)]
    return {"all": model.sequences, **{fusion_name(fusion): fusion for fusion in paper}}


def read_truth(path: Path | str) -> pd.DataFrame:
    """Read ``truth.csv``.

    Raises:
        EvaluationError: the file is missing, or a column is, or its labels are of no phantom.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(expected="the truth table of a phantom cohort", found="no such file", where=path.name)
    table = pd.read_csv(path, dtype=dict.fromkeys(KEYS[:-1], str))
    wanted = KEYS if "label" not in table else (*KEYS, *model_of(table["label"].unique()).names)
    missing = [name for name in wanted if name not in table]
    if missing:
        raise EvaluationError(
            expected="a column for every latent of this version's phantom",
            found=f"no column {', '.join(missing)}",
            where=path.name,
            fix="write the cohort again with mpmri phantom",
        )
    return table


def ceiling(
    truth: pd.DataFrame,
    fusion: Sequence[str],
    lesions: set[tuple[str, str]] | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, float | None]]:
    """Return the accuracy and macro one-vs-rest AUC that the Bayes classifier reaches on ``lesions``.

    Args:
        truth: the whole cohort's table; the prior is its share of each class.
        fusion: the sequences that the classifier sees; a site's missing sequences are taken away.
        lesions: (patient, lesion) pairs; None for all.
        classes: those of the phantom, if they are to be checked.
        seed: of the label draws.

    Returns:
        {"accuracy": {"mean", "low", "high"}, "macro_auc": {...}}: mean and central 95 % over the drawn label sets; an
        AUC is None when no draw has two classes.

    Raises:
        EvaluationError: none of the lesions is in the table, or the classes are not the phantom's.
    """
    model = model_of(truth["label"].unique())
    if classes is not None and set(classes) != set(model.classes):
        raise EvaluationError(expected=f"the classes {', '.join(model.classes)}", found=", ".join(classes))
    chosen = truth
    if lesions is not None:
        chosen = truth[[pair in lesions for pair in zip(truth["patient"], truth["lesion"], strict=True)]]
    if chosen.empty:
        raise EvaluationError(expected="lesions of the phantom's truth table", found="none of them")
    prior = [float((truth["label"] == label).mean()) for label in model.classes]
    probability = _posteriors(chosen, model, fusion, prior)
    rng = np.random.default_rng(seed)
    likely = _posteriors(chosen, model, model.sequences, prior)
    drawn = (rng.random((DRAWS, len(chosen), 1)) > likely.cumsum(axis=1)[None, :, :-1]).sum(axis=2)
    accuracy = (drawn == probability.argmax(axis=1)).mean(axis=1)
    return {"accuracy": _summary(accuracy), "macro_auc": _summary(_macro_auc(drawn, probability))}


def _posteriors(
    table: pd.DataFrame, model: ClassModel, sequences: Sequence[str], prior: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the posterior (lesion, class) given what each lesion's site acquired of ``sequences``."""
    result = np.empty((len(table), len(model.classes)))
    z = table[list(model.names)].to_numpy(float)
    for acquired in table["sequences"].unique():
        rows = (table["sequences"] == acquired).to_numpy()
        result[rows] = model.posterior(z[rows], [name for name in sequences if name in acquired.split("-")], prior)
    return result


def _macro_auc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean one-vs-rest AUC of each label set (draw, lesion), over the classes that it holds; NaN without.

    Mann-Whitney: AUC = (sum of the positives' ranks − n₊(n₊+1)/2) / (n₊ n₋).
    """
    areas = []
    for k in range(scores.shape[1]):
        positive = labels == k
        count = positive.sum(axis=1)
        pairs = count * (labels.shape[1] - count)
        area = (positive @ rankdata(scores[:, k]) - count * (count + 1) / 2) / np.where(pairs > 0, pairs, 1)
        areas.append(np.where(pairs > 0, area, np.nan))
    stacked = np.stack(areas)
    known = np.isfinite(stacked)
    return np.where(known.any(axis=0), np.nansum(stacked, axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)


def _summary(values: NDArray[np.float64]) -> dict[str, float | None]:
    values = values[np.isfinite(values)]
    if not values.size:
        return {"mean": None, "low": None, "high": None}
    low, high = np.percentile(values, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}
