"""The manifest: which files of which study are which sequence, and what is known about each lesion."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from mpmri_monai.artefacts import digest, write_json
from mpmri_monai.errors import ManifestError
from mpmri_monai.sequences import SEQUENCES

SCHEMA = "mpmri-monai/manifest/1"
MAX_PROBLEMS_SHOWN = 8

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
NAME_IN_WORDS = "at most 64 letters, digits, '.', '_' and '-', beginning with a letter or digit; no person's name"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Names become file names and table cells, so they hold no separators; a DICOM person name (``A^B``) never fits."""

SequenceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,31}$")]
"""No hyphen: a fusion joins sequences with it."""

FilePath = Annotated[str, StringConstraints(min_length=1)]
"""A path relative to the manifest's folder (local manifests may hold absolute ones)."""

PROTOCOL = "liver"
"""The protocol of a manifest that names none."""

LARGEST_BOX_MM = 2000.0
"""Side of a region given as a box; a body is no longer, and planes through a box that is would fill the memory."""

Point = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DicomImage(_Record):
    """One volume inside a folder of DICOM files."""

    dicom: FilePath
    volume: Annotated[str, StringConstraints(min_length=1)]
    """Id that the catalogue gives to the volume."""


class Region(_Record):
    """Where a lesion or an organ is: part of a mask file, or a box.

    Exactly one form: ``mask`` with ``value`` (NIfTI), ``segment`` (DICOM SEG) or ``roi`` (RTSTRUCT), or
    ``center_mm`` with ``size_mm`` (RAS+, mm, box parallel to the axes of the body).
    """

    mask: FilePath | None = None
    value: PositiveInt | None = None
    segment: PositiveInt | None = None
    roi: PositiveInt | None = None
    center_mm: Point | None = None
    size_mm: Point | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Region:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        forms = ({"mask", "value"}, {"mask", "segment"}, {"mask", "roi"}, {"center_mm", "size_mm"})
        if given not in forms:
            raise ValueError(
                "a region is {mask, value}, {mask, segment}, {mask, roi} or {center_mm, size_mm}; "
                f"this one gives {{{', '.join(sorted(given))}}}"
            )
        if self.size_mm is not None and not 0 < min(self.size_mm) <= max(self.size_mm) <= LARGEST_BOX_MM:
            raise ValueError(f"size_mm must be positive and at most {LARGEST_BOX_MM:g} along every axis")
        return self


class Lesion(_Record):
    """One annotated finding of a study."""

    id: Name
    region: Region
    drawn_on: SequenceName | None = None
    """The sequence whose grid the region was drawn on."""
    labels: dict[Name, Name] = {}


class Study(_Record):
    """One examination of one patient at one site; a sequence may be absent from ``images``."""

    patient: Name
    study: Name
    site: Name
    labels: dict[Name, Name] = {}
    images: dict[SequenceName, FilePath | DicomImage]
    organs: dict[Name, FilePath | Region] = {}
    lesions: tuple[Lesion, ...] = ()
    _scan_options: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def scan_options(self) -> dict[str, Any]:
        """The options of `catalogue.scan` under which the ids of this study's volumes are found again."""
        return dict(self._scan_options)

    def scanned_with(self, options: dict[str, Any]) -> Study:
        """Return this study with the options of `catalogue.scan` under which its ids are found."""
        study = self.model_copy()
        study._scan_options = options
        return study


