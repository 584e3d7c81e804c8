"""What a run folder holds, read once for the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpmri_monai.artefacts import file_digest
from mpmri_monai.cohort import read_splits
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import read_predictions

HISTORY = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate")
ARTEFACTS = ("config.json", "splits.csv", "model.pt", "predictions.csv", "metrics.json")


@dataclass(frozen=True)
class RunFolder:
    """The parts of a finished run that a report shows."""

    metrics: dict[str, Any]
    predictions: pd.DataFrame
    splits: pd.DataFrame
    history: pd.DataFrame
    """At least the columns of ``HISTORY``; no rows when nothing was trained."""
    config: dict[str, Any]
    environment: dict[str, Any]
    digests: dict[str, str]
    """File name -> sha256, of the artefacts that are there."""


def read_run(run: Path) -> RunFolder:
    """Read a run folder.

    Raises:
        EvaluationError: ``metrics.json`` or ``predictions.csv`` is missing or cannot be read, or another file is
            there but cannot be read. The record of the training may be missing: the report then says so.
        ManifestError: ``splits.csv`` is missing or cannot be read.
    """
    return RunFolder(
        metrics=_json(run / "metrics.json"),
        predictions=read_predictions(run / "predictions.csv"),
        splits=read_splits(run / "splits.csv"),
        history=_history(run / "history.csv"),
        config=_json(run / "config.json") if (run / "config.json").exists() else {},
        environment=_json(run / "environment.json") if (run / "environment.json").exists() else {},
        digests={name: file_digest(run / name) for name in ARTEFACTS if (run / name).exists()},
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not isinstance(content, dict):
        raise _unreadable(path)
    return content


def _history(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(HISTORY), dtype=float)
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not set(HISTORY) <= set(table.columns):
        raise _unreadable(path)
    return table


def _unreadable(path: Path) -> EvaluationError:
    return EvaluationError(
        expected=f"a run folder with a readable {path.name}",
        found="something else" if path.exists() else "no such file",
        where=path.parent.name,
        fix="train or evaluate into this folder first",
        code="E_RUN",
    )
