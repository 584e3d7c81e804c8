"""The detectors of an experiment slid over the studies of the patients that they did not train on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import make_folder, read_json, write_json
from mpmri_monai.cohort import Study
from mpmri_monai.errors import EvaluationError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.perturbed import TrainedRun
from mpmri_monai.processes import in_processes
from mpmri_monai.samples.study import load_regions, load_sequences
from mpmri_monai.training import Inferer, pin_threads
from mpmri_monai.training.finding import find_in_study
from mpmri_monai.training.search import Candidate, Detector, box_sizes_mm
from mpmri_monai.volumes import Mask

SCHEMA = "mpmri-monai/found/1"
HIT_MM = 3.0
"""A candidate is on a lesion when its centre is no farther than this from a voxel of it: half the distance between two
slices of the reference, on which the centres of candidates lie."""
BACKGROUND = "background"
DIGITS = 2

Tables = dict[str, pd.DataFrame]
"""``candidates``, ``lesions`` and ``studies``, as `evaluation.froc.froc` takes them."""


def searched(context: Context, cell: str) -> Tables:
    """Return what the finished runs of a cell found in their test patients; what was searched before is read.

    It is kept in the experiment's folder, under ``found``, one file a run.

    Raises:
        EvaluationError: no run of the cell has finished.
    """
    jobs = [(context.folder(run), context.out / "found" / f"{run.name}.json") for run in context.runs(cell)]
    if not jobs:
        raise EvaluationError(
            expected=f"finished runs of {cell}",
            found="none",
            fix="look at the failed runs, and run the same command again",
            code="E_CELL_EMPTY",
        )
    contents = list(in_processes(search_run, jobs, context.workers, f"Searching the test patients: {cell}"))
    return tables_of({run.name: content for run, content in zip(context.runs(cell), contents, strict=True)})


def search_run(job: tuple[Path, Path]) -> dict[str, Any]:
    """Search the test patients of one run and keep what was found, or read it where that was done."""
    folder, path = job
    if path.is_file():
        return read_json(path)
    pin_threads(1)
    run = TrainedRun(folder)
    detector = detector_of(run)
    manifest, roles = run.cohort.manifest, run.cohort.roles
    tested = [study for study in manifest.studies if roles.get(study.patient) == "test"]
    content = {"schema": SCHEMA, "studies": [_search(study, manifest.folder, detector) for study in tested]}
    make_folder(path.parent)
    write_json(path, content)
    return content


def detector_of(run: TrainedRun) -> Detector:
    """Return the network of a finished run, with boxes as large as the lesions that it was trained on.

    It sees the central crop of a window, without test-time averaging.
    """
    classes, data = run.cohort.task.classes, run.cohort.samples("train")
    finding = 1 - classes.index(BACKGROUND)
    extents = data.extent_mm[data.label == finding]
    return Detector(
        network=run.network,
        inferer=Inferer(),
        fusion=run.cohort.fusion,
        settings=run.cohort.settings,
        window=run.pixels,
        finding=finding,
        sizes_mm=box_sizes_mm(float(extents.min()), float(extents.max()), run.cohort.settings),
    )


def tables_of(contents: Mapping[str, Mapping[str, Any]]) -> Tables:
    """Return the tables of what some fits found, by the name of each fit."""
    studies: list[dict[str, Any]] = []
    lesions: list[dict[str, Any]] = []
    candidates: list[dict[str, Any]] = []
    for fit, content in contents.items():
        for study in content["studies"]:
            # A study that is searched in several repetitions counts once in each of them.
            name = f"{fit}/{study['study']}"
            studies.append({**{key: study[key] for key in STUDY}, "study": name, "fit": fit})
            lesions += [{"study": name, **lesion} for lesion in study["lesions"]]
            candidates += [{"study": name, **candidate} for candidate in study["candidates"]]
    return {
        "studies": pd.DataFrame(studies, columns=[*STUDY, "study", "fit"]),
        "lesions": pd.DataFrame(lesions, columns=["study", "lesion", "extent_mm"]),
        "candidates": pd.DataFrame(candidates, columns=["study", "score", "lesion", "size_mm", "off_mm", "center_mm"]),
    }


STUDY = ("patient", "searched", "windows", "seconds")
"""What is kept of each study beside its name."""


def hit(center_mm: tuple[float, float, float], lesions: Mapping[str, Mask]) -> str:
    """Return the lesion that a point (RAS+) is on, the nearest if there are several; an empty text if on none."""
    gaps = {name: float(np.linalg.norm(mask.points_mm() - center_mm, axis=1).min()) for name, mask in lesions.items()}
    nearest = min(gaps, key=gaps.__getitem__, default="")
    return nearest if nearest and gaps[nearest] <= HIT_MM else ""


def _search(study: Study, folder: Path, detector: Detector) -> dict[str, Any]:
    started = time.monotonic()
    findings = find_in_study(study, folder, detector)
    seconds = time.monotonic() - started
    drawn_on = tuple(dict.fromkeys(lesion.drawn_on for lesion in study.lesions if lesion.drawn_on))
    stacks = load_sequences(study, folder, drawn_on or tuple(study.images))
    lesions = load_regions(study, folder, stacks).lesions
    return {
        "patient": study.patient,
        "study": study.study,
        "searched": findings.searched,
        "notes": list(findings.notes),
        "windows": findings.found.windows,
        "seconds": round(seconds, 1),
        "lesions": [{"lesion": name, "extent_mm": round(_extent_mm(mask), DIGITS)} for name, mask in lesions.items()],
        "candidates": [_candidate(candidate, lesions) for candidate in findings.found.candidates],
    }


def _candidate(candidate: Candidate, lesions: Mapping[str, Mask]) -> dict[str, Any]:
    on = hit(candidate.center_mm, lesions)
    middle = lesions[on].points_mm().mean(axis=0) if on else None
    return {
        "score": candidate.score,
        "lesion": on,
        "size_mm": round(candidate.size_mm, DIGITS),
        "off_mm": None if middle is None else round(float(np.linalg.norm(middle - candidate.center_mm)), DIGITS),
        "center_mm": [round(value, DIGITS) for value in candidate.center_mm],
    }


def _extent_mm(mask: Mask) -> float:
    """Return the largest extent of a mask along an axis of the body, to half a voxel."""
    return float(np.ptp(mask.points_mm(), axis=0).max() + max(mask.geometry.spacing_mm))
