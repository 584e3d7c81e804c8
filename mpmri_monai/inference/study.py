"""A study that is in no cohort: which series is which, where its lesions are, and its samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from mpmri_monai.artefacts import digest
from mpmri_monai.catalogue import Catalogue, scan
from mpmri_monai.catalogue.containers.files import StudyFile, nifti_suffix
from mpmri_monai.catalogue.containers.nifti import nifti_volumes
from mpmri_monai.catalogue.roles.protocol import protocol as protocol_named
from mpmri_monai.catalogue.roles.protocol import shipped
from mpmri_monai.cohort import DicomImage, Lesion, Region, Study
from mpmri_monai.errors import CatalogueError, ConfigError, MaskError
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.samples.lesions import lesions_of
from mpmri_monai.samples.study import LIVER
from mpmri_monai.training import SampleData, SampleDataset
from mpmri_monai.training.dataset import NO_LABEL

if TYPE_CHECKING:
    from mpmri_monai.training.search import Candidate

MASK, BOX, FOUND, WHOLE_STUDY = "mask", "box", "found", "whole study"
"""Where the lesions of an answer come from."""

UNKNOWN = "unknown"
"""Stands for the label of a whole study: samples are taken of a study without lesions when it has one."""


@dataclass(frozen=True)
class DescribedStudy:
    """What is in a study, before a voxel is read."""

    catalogue: Catalogue
    study: Study
    """As a manifest would hold it, without identifiers; patient and study are a code made of the images' ids."""
    source: str
    """`MASK`, `BOX`, `FOUND` or `WHOLE_STUDY`."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Score of each lesion that was found."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of how the lesions were found."""
    searched_by: Mapping[str, str] | None = None
    """The detector that looked for lesions, as of `TrainedModel.identity`."""

    @property
    def roles(self) -> dict[str, str]:
        """Sequence -> id of its volume, of those that the bundle knows."""
        return {name: self.catalogue.roles[name] for name in self.study.images}

    @property
    def times_s(self) -> dict[str, float]:
        """Sequence -> seconds since the first phase of its acquisition, where the headers tell."""
        times = {name: self.catalogue.volume(volume).time_s for name, volume in self.roles.items()}
        return {name: time for name, time in times.items() if time is not None}

    def with_found(
        self, candidates: Sequence[Candidate], searched_by: Mapping[str, str], notes: Sequence[str] = ()
    ) -> DescribedStudy:
        """Return the study with the candidates of a detector as lesions C1, C2, …, and what is to be said of them."""
        lesions = _boxes([(one.center_mm, one.size_mm) for one in candidates], "C")
        scores = {lesion.id: one.score for lesion, one in zip(lesions, candidates, strict=True)}
        study = self.study.model_copy(update={"lesions": lesions}).scanned_with(self.study.scan_options)
        return replace(self, study=study, source=FOUND, scores=scores, notes=tuple(notes), searched_by=searched_by)


def describe_study(
    study: str | Path,
    model: TrainedModel,
    *,
    lesion_mask: str | Path = "",
    mask_in_study: bool = False,
    drawn_on: str = "",
    at: Sequence[Sequence[float]] = (),
    size_mm: float = 0.0,
    find: bool = False,
    liver: str | Path = "",
    nifti: Mapping[str, Path] | None = None,
    allow_missing: bool = False,
    protocol: str | Path = "",
    site_rules: str | Path = "",
) -> DescribedStudy:
    """Find out which series of a study is which sequence, and where its lesions are said to be.

    Args:
        study: folder, archive or file with the images, DICOM or NIfTI; empty where ``nifti`` names them.
        model: whose sequences count.
        lesion_mask: NIfTI (each value above 0 is a lesion), DICOM SEG (each segment is one) or RTSTRUCT (each ROI is
            one), or a folder of such files.
        mask_in_study: the mask is the one DICOM SEG or RTSTRUCT that lies among the images.
        drawn_on: sequence that the mask was drawn on; when empty it is found by what the mask refers to, or its grid.
        at: points (x, y, z) in RAS+ mm, each the centre of a lesion; in place of a mask.
        size_mm: side of the cube around each of these points.
        find: the lesions are found later (`DescribedStudy.with_found`).
        liver: mask of the liver, to look for lesions in.
        nifti: sequence -> file, in place of ``study``.
        allow_missing: answer although a sequence is missing that the model needs.
        protocol: file of the bundle's protocol, when it is none of the package's.
        site_rules: file with the rules of the study's site; empty when it has none.

    Raises:
        ConfigError: options that do not go together, or lesions that are given in no way.
        CatalogueError: the study cannot be read, or a sequence is missing or in doubt.
        MaskError: the mask cannot be read.
    """
    source = _source(model, bool(str(lesion_mask)), mask_in_study, at, size_mm, find)
    options = scan_options(model, protocol, site_rules)
    catalogue = catalogue_of(study, nifti or {}, model, options)
    _require(catalogue, model, allow_missing)
    roles = {name: volume for name, volume in catalogue.roles.items() if name in model.sequences}
    code = "study-" + digest(sorted(volume.id for volume in catalogue.volumes))[:8]
    lesions: tuple[Lesion, ...] = ()
    if source == MASK:
        mask = _mask_among(catalogue) if mask_in_study else Path(lesion_mask).resolve()
        lesions = lesions_of(mask, drawn_on)
    elif source == BOX:
        lesions = _boxes([(point, size_mm) for point in at], "L")
    entry = Study(
        patient=code,
        study=code,
        site="new",
        labels={model.task.label: UNKNOWN} if source == WHOLE_STUDY else {},
        images={name: _image(catalogue, volume) for name, volume in roles.items()},
        organs={LIVER: str(Path(liver).resolve())} if str(liver) else {},
        lesions=lesions,
    )
    return DescribedStudy(catalogue, entry.scanned_with(options), source)


