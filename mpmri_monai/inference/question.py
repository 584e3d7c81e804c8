"""What a person asks of one study: its files, where its lesions are, and how strictly it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import digest, file_digest
from mpmri_monai.cohort.signatures import signature_of
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.study import DescribedStudy, describe_study

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Question:
    """One study to be answered; the fields are the arguments of `describe_study`. Paths may name a person."""

    study: str = field(default="", repr=False)
    nifti: Mapping[str, Path] = field(default_factory=dict, repr=False)
    lesion_mask: str = field(default="", repr=False)
    mask_in_study: bool = False
    drawn_on: str = ""
    at: tuple[Point, ...] = ()
    size_mm: float = 0.0
    find: bool = False
    liver: str = field(default="", repr=False)
    allow_missing: bool = False
    protocol: str = ""
    site_rules: str = ""

    @property
    def tells_lesions(self) -> bool:
        """Whether it says where lesions are, or that they are to be found."""
        return bool(self.lesion_mask or self.mask_in_study or self.at or self.find)

    def described(self, model: TrainedModel) -> DescribedStudy:
        """Return what is in the study; raises as `describe_study`."""
        options = vars(self).copy()
        return describe_study(options.pop("study"), model, **options)

    def files(self) -> list[str]:
        """Return the places of everything that the answer is made from."""
        return list(self._places().values())

    def _places(self) -> dict[str, str]:
        """Return the same by what each is: files that change their parts are another question."""
        named = {"study": self.study, "mask": self.lesion_mask, "liver": self.liver}
        named |= {f"image {sequence}": str(path) for sequence, path in self.nifti.items()}
        return {part: str(Path(name).resolve()) for part, name in named.items() if name}

    def key(self, *made_by: Any) -> str:
        """Return a word that changes with the study's files, the question, and what answers it.

        Of images and masks size and time count, so that a thousand studies are compared in seconds.
        """
        rules = [file_digest(name) for name in (self.protocol, self.site_rules) if name and Path(name).is_file()]
        asked = (
            self.mask_in_study,
            self.drawn_on,
            self.at,
            self.size_mm,
            self.find,
            self.allow_missing,
            self.protocol,
            self._places(),
        )
        return digest([asked, rules, signature_of(self.files(), Path("/")), *made_by])

    def without_paths(self, text: str) -> str:
        """Return a message without the places of the study's files."""
        names = {*self.files(), self.study, self.lesion_mask, self.liver, *map(str, self.nifti.values())}
        for name in sorted(names - {""}, key=len, reverse=True):
            text = text.replace(name, "<file>")
        return text
