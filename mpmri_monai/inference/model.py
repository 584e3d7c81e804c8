"""A trained classifier as it lies in a bundle or a run: weights, and the reference that says what they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from mpmri_monai import artefacts, sequences
from mpmri_monai.bundle.adopt import METADATA, read_table
from mpmri_monai.bundle.reference import REFERENCE_SCHEMA
from mpmri_monai.cohort.manifest import NAME_IN_WORDS, NAME_PATTERN, PROTOCOL
from mpmri_monai.errors import BundleError, WeightsError
from mpmri_monai.evaluation import Fitted, read_fitted
from mpmri_monai.evaluation.abstention import CertaintyThresholds
from mpmri_monai.evaluation.conformal import ClassConditionalSets, MarginalSets
from mpmri_monai.evaluation.temperature import Temperature
from mpmri_monai.networks import LayeredNetwork, build_network
from mpmri_monai.networks.weights import fitting_weights
from mpmri_monai.samples import Settings
from mpmri_monai.training import AveragingInferer, Inferer
from mpmri_monai.transforms.batch import as_size

REFERRED = 0.1
"""Share of the calibration lesions, the least certain ones, that would have gone to a doctor by the threshold used."""

FittedKind = TypeVar("FittedKind", bound=Fitted)


class TrainedModel:
    """``model.pt`` and ``reference.json`` of one folder, which must belong together.

    Args:
        folder: ``models`` of a bundle, or a run folder.
        bundle_root: for the bundle's name and version.

    Raises:
        WeightsError: a file is missing, or the weights are not those that the reference describes.
        BundleError: the reference cannot be read, or what was fitted with it is for other classes.
        EvaluationError: what was fitted with it cannot be read.
    """

    def __init__(self, folder: str | Path, bundle_root: str | Path) -> None:
        self.folder = Path(folder)
        self.weights = self.folder / "model.pt"
        for path in (self.weights, self.folder / "reference.json"):
            if not path.is_file():
                raise WeightsError(
                    expected="trained weights with their reference.json",
                    found=f"no {path.name} in {self.folder}",
                    fix="give a run folder with --models, or adopt a run into the bundle (mpmri bundle adopt)",
                    code="E_WEIGHTS",
                )
        self.reference = _read_reference(self.folder / "reference.json")
        self.weights_sha256 = artefacts.file_digest(self.weights)
        if self.weights_sha256 != self.reference["weights_sha256"]:
            raise WeightsError(
                expected="the weights that reference.json describes",
                found="other weights",
                where=str(self.weights),
                fix="take both files from the same run",
                code="E_WEIGHTS",
            )
        self.bundle = _name_and_version(Path(bundle_root))
        self.task = self._task()
        self.fitted = self._fitted()
        self.sequences = tuple(self.reference["sequences"])
        self.protocol = str(self.reference.get("protocol", PROTOCOL))
        self.fusion = sequences.fusion(self.reference["fusion"], self.sequences)
        self.size = as_size(self.reference["pixels"])
        self.averaging = bool(self.reference.get("averaging", False))
        self.settings = Settings(**(self.reference["samples"] | {"background": False}))
        if self.size != self.settings.size:
            raise _other_reference(self.folder / "reference.json", "one whose pixels are not those of its samples")

    @property
    def identity(self) -> dict[str, str]:
        """What an answer rests on: name and version of the bundle, and the digests of its weights and its reference."""
        reference = artefacts.file_digest(self.folder / "reference.json")
        return self.bundle | {"weights_sha256": self.weights_sha256, "reference_sha256": reference}

    @property
    def seen_size(self) -> tuple[int, ...]:
        """What the loader gives the inferer: the central crop, or for averaging the stored crop whole."""
        return self.settings.stored_shape if self.averaging else self.size

    @property
    def required(self) -> tuple[str, ...]:
        """Sequences of the fusion without which there is no answer, unless a person allows it."""
        return tuple(self.reference.get("required", self.fusion))

    @property
    def answers_studies(self) -> bool:
        """Whether a study without lesions is one sample: with a grid it is, as in training."""
        return self.settings.grid is not None and not self.settings.grid.patches

    @property
    def certainty_threshold(self) -> float | None:
        """Highest probability below which an answer is withheld; None where none was fitted."""
        thresholds = self._found(CertaintyThresholds)
        return None if thresholds is None else thresholds.value[f"{REFERRED:g}"]

    def inferer(self) -> Inferer:
        """Return what runs the network as it was run for the predictions that the reference is about."""
        return AveragingInferer(self.size) if self.averaging else Inferer()

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probabilities of lesions, shape (lesion, class), by the temperature, where there is one."""
        temperature = self._found(Temperature)
        return probabilities if temperature is None else temperature.scaled(probabilities)

    def conformal_sets(self, probabilities: np.ndarray) -> list[list[str]] | None:
        """Return the classes that each lesion may have; None where no sets were fitted.

        Args:
            probabilities: before `calibrated`, shape (lesion, class); the promise of the sets is about these.
        """
        sets = self._found(ClassConditionalSets, MarginalSets)
        if sets is None:
            return None
        return [
            [name for name, inside in zip(sets.classes, row, strict=True) if inside] for row in sets.sets(probabilities)
        ]

    def calibration(self) -> dict[str, Any]:
        """Return what is done to the probabilities, and which promise the sets keep, for ``result.json``."""
        temperature, sets = self._found(Temperature), self._found(ClassConditionalSets, MarginalSets)
        return {
            "temperature": None if temperature is None else temperature.value,
            "conformal_sets": None if sets is None else {"kind": sets.kind, "coverage": 1 - sets.alpha},
        }

    def _found(self, *kinds: type[FittedKind]) -> FittedKind | None:
        """Return what was fitted of the first of ``kinds`` that there is; None when there is none of them."""
        return next((part for kind in kinds for part in self.fitted if isinstance(part, kind)), None)

    def _task(self) -> sequences.Task:
        """Return the task of the reference: one that is known, or that of a label of the cohort trained on."""
        name, classes = self.reference["task"], self.reference.get("classes")
        if classes is not None and not _are_names(classes):
            raise BundleError(
                expected=f"classes with names of {NAME_IN_WORDS}",
                found="others",
                where=str(self.folder / "reference.json"),
            )
        task = sequences.task(name, None if classes is None else {name: classes})
        if classes is not None and list(task.classes) != classes:
            raise BundleError(
                expected=f"the classes {', '.join(task.classes)} of the task {name}",
                found=", ".join(map(str, classes)),
                where=str(self.folder / "reference.json"),
            )
        return task

    def _fitted(self) -> list[Fitted]:
        """Return what was fitted beside the weights; references of before calibration have nothing."""
        fitted = read_fitted(self.reference.get("fitted", []))
        for part in fitted:
            if (part.task, part.classes) != (self.task.name, self.task.classes):
                raise BundleError(
                    expected=f"a {part.kind} for task {self.task.name} with classes {', '.join(self.task.classes)}",
                    found=f"one for {part.task} with {', '.join(part.classes)}",
                    where=str(self.folder / "reference.json"),
                )
        return fitted

    def network(self) -> LayeredNetwork:
        """Return the network with its weights, ready to answer.

        Raises:
            BundleError: the reference describes none.
            ConfigError: as `build_network`.
            WeightsError: it describes another one than the weights are of.
        """
        described = self.reference["network"]
        try:
            with torch.device("meta"):  # which takes no memory, however large a network somebody describes
                state = fitting_weights(build_network(**described), self.weights)
        except (TypeError, ValueError, RuntimeError) as error:
            raise _other_reference(self.folder / "reference.json", "arguments of no network") from error
        network = build_network(**described)
        network.load_state_dict(state)
        return network.eval()


