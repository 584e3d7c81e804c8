"""Writing one examination: a DICOM folder as the scanner leaves it, masks beside it, and its truth."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mpmri_monai.artefacts import whole_folder
from mpmri_monai.phantom.clutter import write_localizer, write_report, write_subtraction
from mpmri_monai.phantom.files import Clock, image_header, study_header, uid, write_volume
from mpmri_monai.phantom.habits import Series, describe, series_of
from mpmri_monai.phantom.masks import lesion_mask, organ_mask, write_nifti, write_seg
from mpmri_monai.phantom.patients import HELD_OUT, Patient, Plan, draw_patient
from mpmri_monai.phantom.presets import preset
from mpmri_monai.phantom.scanner import Grid, Scan, draw_scan
from mpmri_monai.phantom.truth import truth_table
from mpmri_monai.sequences import DCE, SEQUENCES

DELAYS_S = {"S0": -35.0, "S1": 16.0, "S2": 26.0, "S3": 60.0, "S4": 180.0, "S5": 300.0}
"""Start of each phase relative to the injection (Jia et al. 2019; the delayed phase is not stated there)."""

START_S = {"T2": 90.0, "dual": 300.0, "IN": 300.0, "OUT": 330.0, "injection": 540.0}
"""When the acquisitions begin, from the start of the examination."""


@dataclass(frozen=True)
class Written:
    """What one study left: rows of ``labels.csv``, truth rows, and the sha256 of all voxels, masks and grids."""

    labels: list[dict[str, Any]]
    patient: Patient
    content: str


@dataclass(frozen=True)
class HeldOutStudy:
    """Where ``write_study`` put things."""

    dicom: Path
    lesion_mask: Path
    organ_mask: Path
    truth: Path


def write_patient(root: Path, patient: Patient, seg_every: int, labelled: bool = True) -> Written:
    """Write the study of ``patient`` into ``root/<patient name>``; masks of every ``seg_every``-th patient are SEG.

    Without labels there are neither masks of lesions nor rows that name them.
    """
    scan = draw_scan(patient)
    rng = patient.rng("files")
    clock = Clock(
        f"{2014 + int(rng.integers(6))}{int(rng.integers(1, 13)):02d}{int(rng.integers(1, 29)):02d}",
        float(rng.integers(28800, 57600)),
    )
    folder = root / patient.name / "dicom"
    folder.mkdir(parents=True)
    volumes = {name: scan.acquire(name) for name in scan.grids}
    headers = _write_dicom(folder, scan, volumes, clock, rng)
    organ = organ_mask(scan)
    write_nifti(root / organ_path(patient), organ, scan)
    if not labelled:
        return Written([_study_row(patient)], patient, _content(scan, volumes, organ))
    lesions = lesion_mask(scan)
    as_seg = patient.number % seg_every == seg_every - 1
    mask = f"{patient.name}/lesions.{'dcm' if as_seg else 'nii.gz'}"
    if as_seg:
        write_seg(root / mask, lesions, scan, headers, clock)
    else:
        write_nifti(root / mask, lesions, scan)
    return Written(_label_rows(patient, mask, as_seg), patient, _content(scan, volumes, lesions, organ))


def write_study(folder: Path | str, preset_name: str, *, number: int, seed: int | None = None) -> HeldOutStudy:
    """Write one more study that is in no cohort: its random stream is one that cohorts never use.

    Args:
        folder: does not exist yet; receives ``dicom/``, ``lesions.nii.gz``, the mask of the organ and ``truth.csv``.
        preset_name: hospital and lesions are drawn as in this preset.
        number: which one; its class is ``number`` modulo the number of classes, its site likewise.
        seed: as for the cohort; the preset's own when not given.
    """
    chosen = preset(preset_name)
    seed = chosen.seed if seed is None else seed
    classes = chosen.anatomy.findings.classes
    plan = Plan(number, chosen.sites[number % len(chosen.sites)], (classes[number % len(classes)],))
    patient = draw_patient(chosen, plan, seed, stream=HELD_OUT)
    with whole_folder(folder) as part:
        write_patient(part, patient, seg_every=10**9)
        for path in (part / patient.name).iterdir():
            path.rename(part / path.name)
        (part / patient.name).rmdir()
        prior = np.array(chosen.class_weights) / sum(chosen.class_weights)
        truth_table([patient], prior).to_csv(part / "truth.csv", index=False, float_format="%.6f", lineterminator="\n")
    folder = Path(folder)
    organ = folder / Path(organ_path(patient)).name
    return HeldOutStudy(folder / "dicom", folder / "lesions.nii.gz", organ, folder / "truth.csv")


def _write_dicom(
    folder: Path, scan: Scan, volumes: dict[str, NDArray[np.uint16]], clock: Clock, rng: Generator
) -> list[Dataset]:
    """Write all that lies in the DICOM folder; return the headers of the sequence drawn on, slice by slice."""
    patient = scan.patient
    one_dynamic = patient.site.dynamic == "one" or (patient.site.dynamic == "mixed" and patient.number % 2 == 0)
    write_localizer(folder, scan, clock, rng)
    written: dict[str, tuple[Dataset, NDArray[np.int64]]] = {}
    all_series = series_of(patient, one_dynamic)
    for k, series in enumerate(all_series):
        written |= _write_series(folder, scan, volumes, series, k + 2, clock, rng)
    if "S2" in volumes:
        write_subtraction(folder, scan, volumes, len(all_series) + 2, clock, rng)
    write_report(folder, scan, len(all_series) + 3, clock, rng)
    drawn_on = patient.anatomy.drawn_on
    return _headers(*written[drawn_on], scan.grids[drawn_on])


def _write_series(
    folder: Path, scan: Scan, volumes: dict[str, NDArray], series: Series, number: int, clock: Clock, rng: Generator
) -> dict[str, tuple[Dataset, NDArray[np.int64]]]:
    """Write all volumes of a series; return the header and the instance numbers of each."""
    patient = scan.patient
    identifier = uid(patient, "series", number)
    starts = {name: _start(name, patient) for name in series.sequences}
    written = {}
    for k, name in enumerate(series.sequences):
        header = study_header(patient, clock)
        header.Modality, header.SeriesNumber, header.SeriesInstanceUID = "MR", number, identifier
        describe(header, scan, name, series)
        header.SeriesTime = clock.time(min(starts.values()))
        header.AcquisitionTime = header.ContentTime = clock.time(starts[name])
        if name in DCE and name != "S0" and patient.number % 3 == 0:
            header.ContrastBolusStartTime = clock.time(START_S["injection"])
        if len(series.sequences) == len(DCE) and (patient.site.vendor == "PHILIPS" or patient.number % 4 == 0):
            header.TriggerTime = round((starts[name] - starts["S0"]) * 1000, 1)
        instances = _instances(scan, series, k, rng)
        write_volume(folder, header, volumes[name], scan.grids[name], instances, rng)
        written[name] = (header, instances)
    return written


def _start(name: str, patient: Patient) -> float:
    """Return when a volume's acquisition begins, seconds from the start of the examination."""
    if name in DCE:
        jitter = patient.rng("files", DCE.index(name)).uniform(-1, 1) * (1 if name in ("S1", "S2") else 3)
        return START_S["injection"] + round(DELAYS_S[name] + jitter, 1)
    if name in ("IN", "OUT"):
        return START_S["dual"] if patient.site.vendor != "SIEMENS" else START_S[name]
    return START_S[name]


