"""The answer: result.json, predictions.csv and a picture, written when the last sample is through the network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys

from mpmri_monai import artefacts
from mpmri_monai.bundle.run_folder import software
from mpmri_monai.errors import OutputError
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.evaluation.levels import at_level
from mpmri_monai.evaluation.predictions import PROBABILITY
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.study import StudyDataset
from mpmri_monai.report import LesionAnswer, answer_picture
from mpmri_monai.training import prediction_rows
from mpmri_monai.transforms.batch import centre_crop

RESULT_SCHEMA = "mpmri-monai/result/1"
NEW = {"repeat": 0, "outer": 0, "inner": "", "role": "test"}

logger = logging.getLogger(__name__)


class AnswerWriter:
    """Handler that collects the network's outputs over one study and writes the answer at the end.

    Args:
        folder: where ``result.json``, ``predictions.csv`` and ``picture.png`` go.
        dataset: the study's samples.
        model: names classes and fusion.

    Raises:
        OutputError: the folder holds the answer for another study.
    """

    def __init__(self, folder: str | Path, dataset: StudyDataset, model: TrainedModel) -> None:
        self.folder, self.dataset, self.model = Path(folder), dataset, model
        self._refuse_other_study()
        self._probabilities: list[np.ndarray] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _refuse_other_study(self) -> None:
        """One patient's picture beside another one's numbers is the worst that a folder could hold."""
        path = self.folder / "result.json"
        if path.is_file() and artefacts.read_json(path).get("study", {}).get("code") != self.dataset.study.study:
            raise OutputError(
                expected="a new folder, or that of an earlier answer for this study",
                found=f"the answer for another study in {self.folder}",
                fix="name another --output_dir",
                code="E_OUTPUT",
            )

    def _collect(self, engine: Engine) -> None:
        logits = engine.state.output[CommonKeys.PRED]
        self._probabilities.append(torch.softmax(logits.double(), dim=1).cpu().numpy())

    def _write(self, engine: Engine) -> None:
        data = self.dataset.data
        rows = prediction_rows(data, np.concatenate(self._probabilities), self.model.task, self.model.sequences, NEW)
        answers = [self._lesion(name, table) for name, table in rows.groupby("lesion", sort=False)]
        (self.folder / "result.json").unlink(missing_ok=True)  # it is there only beside the files that belong to it
        answer_picture(self.folder / "picture.png", [self._picture(answer, rows) for answer in answers])
        write_predictions(self.folder / "predictions.csv", rows)
        artefacts.write_json(self.folder / "result.json", self._result(answers))
        self._print(answers)

    def _lesion(self, name: str, rows: pd.DataFrame) -> dict[str, Any]:
        """Return one lesion's part of the answer: the mean over its slices, calibrated where the weights are."""
        classes = self.model.task.classes
        mean = at_level(rows, self.model.task, "lesion")[[PROBABILITY + label for label in classes]].to_numpy()
        (shown,), sets = self.model.calibrated(mean), self.model.conformal_sets(mean)
        samples = [sample for sample in self.dataset.samples if sample.lesion == name]
        present = {s: bool(rows[f"present_{s}"].any()) for s in self.model.fusion}
        return {
            "id": name,
            "probabilities": {label: round(float(p), 6) for label, p in zip(classes, shown, strict=True)},
            "predicted": classes[int(mean.argmax())],
            **({} if sets is None else {"conformal_set": sets[0]}),
            "present": present,
            "position_mm": [round(float(x), 1) for x in np.mean([s.position_mm for s in samples], axis=0)],
            "extent_mm": round(float(samples[0].extent_mm), 1),
            "slices": len(rows) * (self.model.size[0] if len(self.model.size) == 3 else 1),
            "warnings": [*self._warnings(samples, rows), *self._about_mask(name)],
        }

    def _warnings(self, samples: list[Any], rows: pd.DataFrame) -> list[str]:
        missing = {name: int((~rows[f"present_{name}"].astype(bool)).sum()) for name in self.model.fusion}
        warnings = [self._about_missing(name, slices, len(rows)) for name, slices in missing.items() if slices]
        low, high = self.model.reference["ranges"]["extent_mm"]
        extent = samples[0].extent_mm
        if not low <= extent <= high:
            warnings.append(f"the lesion measures {extent:.0f} mm; training saw {low:.0f} to {high:.0f} mm")
        if any("cut" in sample.flags for sample in samples):
            warnings.append("the lesion is larger than the crop that the network sees: it saw a part")
        used = set(self.model.fusion)
        flags = sorted({flag for sample in samples for flag in sample.flags if flag.partition(":")[2] in used})
        return warnings + flags

    def _about_mask(self, lesion: str) -> list[str]:
        return [f"its mask: {caution.message} ({caution.code})" for caution in self.dataset.cautions.get(lesion, ())]

    def _about_missing(self, name: str, slices: int, of: int) -> str:
        share = self.model.reference["present"][name]
        what = f"{name} is missing" + (f" on {slices} of {of} slices" if slices < of else "")
        if share == 1:
            return f"{what}, and training never saw it missing: do not rely on this answer"
        return f"{what}, as it was in {1 - share:.1%} of the training samples"

    def _picture(self, answer: dict[str, Any], rows: pd.DataFrame) -> LesionAnswer:
        """Return the picture of a lesion's middle slice, as the network saw it."""
        indices = np.flatnonzero((rows["lesion"] == answer["id"]).to_numpy())
        middle = int(indices[len(indices) // 2])
        shown = self.dataset.data.present[middle]
        size = self.model.size
        return LesionAnswer(
            lesion=answer["id"],
            image=centre_crop(self.dataset.data.image[middle], size),
            mask=centre_crop(self.dataset.samples[middle].mask, size),
            fusion=self.model.fusion,
            present=dict(zip(self.model.fusion, map(bool, shown), strict=True)),
            probabilities=answer["probabilities"],
            predicted=answer["predicted"],
        )

    def _result(self, answers: list[dict[str, Any]]) -> dict[str, Any]:
        catalogue = self.dataset.catalogue
        return {
            "schema": RESULT_SCHEMA,
            "research_use_only": True,
            "bundle": self.model.bundle | {"weights_sha256": self.model.weights_sha256},
            "study": {
                "code": self.dataset.study.study,
                "sequences": {name: catalogue.roles[name] for name in self.dataset.study.images},
            },
            "averaging": self.model.averaging,
            "calibration": self.model.calibration(),
            "lesions": answers,
            "software": software(),
        }

    def _print(self, answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            shown = ", ".join(f"{name} {p:.2f}" for name, p in answer["probabilities"].items())
            print(f"Lesion {answer['id']}: {answer['predicted']} ({shown})")
            for warning in answer["warnings"]:
                print(f"  warning: {warning}")
        print("Research use only: not for diagnosis.")
        print(f"Answer: {self.folder / 'result.json'}\nPicture: {self.folder / 'picture.png'}")