def catalogue_of(
    study: str | Path, nifti: Mapping[str, Path], model: TrainedModel, options: Mapping[str, Any]
) -> Catalogue:
    """Return the catalogue of a study, or of NIfTI files that a person gave to sequences one by one.

    Raises:
        ConfigError: neither or both are given, or a sequence that the model does not know.
        CatalogueError: as `catalogue.scan`.
    """
    if bool(str(study)) == bool(nifti):
        raise ConfigError(expected="a study: --study and its place on disk", found="both" if nifti else "nothing")
    if not nifti:
        return scan(Path(study).resolve(), **options)
    unknown = sorted(set(nifti) - set(model.sequences))
    if unknown:
        raise ConfigError(expected=f"a sequence among {' '.join(model.sequences)}", found=" ".join(unknown))
    files = [StudyFile(path.resolve(), name + nifti_suffix(path.name)) for name, path in nifti.items()]
    volumes, set_aside, problems = nifti_volumes(files, model.sequences)
    by_role = {volume.role: volume.id for volume in volumes if volume.role}
    return Catalogue(
        folder=Path(),
        protocol=model.protocol,
        roles={name: by_role[name] for name in model.sequences if name in by_role},
        volumes=volumes,
        set_aside=set_aside,
        problems=problems,
        sequences=model.sequences,
    )


def scan_options(model: TrainedModel, protocol: str | Path, site_rules: str | Path) -> dict[str, Any]:
    """Return the options of `catalogue.scan` that fill the sequences as they were filled for training.

    Raises:
        ConfigError: another protocol than that of the training, or its file is needed and not given.
    """
    wanted = str(protocol) or model.protocol
    if not protocol and model.protocol not in shipped():
        raise ConfigError(
            expected=f"--protocol and the file of the protocol {model.protocol}, with which this bundle was trained",
            found="none",
        )
    name = protocol_named(wanted).name
    if name != model.protocol:
        raise ConfigError(
            expected=f"the protocol {model.protocol}, with which this bundle was trained",
            found=f"the protocol {name}",
            fix="leave --protocol out; what differs in a hospital is said by --site_rules",
        )
    return {"protocol": wanted, "site_rules": Path(site_rules) if str(site_rules) else None}


class DescribedDataset(SampleDataset):
    """The samples of one described study, by the same preprocessing that made the training samples.

    Args:
        described: the study and its lesions.
        model: whose fusion and settings apply.
        preprocessing: maps {"study", "folder"} to {"samples"}.
        device: where the tensors lie.

    Raises:
        MaskError, GeometryError: a mask or a lesion is not usable; the message says which and what to do.
    """

    def __init__(
        self,
        described: DescribedStudy,
        model: TrainedModel,
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        device: str | torch.device = "cpu",
    ) -> None:
        self.described, self.study, self.catalogue = described, described.study, described.catalogue
        prepared = preprocessing({"study": self.study, "folder": Path()})
        self.stacks, self.regions = prepared["stacks"], prepared["regions"]
        self.cautions = self.regions.cautions
        self.samples = seen_by(model, prepared["samples"])
        super().__init__(sample_data(self.samples, model), device)


class StudyDataset(DescribedDataset):
    """The samples of one new study, from its place on disk.

    Args:
        study: folder with the DICOM files; otherwise as `describe_study`.
        lesion_mask: as `describe_study`.
        drawn_on: as `describe_study`.
        model: whose fusion and settings apply.
        preprocessing: maps {"study", "folder"} to {"samples"}.
        device: where the tensors lie.
        allow_missing: as `describe_study`.
        protocol: as `describe_study`.
        site_rules: as `describe_study`.

    Raises:
        ConfigError, CatalogueError, MaskError, GeometryError: each says what is wrong with what was given.
    """

    def __init__(
        self,
        study: str | Path,
        lesion_mask: str | Path,
        drawn_on: str,
        model: TrainedModel,
        preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
        device: str | torch.device = "cpu",
        allow_missing: bool = False,
        *,
        protocol: str | Path = "",
        site_rules: str | Path = "",
    ) -> None:
        described = describe_study(
            study,
            model,
            lesion_mask=lesion_mask,
            drawn_on=drawn_on,
            allow_missing=allow_missing,
            protocol=protocol,
            site_rules=site_rules,
        )
        super().__init__(described, model, preprocessing, device)


