"""A study that is in no cohort: which series is which, where its lesions are, and its samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mpmri_monai.artefacts import digest
from mpmri_monai.catalogue import Catalogue, scan
from mpmri_monai.catalogue.roles.protocol import protocol as protocol_named
from mpmri_monai.catalogue.roles.protocol import shipped
from mpmri_monai.cohort import DicomImage, Study
from mpmri_monai.errors import CatalogueError, ConfigError, MaskError
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.samples.lesions import lesions_of
from mpmri_monai.training import SampleData, SampleDataset
from mpmri_monai.training.dataset import NO_LABEL


class StudyDataset(SampleDataset):
    """The samples of one new study, by the same preprocessing that made the training samples.

    Args:
        study: folder with the DICOM files.
        lesion_mask: NIfTI (each value above 0 is a lesion), DICOM SEG (each segment is one) or RTSTRUCT (each ROI is
            one), or a folder of such files.
        drawn_on: sequence that the mask was drawn on; when empty it is found by what the mask refers to, or its grid.
        model: whose fusion and settings apply.
        preprocessing: maps {"study", "folder"} to {"samples"}.
        device: where the tensors lie.
        allow_missing: answer although a sequence of the fusion is missing.
        protocol: file of the bundle's protocol, when it is none of the package's.
        site_rules: file with the rules of the study's site; empty when it has none.

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
        options = scan_options(model, protocol, site_rules)
        self.catalogue, self.study = describe_study(study, lesion_mask, drawn_on, model, allow_missing, options)
        prepared = preprocessing({"study": self.study, "folder": Path()})
        self.cautions = prepared["regions"].cautions
        self.samples = seen_by(model, prepared["samples"])
        super().__init__(sample_data(self.samples, model), device)


def describe_study(
    study: str | Path,
    lesion_mask: str | Path,
    drawn_on: str,
    model: TrainedModel,
    allow_missing: bool,
    options: dict[str, Any],
) -> tuple[Catalogue, Study]:
    """Return the catalogue of a study and its entry as a manifest would hold it, without identifiers.

    ``options`` are those of `catalogue.scan`.
    """
    for option, value in (("study", study), ("lesion_mask", lesion_mask)):
        if not str(value):
            raise ConfigError(expected=f"--{option}", found="nothing", fix=f"add --{option} and its place on disk")
    folder, mask = Path(study).resolve(), Path(lesion_mask).resolve()
    catalogue = scan(folder, **options)
    roles = {name: volume for name, volume in catalogue.roles.items() if name in model.sequences}
    if allow_missing:
        if not set(model.fusion) & set(roles):
            raise CatalogueError(expected=f"at least one of {' '.join(model.fusion)}", found="none", code="E_MISSING")
    else:
        catalogue.require(model.fusion)
    code = "study-" + digest(sorted(volume.id for volume in catalogue.volumes))[:8]
    entry = Study(
        patient=code,
        study=code,
        site="new",
        images={name: DicomImage(dicom=str(folder), volume=volume) for name, volume in roles.items()},
        lesions=lesions_of(mask, drawn_on),
    )
    return catalogue, entry.scanned_with(options)


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
