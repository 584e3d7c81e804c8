"""The answer: result.json, predictions.csv, a picture and a report, when the last sample is through the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.utils.enums import CommonKeys
from torch import nn

from mpmri_monai import artefacts
from mpmri_monai.bundle.run_folder import software
from mpmri_monai.errors import OutputError, WeightsError
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.explain import Explanation, explain
from mpmri_monai.inference.lesion import LesionData, lesion_answer
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.on_series import shown_on
from mpmri_monai.inference.seconds import Seconds
from mpmri_monai.inference.study import DescribedDataset, DescribedStudy
from mpmri_monai.report import LesionAnswer, answer_picture
from mpmri_monai.report.dicom_answer import remove_objects
from mpmri_monai.report.study_report import REPORT, write_study_report
from mpmri_monai.report.study_report_pictures import LesionPictures, acquired_views
from mpmri_monai.report.study_report_words import cautions, heading, noun
from mpmri_monai.training import prediction_rows

RESULT_SCHEMA = "mpmri-monai/result/1"
RESULT, PREDICTIONS, PICTURE = "result.json", "predictions.csv", "picture.png"
DICOM = "dicom"
"""Folder within an answer's that holds its DICOM objects; they alone name the patient."""

NEW = {"repeat": 0, "outer": 0, "inner": "", "role": "test"}


class AnswerWriter:
    """Handler that collects the network's outputs over one study and writes the answer at the end.

    Args:
        folder: where the files of the answer go.
        dataset: the study's samples.
        model: names classes and fusion.
        explained: also say why: maps, importance of the sequences, agreement over variants.
        seconds: where the time that this takes is added up.

    Raises:
        OutputError: the folder holds the answer for another study.
    """

    def __init__(
        self,
        folder: str | Path,
        dataset: DescribedDataset,
        model: TrainedModel,
        explained: bool = True,
        seconds: Seconds | None = None,
    ) -> None:
        self.folder, self.dataset, self.model, self.explained = Path(folder), dataset, model, explained
        self.seconds = Seconds() if seconds is None else seconds
        refuse_other_study(self.folder, dataset.study.study)
        self._probabilities: list[np.ndarray] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _collect(self, engine: Engine) -> None:
        logits = engine.state.output[CommonKeys.PRED]
        probabilities = torch.softmax(logits.double(), dim=1).cpu().numpy()
        if not np.isfinite(probabilities).all():  # no comparison with NaN is true: the answer would not be withheld
            raise WeightsError(
                expected="a probability of each class",
                found="a number that is not finite from the network",
                fix="`mpmri bundle verify` tells whether the bundle is whole",
                code="E_NOT_FINITE",
            )
        self._probabilities.append(probabilities)

    def _write(self, engine: Engine) -> None:
        data, model, described = self.dataset.data, self.model, self.dataset.described
        rows = prediction_rows(data, np.concatenate(self._probabilities), model.task, model.sequences, NEW)
        lesions = [self._lesion(str(name), table) for name, table in rows.groupby("lesion", sort=False)]
        with self.seconds.of("explanation"):
            why = {one.name: self._explanation(one, engine.network) for one in lesions} if self.explained else {}
        answers = [lesion_answer(lesion, model, why.get(lesion.name)) for lesion in lesions]
        result = result_of(described, model, answers)
        with self.seconds.of("report"):
            pictures = {lesion.name: self._pictures(lesion, why.get(lesion.name)) for lesion in lesions}
            write_answer(self.folder, result, model, rows, pictures)
        print_answer(self.folder, result)

    def _lesion(self, name: str, rows: pd.DataFrame) -> LesionData:
        return LesionData(
            name=name,
            samples=[sample for sample in self.dataset.samples if sample.lesion == name],
            rows=rows,
            times_s=self.dataset.described.times_s,
            cautions=self.dataset.cautions.get(name, ()),
            score=self.dataset.described.scores.get(name),
        )

    def _explanation(self, lesion: LesionData, network: nn.Module) -> Explanation:
        tensors = self.dataset[torch.tensor(lesion.rows.index.tolist())]
        return explain(
            network,
            tensors["image"],
            tensors["present"],
            tensors["extent_mm"],
            self.model.task.classes,
            fusion=self.model.fusion,
            size=self.model.size,
            predicted=lesion.most_probable(self.model),
        )

    def _pictures(self, lesion: LesionData, explanation: Explanation | None) -> LesionPictures:
        """Return what the report shows of a lesion: what the network saw, where it looked, and the acquired slices."""
        data, places = self.dataset.data, lesion.rows.index.to_numpy()
        mask, stacks, views = self.dataset.regions.lesions.get(lesion.name), self.dataset.stacks, ()
        if mask is not None:  # a study as a whole has none
            (given,) = [one for one in self.dataset.study.lesions if one.id == lesion.name]
            tried = (
                acquired_views(name, stacks[name], lesion.name, mask)
                for name in shown_on(given, mask, stacks, self.model.fusion)
            )
            views = next(filter(None, tried), ())
        return LesionPictures.of(
            self.model.fusion,
            data.image[places],
            [sample.mask for sample in lesion.samples],
            data.present[places],
            self.model.size,
            explanation,
            views=views,
        )