def seen_by(model: TrainedModel, samples: list[Any]) -> list[Any]:
    """Return the samples that show at least one sequence of the fusion, as in training; of the others nothing is known.

    Raises:
        MaskError: a lesion has no such sample.
    """
    channels = [model.sequences.index(name) for name in model.fusion]
    seen = [sample for sample in samples if sample.present[channels].any()]
    unseen = sorted({sample.lesion for sample in samples} - {sample.lesion for sample in seen})
    if unseen or not seen:
        raise MaskError(
            expected=f"lesions that {', '.join(model.fusion)} show",
            found=f"{', '.join(unseen) or 'no lesion'} outside all of them",
            fix="leave them out of the mask, or use a bundle with another fusion",
            code="E_MASK_OUT",
        )
    return seen


def sample_data(samples: list[Any], model: TrainedModel) -> SampleData:
    """Return the samples of a study with the channels of the model's fusion; the label of each is unknown."""
    channels = [model.sequences.index(name) for name in model.fusion]
    rows = [
        {name: getattr(sample, name) for name in ("patient", "study", "site", "lesion", "sample")}
        | {f"present_{name}": bool(sample.present[i]) for i, name in enumerate(model.sequences)}
        for sample in samples
    ]
    return SampleData(
        image=np.stack([sample.image[channels] for sample in samples]),
        present=np.stack([sample.present[channels] for sample in samples]),
        label=np.full(len(samples), NO_LABEL, dtype=np.int64),
        extent_mm=np.array([sample.extent_mm for sample in samples], dtype=np.float32),
        table=pd.DataFrame(rows),
    )


def _source(model: TrainedModel, mask: bool, in_study: bool, at: Sequence[Any], size_mm: float, find: bool) -> str:
    options = {"--mask": mask, "--mask-in-study": in_study, "--at": bool(at), "--find": find}
    given = [name for name, there in options.items() if there]
    if len(given) > 1:
        raise ConfigError(expected="lesions given in one way", found=" and ".join(given))
    if bool(len(at)) != bool(size_mm) or not 0 <= size_mm < math.inf:
        raise ConfigError(expected="--at X,Y,Z with --size MM above 0", found=f"{len(at)} points and {size_mm:g} mm")
    if not given and not model.answers_studies:
        raise ConfigError(
            expected=f"lesions for the task {model.task.name}",
            found="none",
            fix="add --lesion_mask FILE; `mpmri infer` also takes --at X,Y,Z --size MM, and --find",
            code="E_LESIONS",
        )
    return {"--at": BOX, "--find": FOUND}.get(given[0], MASK) if given else WHOLE_STUDY


def _mask_among(catalogue: Catalogue) -> Path:
    """Return the one mask that lies among the images; of several nobody can tell which one is meant."""
    masks = [item.path for item in catalogue.objects if item.kind in ("SEG", "RTSTRUCT")]
    if len(masks) != 1:
        raise MaskError(
            expected="one SEG or RTSTRUCT among the images of the study",
            found=str(len(masks)),
            fix="name the file with --mask",
            code="E_MASK_FILE",
        )
    return masks[0]


def _require(catalogue: Catalogue, model: TrainedModel, allow_missing: bool) -> None:
    """Refuse a study with anything in doubt, or without a sequence that the answer needs."""
    catalogue.require(() if allow_missing else model.required)
    if not set(model.fusion) & set(catalogue.roles):
        raise CatalogueError(expected=f"at least one of {' '.join(model.fusion)}", found="none", code="E_MISSING")


def _image(catalogue: Catalogue, volume: str) -> DicomImage | str:
    """Return an image as a manifest names it. What lies in an archive is read where the archive lies."""
    nifti = catalogue.volume(volume).nifti
    if nifti is not None and catalogue.source is None:
        return str(nifti)
    return DicomImage(dicom=str(catalogue.folder), volume=volume)


def _boxes(cubes: Iterable[tuple[Sequence[float], float]], letter: str) -> tuple[Lesion, ...]:
    """Return cubes, by centre and side in mm, as lesions."""
    return tuple(
        Lesion(id=f"{letter}{number}", region=Region(center_mm=tuple(center), size_mm=(side,) * 3))
        for number, (center, side) in enumerate(cubes, start=1)
    )