def _instances(scan: Scan, series: Series, k: int, rng: Generator) -> NDArray[np.int64]:
    """Number the slices of volume ``k``: echoes slice by slice, phases one after the other, Philips without order."""
    first = series.sequences[0]
    slices, volumes = scan.grids[first].shape[2], len(series.sequences)
    if scan.patient.site.vendor == "PHILIPS":
        order = scan.patient.rng("files", 100 + SEQUENCES.index(first)).permutation(slices * volumes)
        return order[k * slices : (k + 1) * slices] + 1
    from_head = np.arange(slices)[::-1] if scan.patient.site.vendor == "GE" else np.arange(slices)
    if first in DCE:
        return from_head + k * slices + 1
    return from_head * volumes + k + 1


def _headers(header: Dataset, instances: NDArray[np.int64], grid: Grid) -> list[Dataset]:
    """Return the headers of a volume's images in the order of the slices, without pixels."""
    sources = []
    for k, instance in enumerate(instances):
        source = copy.deepcopy(header)
        source.update(image_header(header.SeriesInstanceUID, grid, k, int(instance)))
        sources.append(source)
    return sources


def _label_rows(patient: Patient, mask: str, as_seg: bool) -> list[dict[str, Any]]:
    return [
        {
            **_study_row(patient),
            "lesion": patient.lesion_name(k),
            "mask": mask,
            "value": "" if as_seg else k + 1,
            "segment": k + 1 if as_seg else "",
            "drawn_on": patient.anatomy.drawn_on,
            **({"liver": organ_path(patient)} if patient.anatomy.organ == "liver" else {}),
            lesion.model.label: lesion.label,
        }
        for k, lesion in enumerate(patient.body.lesions)
    ]


def _study_row(patient: Patient) -> dict[str, Any]:
    return {
        "patient": patient.name,
        "study": patient.study,
        "site": patient.site.name,
        "folder": f"{patient.name}/dicom",
    }


def organ_path(patient: Patient) -> str:
    """Return where the mask of the organ lies, relative to the cohort."""
    return f"{patient.name}/{patient.anatomy.organ}.nii.gz"


def _content(scan: Scan, volumes: dict[str, NDArray[np.uint16]], *masks: NDArray[np.uint8]) -> str:
    """Return the sha256 of what the files say, whatever library wrote them."""
    content = hashlib.sha256()
    for name, stored in volumes.items():
        grid = scan.grids[name]
        content.update(f"{name} {grid.shape} {np.round(grid.affine, 4).tolist()}".encode())
        content.update(stored.astype("<u2", copy=False).tobytes())
    for mask in masks:
        content.update(mask.tobytes())
    return content.hexdigest()
