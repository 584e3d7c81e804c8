"""Runs that were never trained on a cohort of two classes without outlined lesions."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import file_digest
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.evaluation.fitted import salted
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.plan import Run

CLASSES = ("healthy", "unhealthy")
BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "mctl_brain"


def brain_context(folder: Path, patients: int = 24, labelled: int | None = None, **given: Any) -> Context:
    """An experiment's context on patients who are healthy and unhealthy in turn, as studies without lesions."""
    studies = [
        {"patient": f"B{i:02}", "study": f"B{i:02}-1", "site": "A", "images": {}, "lesions": []}
        | {"labels": {"brain": CLASSES[i % 2]} if labelled is None or i < labelled else {}}
        for i in range(patients)
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": "heads", "sequences": ["T2"]}
    content |= {"classes": {"brain": list(CLASSES)}, "studies": studies}
    (folder / "manifest.json").write_text(json.dumps(content))
    return Context(bundles=(BUNDLE,), manifest=folder / "manifest.json", out=folder / "out", **given)


def weights_that_saw(path: Path, *patients: str) -> str:
    """Write a file in the place of weights, with the record beside it of whom they have seen; return its name."""
    path.write_bytes(b"weights")
    seen = [{"salt": "00", "patients": [salted("00", patient) for patient in patients]}]
    record = {"weights_sha256": file_digest(path), "trained_on": {"seen": seen}}
    path.with_suffix(".json").write_text(json.dumps(record))
    return str(path)


@dataclass(frozen=True)
class Reader:
    """Writes the predictions of runs as a reader would who sees through noise which patients are unhealthy.

    Attributes:
        patients: of the cohort.
        noise: SD of what is added to the logit, which is ±2; by the options of a run where it is a function of them.
        failing: part of the name of runs that never finish.
    """

    patients: int = 24
    noise: float = 1.0
    failing: str = "no run is called so"

    def noise_of(self, options: Mapping[str, Any]) -> float:
        """How much noise there is in a run of these options."""
        return self.noise

    def finish(self, context: Context, run: Run) -> None:
        """Write ``predictions.csv`` of one run."""
        if self.failing in run.name:
            return
        rng = np.random.default_rng(zlib.crc32(run.name.encode()))
        number = np.arange(self.patients)
        logit = np.where(number % 2, 2.0, -2.0) + rng.normal(size=self.patients) * self.noise_of(run.options)
        p = 1 / (1 + np.exp(-logit))
        options = run.options
        inner = options.get("split#inner", -1)
        table = pd.DataFrame(
            {
                "task": "brain",
                "patient": [f"B{i:02}" for i in number],
                "study": [f"B{i:02}-1" for i in number],
                "lesion": "whole",
                "sample": "whole-00",
                "site": "A",
                "repeat": options.get("split#repeat", 0),
                "outer": options.get("split#fold", 0),
                "inner": "" if inner < 0 else str(inner),
                "role": _roles(number, options),
                "label": np.array(CLASSES)[number % 2],
                "p_healthy": 1 - p,
                "p_unhealthy": p,
                "present_T2": True,
            }
        )
        context.folder(run).mkdir(parents=True)
        write_predictions(context.folder(run) / "predictions.csv", table[table["role"] != ""])


def _roles(number: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    """Every patient in one outer fold and one inner fold, both classes in each."""
    fold = options.get("split#fold", 0)
    if options.get("split#leave_out") == "patient":
        return np.where(number == fold, "test", np.where((number - fold) % 8 == 1, "val", "train"))
    pair = number // 2
    test, val = pair % options["split#folds"] == fold, pair // options["split#folds"] % options["split#inner_folds"]
    if options["split#inner"] < 0:
        return np.where(test, "test", "train")
    return np.where(test, "", np.where(val == options["split#inner"], "val", "train"))