class Manifest(_Record):
    """A cohort: its sequences in order, its classes in order, and its studies."""

    schema_: Literal["mpmri-monai/manifest/1"] = Field(alias="schema")
    name: Name
    sequences: tuple[SequenceName, ...]
    classes: dict[Name, tuple[Name, ...]]
    studies: tuple[Study, ...]
    truth: FilePath | None = None
    """Table of the latent parameters of a generated cohort."""
    protocol: FilePath | None = None
    """Name of the protocol that the sequences are roles of, or the path of its file (.yaml); liver when not given."""
    site_rules: FilePath | None = None
    """File with the rules of all sites, or folder with ``<site>.yaml`` for each site that has some."""
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        problems = list(_inconsistencies(self))
        if problems:
            raise ValueError(_listed(problems))
        return self

    @property
    def folder(self) -> Path:
        """The folder that the paths of this manifest are relative to."""
        return self._folder

    def path(self, relative: str) -> Path:
        """Return where a file of this manifest lies."""
        return self._folder / relative

    @property
    def scan_protocol(self) -> str:
        """The protocol under which DICOM folders are scanned: a name, or where its file lies.

        A manifest written by hand may have sequences of no protocol; its folders are scanned without one.
        """
        if self.protocol is None:
            return PROTOCOL if set(self.sequences) <= set(SEQUENCES) else "none"
        return str(self.path(self.protocol)) if is_file_name(self.protocol) else self.protocol

    def rules_of(self, site: str) -> Path | None:
        """Return the file with the rules of a site, or None when it has none."""
        return None if self.site_rules is None else rules_file(self.path(self.site_rules), site)

    def content(self) -> dict[str, Any]:
        """Return the manifest as it is written to JSON."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def digest(self) -> str:
        """Return the sha256 of the manifest's content (not of the files that it names)."""
        return digest(self.content())


