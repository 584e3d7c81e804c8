"""Writing a whole cohort: studies, labels, truth, manifest and recipe."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mpmri_monai.artefacts import whole_folder, write_json
from mpmri_monai.cohort import build_manifest, save_manifest
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.phantom.patients import Plan, draw_patient, plan
from mpmri_monai.phantom.presets import Preset, preset
from mpmri_monai.phantom.study import Written, write_patient
from mpmri_monai.phantom.truth import truth_table
from mpmri_monai.processes import in_processes
from mpmri_monai.sequences import GRADES

MANIFEST, LABELS, TRUTH, RECIPE = "manifest.json", "labels.csv", "truth.csv", "recipe.json"

RECIPE_SCHEMA = "mpmri-monai/phantom-recipe/1"

LEAST_PATIENTS = len(GRADES)


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
        folder: does not exist yet. Receives ``P001/dicom/``, masks, ``labels.csv``, ``truth.csv``, ``manifest.json``
            and ``recipe.json``.
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
    if patients < LEAST_PATIENTS:
        raise ConfigError(expected=f"at least {LEAST_PATIENTS} patients, one a grade", found=str(patients))
    if seed < 0:
        raise ConfigError(expected="a seed of 0 or more", found=str(seed))
    with whole_folder(folder) as part:
        jobs = [(part, chosen, one, seed) for one in plan(chosen, patients, seed)]
        written = list(in_processes(_write_planned, jobs, workers, "Writing studies" if progress else None))
        _write_labels(part / LABELS, written)
        table = truth_table([one.patient for one in written], _shares(written))
        table.to_csv(part / TRUTH, index=False, float_format="%.6f", lineterminator="\n")
        name = f"hcc_phantom_{preset_name}"
        manifest, findings = build_manifest(
            part, part / LABELS, name, classes={"grade": GRADES}, truth=TRUTH, workers=workers, progress=progress
        )
        failed = [finding for finding in findings if finding.level == "error"]
        if failed:
            raise OutputError(
                expected="to read back every study just written", found=f"{len(failed)} failed: {failed[0]}"
            )
        save_manifest(manifest, part / MANIFEST)
        content = content_hash(written, table.round(4).to_csv(index=False, float_format="%.4f", lineterminator="\n"))
        write_json(
            part / RECIPE,
            {"schema": RECIPE_SCHEMA, "preset": preset_name, "patients": patients, "seed": seed, "content": content},
        )
    return Path(folder) / MANIFEST


def content_hash(written: Iterable[Written], truth: str) -> str:
    """Return the sha256 of all voxels, grids, masks and the truth, whatever the libraries that wrote the files."""
    content = hashlib.sha256()
    for one in written:
        content.update(f"{one.patient.name} {one.content}\n".encode())
    content.update(truth.encode())
    return content.hexdigest()


def _write_planned(job: tuple[Path, Preset, Plan, int]) -> Written:
    root, chosen, one, seed = job
    return write_patient(root, draw_patient(chosen, one, seed), chosen.seg_every)


def _shares(written: list[Written]) -> np.ndarray:
    """Return the share of each grade among the lesions: the prior of the generating model."""
    grades = [lesion.grade for one in written for lesion in one.patient.body.lesions]
    return np.array([grades.count(grade) for grade in GRADES]) / len(grades)


def _write_labels(path: Path, written: list[Written]) -> None:
    rows = [row for one in written for row in one.labels]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