FORMS: dict[str, type | tuple[type, ...]] = {
    "task": str, "sequences": list, "protocol": str, "fusion": (str, list), "required": list,
    "sequence_dropout": (int, float), "network": dict, "pixels": (int, list), "averaging": bool, "samples": dict,
    "weights_sha256": str, "trained_on": dict, "present": dict, "ranges": dict, "tsic": dict, "fitted": list,
    "results": dict,
}  # fmt: skip
"""What each entry of a reference is, where it is there: in that of a foreign bundle it may be anything."""


def _read_reference(path: Path) -> dict[str, Any]:
    wanted = {"task", "sequences", "fusion", "pixels", "samples", "network", "weights_sha256", "present", "ranges"}
    try:
        reference = artefacts.read_json(path)
    except ValueError as error:
        raise BundleError(expected="a reference in JSON", found="something else", where=str(path)) from error
    if not isinstance(reference, dict) or reference.get("schema") != REFERENCE_SCHEMA or wanted - set(reference):
        raise _other_reference(path, "another")
    wrong = [name for name, form in FORMS.items() if name in reference and not isinstance(reference[name], form)]
    if not wrong and not _are_ranges(reference["ranges"]):
        wrong = ["ranges"]
    if wrong:
        raise _other_reference(path, f"one with another kind of {', '.join(wrong)}")
    return reference


def _other_reference(path: Path, found: str) -> BundleError:
    return BundleError(
        expected=f"a reference of schema {REFERENCE_SCHEMA}, as training writes it", found=found, where=str(path)
    )


def _are_ranges(ranges: dict[str, Any]) -> bool:
    """Return whether all ranges, of quantities or by sequence, are the smallest and the largest, or empty."""
    tables = [one if isinstance(one, dict) else {"": one} for one in ranges.values()]
    limits = [one for table in tables for one in table.values()]
    return all(
        isinstance(one, list) and len(one) in (0, 2) and all(isinstance(value, int | float) for value in one)
        for one in limits
    )


def _are_names(classes: object) -> bool:
    """Return whether these are names as manifests have them; they become columns, codes and words of a report."""
    return isinstance(classes, list) and all(
        isinstance(name, str) and re.fullmatch(NAME_PATTERN, name) is not None for name in classes
    )


def _name_and_version(bundle_root: Path) -> dict[str, str]:
    return {"name": bundle_root.name, "version": str(read_table(bundle_root, METADATA).get("version", "unknown"))}