def load_manifest(path: Path | str) -> Manifest:
    """Read and check a manifest.

    Raises:
        ManifestError: the file is missing, is no JSON, or breaks the schema; every problem found is named.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_unique_keys)
    except OSError as error:
        raise ManifestError(
            expected="a manifest that can be read",
            found=error.strerror or "no file",
            where=str(path),
            fix="name the manifest.json of a cohort; `mpmri phantom` and `mpmri manifest` write one",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ManifestError(expected="a manifest in JSON", found=str(error), where=str(path)) from error
    return parse_manifest(content, path.parent, where=str(path))


def parse_manifest(content: Any, folder: Path, where: str) -> Manifest:
    """Check ``content`` and return it as a manifest whose paths are relative to ``folder``.

    Raises:
        ManifestError: the content breaks the schema; ``where`` says whose content it is.
    """
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        found, fix = _explain(error)
        raise ManifestError(
            expected=f"a manifest of schema {SCHEMA}", found=found, where=where, fix=fix, code="E_MANIFEST"
        ) from error
    manifest._folder = Path(folder)
    for study in manifest.studies:
        study._scan_options = {"protocol": manifest.scan_protocol, "site_rules": manifest.rules_of(study.site)}
    return manifest


def save_manifest(manifest: Manifest, path: Path | str) -> Manifest:
    """Write ``manifest`` to ``path`` with its paths relative to the new place; return it as written."""
    path = Path(path)
    moved = _moved(manifest, path.parent)
    write_json(path, moved.content())
    return moved


def is_file_name(protocol: str) -> bool:
    """Whether a protocol is given by its file rather than by its name."""
    return protocol.lower().endswith((".yaml", ".yml"))


def rules_file(site_rules: Path, site: str) -> Path | None:
    """Return the file with the rules of a site: ``site_rules`` itself, or ``<site>.yaml`` in that folder, if there."""
    if not site_rules.is_dir():
        return site_rules
    own = site_rules / f"{site}.yaml"
    return own if own.is_file() else None


def near_match(word: str, known: Sequence[str]) -> str | None:
    """Return the question ``did you mean …?`` when something known resembles ``word``."""
    near = get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else None


def _moved(manifest: Manifest, folder: Path) -> Manifest:
    """Return ``manifest`` with every relative path expressed from ``folder``."""
    old, new = manifest.folder.resolve(), folder.resolve()

    def place(relative: str) -> str:
        if old == new or Path(relative).is_absolute():
            return relative
        return Path(os.path.relpath(old / relative, new)).as_posix()

    content = manifest.content()
    for key in ("truth", "site_rules", "protocol"):
        if key in content and (key != "protocol" or is_file_name(content[key])):
            content[key] = place(content[key])
    for study in content["studies"]:
        for images in (study["images"], study["organs"]):
            for key, image in images.items():
                if isinstance(image, str):
                    images[key] = place(image)
        records = [*study["images"].values(), *study["organs"].values(), *(x["region"] for x in study["lesions"])]
        for record in records:
            for key in {"dicom", "mask"} & set(record if isinstance(record, dict) else ()):
                record[key] = place(record[key])
    return parse_manifest(content, folder, where=manifest.name)


def _inconsistencies(manifest: Manifest) -> Iterator[str]:
    """Yield what the types alone cannot refuse."""
    if not manifest.sequences or not manifest.studies:
        yield "no sequence or no study"
    for name, count in Counter(manifest.sequences).items():
        if count > 1:
            yield f"sequence {name} is listed {count} times"
    for key, classes in manifest.classes.items():
        if len(classes) < 2 or len(set(classes)) != len(classes):
            yield f"the classes of {key!r} are not two or more different names"
    for name, count in Counter(study.study for study in manifest.studies).items():
        if count > 1:
            yield f"study {name} is listed {count} times"
    for study in manifest.studies:
        yield from _study_problems(study, manifest)


def _study_problems(study: Study, manifest: Manifest) -> Iterator[str]:
    for sequence in study.images:
        if sequence not in manifest.sequences:
            yield _unknown(f"study {study.study}", "sequence", sequence, manifest.sequences)
    yield from _label_problems(f"study {study.study}", study.labels, manifest.classes)
    for name, count in Counter(lesion.id for lesion in study.lesions).items():
        if count > 1:
            yield f"study {study.study}: lesion {name} is listed {count} times"
    images = [(image, sequence) for sequence, image in study.images.items()]
    regions = [(lesion.region, lesion.id) for lesion in study.lesions]
    for what, named in (("sequences", images), ("lesions", regions)):
        first: dict[Any, str] = {}
        for content, name in named:
            other = first.setdefault(content, name)
            if other != name:
                yield f"study {study.study}: {what} {other} and {name} are the same"
    for lesion in study.lesions:
        where = f"study {study.study}, lesion {lesion.id}"
        if lesion.id.startswith("BG-"):
            yield f"{where}: names that begin with BG- are kept for background regions"
        if lesion.drawn_on is not None and lesion.drawn_on not in manifest.sequences:
            yield _unknown(where, "sequence in drawn_on", lesion.drawn_on, manifest.sequences)
        yield from _label_problems(where, lesion.labels, manifest.classes)


def _label_problems(where: str, labels: dict[str, str], classes: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for key, value in labels.items():
        if key not in classes:
            yield _unknown(where, "label key", key, tuple(classes))
        elif value not in classes[key]:
            yield _unknown(where, f"{key} label", value, classes[key])


def _unknown(where: str, kind: str, word: str, known: Sequence[str]) -> str:
    hint = near_match(word, known)
    return f"{where}: unknown {kind} {word!r}, not one of {', '.join(known)}" + (f" ({hint})" if hint else "")


def _explain(error: ValidationError) -> tuple[str, str | None]:
    """Return what is wrong in the user's words, and a near match for a misspelt key."""
    details = error.errors(include_url=False, include_context=False)
    # `path or record` reports a faulty record twice; that it is no path is not the news.
    details = [d for d in details if not (d["type"] == "string_type" and isinstance(d["input"], dict))] or details
    known = [field.alias or name for record in _Record.__subclasses__() for name, field in record.model_fields.items()]
    problems, hints = [], []
    for detail in details:
        place = _place(detail["loc"])
        if detail["type"] == "extra_forbidden":
            key = str(detail["loc"][-1])
            problems.append(f"unknown key {place}")
            hints.append(near_match(key, known))
        elif detail["type"] == "missing":
            problems.append(f"no key {place}")
        elif detail["type"] == "string_pattern_mismatch":
            problems.append(f"{place} is no name ({NAME_IN_WORDS})")
        else:
            problems.append(f"{place}: {detail['msg'].removeprefix('Value error, ')}".removeprefix(": "))
    return _listed(problems), next((hint for hint in hints if hint), None)


def _place(location: tuple[str | int, ...]) -> str:
    """Return a pydantic location as ``studies[0].images.T2.volume``."""
    steps = [step for step in location if step not in ("DicomImage", "Region") and not str(step).startswith("constr")]
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(map(str, steps)))


def _listed(problems: Sequence[str]) -> str:
    shown = "; ".join(problems[:MAX_PROBLEMS_SHOWN])
    more = len(problems) - MAX_PROBLEMS_SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"the key {repeated[0]!r} twice in one object")
    return dict(pairs)
