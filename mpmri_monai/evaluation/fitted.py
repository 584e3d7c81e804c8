"""What is fitted on validation patients after training: it carries whom it saw, and refuses to score them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from mpmri_monai.errors import EvaluationError, LeakageError
from mpmri_monai.evaluation.scored import Scored

VAL, INNER = "val", "inner folds"
"""Where the calibration patients come from: held out of the training of this very network, or of its inner folds."""

LEVEL = "lesion"
"""Slices of one lesion are no independent evidence, so everything here is fitted on lesions and answers on lesions."""

SALT_BYTES = 16


@dataclass(frozen=True)
class Seen:
    """The patients that something was fitted on, without their names.

    A hash says "this patient was seen" to who holds the patient's code and the salt, and nothing to who holds only
    the hashes. Codes from a short list can be tried one after the other: the hashes are no anonymisation of codes
    that identify a person, which have no place in a manifest in the first place.
    """

    source: str
    """`VAL` or `INNER`."""
    salt: str
    hashes: frozenset[str]
    """sha256 of salt and patient, in hex."""
    per_class: Mapping[str, int]
    """Patients with a lesion of the class; a patient with lesions of two classes counts in both."""

    @classmethod
    def of(cls, lesions: Scored, source: str, salt: str) -> Self:
        """Return the patients of the lesions."""
        hashes = frozenset(salted(salt, patient) for patient in lesions.patients)
        return cls(source, salt, hashes, patients_per_class(lesions))

    def among(self, patients: Iterable[str]) -> list[str]:
        """Return those of ``patients`` that were seen, sorted."""
        return sorted(patient for patient in set(patients) if salted(self.salt, patient) in self.hashes)


@dataclass(frozen=True)
class Fitted(ABC):
    """A value fitted on the lesions of some patients. Each subclass names its ``kind`` and applies its ``value``."""

    kind: ClassVar[str]
    task: str
    classes: tuple[str, ...]
    value: Any
    seen: Seen

    def refuse(self, patients: Iterable[str]) -> None:
        """Raise LeakageError when one of ``patients`` was fitted on: its score would flatter."""
        shared = self.seen.among(patients)
        if shared:
            raise LeakageError(
                expected=f"patients that the {self.kind} was not fitted on",
                found=f"{len(shared)} that it was, such as {', '.join(shared[:3])}",
                fix="fit on validation patients or inner folds, and score the test patients",
                code="E_LEAK_FITTED",
            )

    def as_json(self) -> dict[str, Any]:
        """Return the content for ``reference.json``."""
        return {
            "kind": self.kind,
            "value": self.value,
            "task": self.task,
            "classes": list(self.classes),
            "level": LEVEL,
            "from": self.seen.source,
            "salt": self.seen.salt,
            "patients": sorted(self.seen.hashes),
            "patients_per_class": dict(self.seen.per_class),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Return what `as_json` was made from.

        Raises:
            EvaluationError: the entry lacks a part, or has one of another kind.
        """
        try:
            per_class = {str(name): int(count) for name, count in entry["patients_per_class"].items()}
            hashes = frozenset(map(str, entry["patients"]))
            seen = Seen(str(entry["from"]), str(entry["salt"]), hashes, per_class)
            return cls(str(entry["task"]), tuple(entry["classes"]), cls.read_value(entry["value"]), seen)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvaluationError(
                expected=f"a fitted {cls.kind} with value, task, classes, from, salt, patients and patients_per_class",
                found=f"an entry that cannot be read ({type(error).__name__}: {error})",
            ) from error

    @staticmethod
    @abstractmethod
    def read_value(value: Any) -> Any:
        """Return the value as typed; raise ValueError or TypeError when it is none of this kind."""


@dataclass(frozen=True)
class NotFitted:
    """Why something was not fitted, and how many patients it would have taken."""

    kind: str
    why: str
    needed: str
    per_class: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return the content for ``metrics.json``."""
        return {
            "available": False,
            "why": self.why,
            "needed": self.needed,
            "patients_per_class": dict(self.per_class),
        }


def new_salt(rng: np.random.Generator) -> str:
    """Return a salt: the same seed gives the same, so that a run can be repeated byte for byte."""
    return rng.bytes(SALT_BYTES).hex()


def salted(salt: str, patient: str) -> str:
    """Return the sha256 in hex that stands for a patient beside this salt."""
    return hashlib.sha256(f"{salt}{patient}".encode()).hexdigest()


def patients_per_class(lesions: Scored) -> dict[str, int]:
    """Return how many patients have a lesion of each class."""
    return {
        name: len(set(lesions.patients[lesions.truth == number])) for number, name in enumerate(lesions.task.classes)
    }


def patient_weights(patients: np.ndarray) -> np.ndarray:
    """Return a weight for each lesion, shape (lesion,): those of one patient add up to 1, so that patients count once.

    Args:
        patients: of each lesion, shape (lesion,).
    """
    _, owner, lesions = np.unique(patients, return_inverse=True, return_counts=True)
    return 1 / lesions[owner]
