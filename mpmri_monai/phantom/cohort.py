"""Writing a whole cohort: studies, labels, truth, manifest and recipe."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import whole_folder, write_json
from mpmri_monai.cohort import Manifest, build_manifest, save_manifest
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.phantom.patients import Plan, draw_patient, plan
from mpmri_monai.phantom.presets import Preset, preset
from mpmri_monai.phantom.study import Written, organ_path, write_patient
from mpmri_monai.phantom.truth import truth_table
from mpmri_monai.processes import in_processes

MANIFEST, LABELS, TRUTH, RECIPE = "manifest.json", "labels.csv", "truth.csv", "recipe.json"

RECIPE_SCHEMA = "mpmri-monai/phantom-recipe/1"


def write_cohort(
    folder: Path | str,
    preset_name: str,
    *,
    patients: int | None = None,
    seed: int | None = None,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write a phantom cohort, whole or not at all, and return the path of its manifest.

    Equal preset, patients and seed give equal files, whatever the number of workers.

    Args:
        folder: does not exist yet. Receives ``P001/dicom/``, masks, ``labels.csv``, ``manifest.json``, ``recipe.json``
            and, where the preset is labelled, ``truth.csv``.
        preset_name: one of ``presets.PRESETS``.
        patients: how many; the preset's number when not given.
        seed: 0 or more; the preset's when not given.
        workers: processes; 0 works in this one.
        progress: show a bar.

    Raises:
        ConfigError: unknown preset, or a number out of range.
        OutputError: the folder exists, or cannot be written.
    """
    chosen = preset(preset_name)
    patients = chosen.patients if patients is None else patients
    seed = chosen.seed if seed is None else seed
    least = len(chosen.anatomy.findings.classes)
    if patients < least:
        raise ConfigError(expected=f"at least {least} patients, one a class", found=str(patients))
    if seed < 0:
        raise ConfigError(expected="a seed of 0 or more", found=str(seed))
    with whole_folder(folder) as part:
        jobs = [(part, chosen, one, seed) for one in plan(chosen, patients, seed)]
        written = list(in_processes(_write_planned, jobs, workers, "Writing studies" if progress else None))
        _write_labels(part / LABELS, written)
        truth = _truth(written) if chosen.labelled else None
        if truth is not None:
            truth.to_csv(part / TRUTH, index=False, float_format="%.6f", lineterminator="\n")
        save_manifest(_manifest(part, chosen, written, workers, progress), part / MANIFEST)
        told = "" if truth is None else truth.round(4).to_csv(index=False, float_format="%.4f", lineterminator="\n")
        write_json(
            part / RECIPE,
            {
                "schema": RECIPE_SCHEMA,
                "preset": preset_name,
                "patients": patients,
                "seed": seed,
                "content": content_hash(written, told),
            },
        )
    return Path(folder) / MANIFEST


def content_hash(written: Iterable[Written], truth: str) -> str:
    """Return the sha256 of all voxels, grids, masks and the truth, whatever the libraries that wrote the files."""
    content = hashlib.sha256()
    for one in written:
        content.update(f"{one.patient.name} {one.content}\n".encode())
    content.update(truth.encode())
    return content.hexdigest()


def _manifest(part: Path, chosen: Preset, written: list[Written], workers: int, progress: bool) -> Manifest:
    """Return the manifest that the catalogue makes of what was written, with the sequences that the sites acquire."""
    model = chosen.anatomy.findings
    manifest, findings = build_manifest(
        part,
        part / LABELS,
        chosen.cohort,
        classes={model.label: model.classes} if chosen.labelled else {},
        truth=TRUTH if chosen.labelled else None,
        protocol=chosen.anatomy.protocol,
        workers=workers,
        progress=progress,
    )
    failed = [finding for finding in findings if finding.level == "error"]
    if failed:
        raise OutputError(expected="to read back every study just written", found=f"{len(failed)} failed: {failed[0]}")
    organs = {one.patient.study: {chosen.anatomy.organ: organ_path(one.patient)} for one in written}
    studies = tuple(study.model_copy(update={"organs": organs[study.study]}) for study in manifest.studies)
    return manifest.model_copy(update={"sequences": chosen.sequences, "studies": studies})


def _write_planned(job: tuple[Path, Preset, Plan, int]) -> Written:
    root, chosen, one, seed = job
    return write_patient(root, draw_patient(chosen, one, seed), chosen.seg_every, chosen.labelled)


def _truth(written: list[Written]) -> pd.DataFrame:
    """Return the truth of the cohort; the prior of the generating model is the share of each class."""
    patients = [one.patient for one in written]
    labels = [lesion.label for patient in patients for lesion in patient.body.lesions]
    classes = patients[0].anatomy.findings.classes
    return truth_table(patients, np.array([labels.count(label) for label in classes]) / len(labels))


def _write_labels(path: Path, written: list[Written]) -> None:
    rows = [row for one in written for row in one.labels]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
