"""One study in, its answer out: what a batch, a test or a program calls."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from monai.engines import SupervisedEvaluator

from mpmri_monai.artefacts import read_json
from mpmri_monai.bundle.network import check_device
from mpmri_monai.errors import BundleError, CatalogueError, ConfigError
from mpmri_monai.inference.answer import (
    DICOM,
    PICTURE,
    RESULT,
    AnswerWriter,
    print_answer,
    refuse_other_study,
    result_of,
    write_answer,
)
from mpmri_monai.inference.find import find_lesions
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.on_series import regions_on_series, source_files
from mpmri_monai.inference.question import Question
from mpmri_monai.inference.seconds import Seconds
from mpmri_monai.inference.study import DescribedDataset, DescribedStudy
from mpmri_monai.networks import LayeredNetwork
from mpmri_monai.training import EvaluationLoader, pin_threads, prepare_batch
from mpmri_monai.transforms import preprocessing

THREADS = 1
"""As in the bundles' inference.json: the number is part of the result. A few crops gain little by a second thread, and
where other programs run its threads wait for each other: explaining a lesion took 12 s instead of 1."""

FOUND_SCORE = 0.5
"""A candidate counts from here: the detector takes it for a lesion rather than for background."""

MOST_FOUND = 5
"""So many candidates are answered, the best ones (count): a lesion beside the four false ones that finding is judged at
at most."""

OF_CANDIDATES = "A candidate is a place that looks like a lesion to the detector. Of one that is none, no class holds."


@dataclass(frozen=True, eq=False)
class Answered:
    """An answer that was written."""

    code: str
    """Of the study: the name of the answer's folder."""
    folder: Path
    seconds: Seconds


@dataclass(frozen=True, eq=False)
class Reader:
    """A bundle's classifier, ready to answer; with a detector it also finds what to answer."""

    model: TrainedModel
    device: torch.device
    network: LayeredNetwork = field(repr=False)
    detector: TrainedModel | None = None

    @classmethod
    def of(cls, model: TrainedModel, device: str | None = None, detector: TrainedModel | None = None) -> Reader:
        """Return the reader of a model on a device; by default the accelerator where there is one.

        Raises:
            ConfigError: this machine has no such device.
            WeightsError: the weights do not fit the network.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        check_device(device)
        pin_threads(THREADS)
        return cls(model, torch.device(device), model.network().to(device).eval(), detector)

    def answer(self, question: Question, out: Path, dicom_out: bool = False, others: Collection[str] = ()) -> Answered:
        """Answer one study into a folder of its own in ``out``, named by the study's code.

        The same as ``python -m monai.bundle run inference`` on the bundle's own configuration.

        Args:
            question: the study.
            out: folder of the answers.
            dicom_out: also write the answer as DICOM objects, which name the patient.
            others: codes of the studies that were answered into ``out`` by other questions; they are left alone.

        Raises:
            MpmriError: what is wrong with the study, its masks or the place.
        """
        seconds = Seconds()
        with seconds.of("headers"):
            described = question.described(self.model)
        folder = out / described.study.study
        if dicom_out:
            _refuse_without_dicom(described)
        _refuse_twice(described.study.study, others)
        refuse_other_study(folder, described.study.study)
        if question.find:
            with seconds.of("finding"):
                described = self._found(described, question.allow_missing)
        if question.find and not described.study.lesions:
            return self._nothing(described, folder, seconds, dicom_out)
        with seconds.of("images"):
            steps = preprocessing(self.model.settings, self.model.sequences)
            dataset = DescribedDataset(described, self.model, steps, self.device)
        with seconds.of("network"):
            self._run(dataset, AnswerWriter(folder, dataset, self.model, seconds=seconds))
        if dicom_out:
            with seconds.of("DICOM"):
                _write_dicom(folder, described, dataset, self.model)
        return Answered(described.study.study, folder, seconds)

    def _run(self, dataset: DescribedDataset, writer: AnswerWriter) -> None:
        SupervisedEvaluator(
            device=self.device,
            val_data_loader=EvaluationLoader(dataset, size=self.model.seen_size),
            network=self.network,
            inferer=self.model.inferer(),
            prepare_batch=prepare_batch,
            val_handlers=[writer],
            decollate=False,
        ).run()

    def _found(self, described: DescribedStudy, allow_missing: bool) -> DescribedStudy:
        if self.detector is None:
            raise BundleError(expected="a detector to find lesions with", found="none", fix="add --detector BUNDLE")
        findings = find_lesions(described.study, Path(), self.detector, self.device, allow_missing)
        likely = [one for one in findings.found.candidates if one.score >= FOUND_SCORE]
        notes = [*([OF_CANDIDATES] if likely else []), *findings.notes, *_about_rest(len(likely))]
        return described.with_found(likely[:MOST_FOUND], self.detector.identity, notes)

    def _nothing(self, described: DescribedStudy, folder: Path, seconds: Seconds, dicom_out: bool) -> Answered:
        """Say that the detector found nothing; that there is nothing it does not say."""
        result = result_of(described, self.model, [])
        with seconds.of("report"):
            write_answer(folder, result, self.model, None, {})
        print_answer(folder, result)
        if dicom_out:
            with seconds.of("DICOM"):
                _write_dicom(folder, described, None, self.model)
        return Answered(described.study.study, folder, seconds)


def _refuse_twice(code: str, others: Collection[str]) -> None:
    if code in others:
        raise ConfigError(
            expected="each study once",
            found=f"the images of {code} again, with another question",
            fix="name another folder for the second answer",
            code="E_TWICE",
        )


def _refuse_without_dicom(described: DescribedStudy) -> None:
    if not source_files(described):
        raise CatalogueError(
            expected="a study in DICOM, for objects that belong to it",
            found="one in NIfTI",
            fix="leave out --dicom-out, or give the DICOM files",
            code="E_DICOM_OUT",
        )


def _about_rest(found: int) -> list[str]:
    rest = found - MOST_FOUND
    if rest <= 0:
        return []
    return [f"{rest} more candidates were found; those with the {MOST_FOUND} highest scores are answered"]


def _write_dicom(
    folder: Path, described: DescribedStudy, dataset: DescribedDataset | None, model: TrainedModel
) -> None:
    """Write the answer in ``folder`` once more, as DICOM objects of the patient's study."""
    from mpmri_monai.report.dicom_answer import write_dicom_answer

    regions = {} if dataset is None else regions_on_series(dataset)
    result, files = read_json(folder / RESULT), source_files(described)
    write_dicom_answer(folder / DICOM, result, regions, files, folder / PICTURE, model.reference)
