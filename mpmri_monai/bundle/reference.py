"""``reference.json``: what another hospital needs to know of the weights beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai import artefacts
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.phase_times import phase_times
from mpmri_monai.bundle.provenance import SCRATCH, seen_in_training
from mpmri_monai.bundle.recipes import REQUIRED_AUTO, required_sequences
from mpmri_monai.evaluation.levels import UNIT
from mpmri_monai.sequences import DCE, fusion_name

REFERENCE_SCHEMA = "mpmri-monai/reference/1"

DECIMALS = 4
"""Written digits of a range: far below what a scanner resolves in mm, and in units of signal."""


def write_reference(
    folder: Path, cohort: CohortData, network: dict[str, Any], size: int | Sequence[int], averaging: bool = False
) -> None:
    """Write the reference of a run beside its weights, from its ``metrics.json`` and the samples it was trained on.

    Args:
        folder: the run folder.
        cohort: whose training patients the weights were fitted on.
        network: arguments of the network, so that the weights can be used again.
        size: of the network's input: side of a square in pixels, or (depth, row, column).
        averaging: whether predictions, and with them all that was fitted, are means over many crops of a sample, as
            answers then have to be.
    """
    metrics = artefacts.read_json(folder / "metrics.json")
    seen = cohort.samples("train").table
    calibration, config = metrics["calibration"], artefacts.read_json(folder / "config.json")
    asked, dropout = config.get("required_sequences", REQUIRED_AUTO), config.get("sequence_dropout", 0.0)
    reference = {
        "schema": REFERENCE_SCHEMA,
        "task": cohort.task.name,
        "classes": list(cohort.task.classes),
        "sequences": list(cohort.manifest.sequences),
        "protocol": cohort.protocol,
        "fusion": fusion_name(cohort.fusion),
        "required": list(required_sequences(asked, cohort.fusion, dropout)),
        "sequence_dropout": dropout,
        "network": network,
        "pixels": size if isinstance(size, int) else list(size),
        "averaging": averaging,
        "samples": cohort.settings.model_dump(mode="json"),
        "weights_sha256": artefacts.file_digest(folder / "model.pt"),
        "trained_on": {
            "cohort": cohort.manifest.name,
            "synthetic": cohort.manifest.truth is not None,
            "manifest_digest": cohort.manifest.digest(),
            "splits_digest": cohort.digests()["splits"],
            "patients": int(seen["patient"].nunique()),
            "lesions_per_class": seen.drop_duplicates(UNIT["lesion"])["label"].value_counts().to_dict(),
            "seen": seen_in_training(cohort, config.get("pretrained", SCRATCH)),
        },
        "present": {name: float(seen[f"present_{name}"].mean()) for name in cohort.fusion},
        "ranges": {**ranges(seen, cohort.manifest.sequences), "timing": timing(cohort, seen)},
        "tsic": signal_curves(seen, cohort.manifest.sequences),
        "fitted": calibration["fitted"] if calibration else [],
        "results": {level: found["metrics"] for level, found in metrics["levels"].items()},
        "ceiling": metrics["ceiling"],
    }
    artefacts.write_json(folder / "reference.json", reference)


def ranges(rows: pd.DataFrame, sequences: tuple[str, ...]) -> dict[str, Any]:
    """Return the smallest and largest values seen in training, over samples.

    Args:
        rows: of the store's table.
        sequences: of the cohort.

    Returns:
        ``extent_mm`` of the lesions and ``pitch_mm`` of the network's pixels as ``[low, high]``; and by sequence, where
        one was seen, ``offset_mm`` (distance of an acquired slice from the position asked for, which follows from the
        spacing) and ``signal`` (mean in the lesion before normalisation, in the scanner's units).
    """
    by_sequence = {
        quantity: {name: _range(rows[f"{column}_{name}"]) for name in sequences if rows[f"present_{name}"].any()}
        for quantity, column in (("offset_mm", "offset"), ("signal", "signal"))
    }
    return {"extent_mm": _range(rows["extent_mm"]), "pitch_mm": _range(rows["pitch_mm"]), **by_sequence}


def timing(cohort: CohortData, rows: pd.DataFrame) -> dict[str, list[float]]:
    """Return by sequence the earliest and the latest acquisition, in seconds since the first phase of its study.

    Sequences without a time in their headers are not in it.

    Args:
        cohort: whose headers are read.
        rows: of the store's table, those trained on.
    """
    found = phase_times(cohort.manifest, set(rows["study"]), cohort.workers)
    return {name: _range(pd.Series(times)) for name, times in found.items()}


def signal_curves(rows: pd.DataFrame, sequences: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return the mean signal per class and DCE phase over the lesions, relative to each lesion's plain phase S0."""
    phases = [name for name in DCE if name in sequences]
    if "S0" not in phases:
        return {}
    columns = [f"signal_{name}" for name in phases]
    lesions = rows.groupby(["label", *UNIT["lesion"]])[columns].mean()
    relative = lesions.div(lesions["signal_S0"], axis=0).groupby("label").mean()
    return {
        str(name): {
            phase: round(float(value), 4) for phase, value in zip(phases, curve, strict=True) if np.isfinite(value)
        }
        for name, curve in zip(relative.index, relative.to_numpy(), strict=True)
    }


def _range(values: pd.Series) -> list[float]:
    known = values[np.isfinite(values)]
    return [round(float(value), DECIMALS) for value in (known.min(), known.max())] if len(known) else []