def refuse_other_study(folder: Path, code: str) -> None:
    """Raise OutputError where a folder holds another study's answer.

    One patient's picture beside another one's numbers is the worst that a folder could hold.
    """
    path = folder / RESULT
    if path.is_file() and _code_in(path) != code:
        raise OutputError(
            expected="a new folder, or that of an earlier answer for this study",
            found=f"the answer for another study in {folder}",
            fix="name another --output_dir",
            code="E_OUTPUT",
        )


def _code_in(path: Path) -> str | None:
    """Return the code of the study that an answer is about; None of a file that is no answer."""
    try:
        return str(artefacts.read_json(path)["study"]["code"])
    except (ValueError, KeyError, TypeError):
        return None


def result_of(described: DescribedStudy, model: TrainedModel, lesions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of ``result.json``, see docs/inference.md; no identifier is in it."""
    return {
        "schema": RESULT_SCHEMA,
        "research_use_only": True,
        "bundle": model.identity,
        "study": {
            "code": described.study.study,
            "sequences": described.roles,
            "missing": [name for name in model.fusion if name not in described.roles],
            "phase_times_s": {name: round(time, 1) for name, time in described.times_s.items()},
            "lesions_from": described.source,
            "searched_by": described.searched_by,
            "notes": list(described.notes),
        },
        "averaging": model.averaging,
        "calibration": model.calibration(),
        "lesions": lesions,
        "software": software(),
    }


def write_answer(
    folder: Path,
    result: dict[str, Any],
    model: TrainedModel,
    rows: pd.DataFrame | None,
    pictures: Mapping[str, LesionPictures],
) -> None:
    """Write the files of an answer; ``rows`` is None where there was nothing to ask the network about."""
    (folder / RESULT).unlink(missing_ok=True)  # it is there only beside the files that belong to it
    (folder / PREDICTIONS).unlink(missing_ok=True)
    remove_objects(folder / DICOM)
    answers = [_seen(lesion, pictures[lesion["id"]], noun(result)) for lesion in result["lesions"]]
    answer_picture(folder / PICTURE, answers)
    write_study_report(folder, result, pictures, model.reference)
    if rows is not None:
        write_predictions(folder / PREDICTIONS, rows)
    artefacts.write_json(folder / RESULT, result)


def _seen(answer: Mapping[str, Any], pictures: LesionPictures, noun: str) -> LesionAnswer:
    """Return a lesion's middle slice as the network saw it, with what it said."""
    return LesionAnswer(
        lesion=answer["id"],
        image=pictures.image,
        mask=pictures.mask,
        fusion=pictures.fusion,
        present=pictures.present,
        probabilities=answer["probabilities"],
        predicted=answer["predicted"],
        noun=noun,
    )


def print_answer(folder: Path, result: Mapping[str, Any]) -> None:
    """Print what the answer is, and where it lies."""
    for lesion in result["lesions"]:
        shown = ", ".join(f"{name} {p:.2f}" for name, p in lesion["probabilities"].items())
        print(f"{heading(lesion, noun(result))}: {lesion['predicted'] or 'no answer'} ({shown})")
        reasons = lesion["abstained_because"] or ""
        if reasons:
            print(f"  no answer because: {reasons}")
        for warning in cautions(lesion):
            if warning not in reasons:
                print(f"  warning: {warning}")
    for note in result["study"]["notes"]:
        print(f"note: {note}")
    if not result["lesions"]:
        print("No lesion was found.")
    print("Research use only: not for diagnosis.")
    print(f"Answer: {folder / RESULT}\nReport: {folder / REPORT}")
