"""A study of a manifest, opened to be looked at: what can be read of it, and what is wrong with the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpmri_monai.artefacts import digest, file_digest
from mpmri_monai.catalogue import Catalogue, VolumeRecord
from mpmri_monai.cohort import Inspection, Manifest, inspect_study
from mpmri_monai.cohort.kept import code_digest
from mpmri_monai.cohort.manifest import is_file_name
from mpmri_monai.cohort.signatures import files_of, signature_of
from mpmri_monai.errors import MpmriError
from mpmri_monai.samples.study import load_regions
from mpmri_monai.volumes import Mask, Stack, read_nifti, read_volume


@dataclass(frozen=True, eq=False)
class Opened:
    """Images and masks of one study; nothing is raised for what cannot be read, it is named instead."""

    inspection: Inspection
    stacks: Mapping[str, Stack]
    """By sequence, in the order of the manifest."""
    lesions: Mapping[str, Mask]
    cautions: Mapping[str, tuple[str, ...]]
    """By lesion: what a person should look at, each as ``W_CODE: message``."""
    unread: Mapping[str, str]
    """Sequence -> why its image cannot be read."""
    faults: tuple[str, ...]
    """Why a mask cannot be used."""


def open_study(manifest: Manifest, scanned: Mapping[str, Catalogue] | None = None) -> Opened:
    """Scan, read and check the one study of a manifest; folders in ``scanned`` are not scanned again."""
    study = manifest.studies[0]
    inspection = inspect_study(manifest, study, scanned)
    stacks: dict[str, Stack] = {}
    unread: dict[str, str] = {}
    for sequence in manifest.sequences:
        record, image = inspection.volumes.get(sequence), study.images.get(sequence)
        try:
            if record is not None:
                stacks[sequence] = read_volume(record)
            elif isinstance(image, str):
                stacks[sequence] = read_nifti(manifest.path(image))
            elif image is not None:
                unread[sequence] = "its volume is not there"
        except MpmriError as error:
            unread[sequence] = str(error)
    lesions, cautions, faults = _masks(manifest, stacks)
    return Opened(inspection, stacks, lesions, cautions, unread, faults)


def study_key(manifest: Manifest) -> str:
    """Return a word that changes with the files of the one study of a manifest, its entry, the rules and the code."""
    study = manifest.studies[0]
    protocol = Path(manifest.scan_protocol) if is_file_name(manifest.scan_protocol) else None
    rules = [path for path in (manifest.rules_of(study.site), protocol) if path is not None and path.is_file()]
    content = manifest.content(), [file_digest(path) for path in rules], str(manifest.folder.resolve())
    return digest([code_digest(), *content, signature_of(files_of(study), manifest.folder)])


def facts(volume: VolumeRecord) -> dict[str, object]:
    """Return what a table says of a volume; NIfTI files say nothing of the kind."""
    return {
        "series_number": volume.series_number,
        "volume": volume.id,
        "orientation": volume.orientation,
        "echo_time_ms": volume.echo_time_ms,
        "phase": volume.phase,
        "time_s": volume.time_s,
    }


def _masks(
    manifest: Manifest, stacks: Mapping[str, Stack]
) -> tuple[dict[str, Mask], dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Read all lesions together, for they may overlap; when one fails, each alone, so that the others are seen."""
    study = manifest.studies[0]
    whole = [study.lesions] if study.lesions or study.organs else []
    lesions: dict[str, Mask] = {}
    cautions: dict[str, tuple[str, ...]] = {}
    faults: list[str] = []
    while whole and stacks:
        part = whole.pop(0)
        try:
            regions = load_regions(study.model_copy(update={"lesions": part}), manifest.folder, stacks)
        except MpmriError as error:
            if len(part) > 1:
                whole += [(lesion,) for lesion in part]
            elif str(error) not in faults:
                faults.append(str(error))
            continue
        lesions |= regions.lesions
        cautions |= {name: tuple(f"{c.code}: {c.message}" for c in found) for name, found in regions.cautions.items()}
    return lesions, cautions, tuple(faults)
