"""A DICOM study to samples, against reading and decoding the same files with pydicom; memory over the cohort's size."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pydicom

from mpmri_monai.cohort import Manifest, load_manifest
from mpmri_monai.samples import Settings, sample_study

MEMORY_PROGRAM = """
import resource, sys, tempfile
from pathlib import Path
from mpmri_monai.cohort import load_manifest
from mpmri_monai.samples import Settings, prepare
manifest = load_manifest(sys.argv[1])
manifest = manifest.model_copy(update={"studies": manifest.studies[: int(sys.argv[2])]})
with tempfile.TemporaryDirectory() as cache:
    prepare(manifest, Settings(), Path(cache), workers=0, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _decode_with_pydicom(folder: Path) -> int:
    files = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        dataset = pydicom.dcmread(path)
        if "PixelData" in dataset:
            _ = dataset.pixel_array
            files += 1
    return files


def _study_to_samples(manifest: Manifest, index: int) -> None:
    sample_study(manifest.studies[index], manifest.folder, Settings(), manifest.sequences)


def study_against_decoding(manifest_path: Path, rounds: int = 5) -> dict[str, float]:
    """Return the median ratio (study → samples) / (pydicom read and decode) over the same files, pair by pair."""
    manifest = load_manifest(manifest_path)
    study = manifest.studies[0]
    folder = manifest.path(next(iter(study.images.values())).dicom)
    ratios, files = [], 0
    for turn in range(rounds + 1):
        start = time.perf_counter()
        files = _decode_with_pydicom(folder)
        middle = time.perf_counter()
        _study_to_samples(manifest, 0)
        if turn:  # the first round warms up the file cache
            ratios.append((time.perf_counter() - middle) / (middle - start))
    return {"files": files, "ratio": median(ratios)}


def memory_over_cohort(manifest_path: Path, sizes: tuple[int, ...] = (4, 8, 16)) -> dict[int, float]:
    """Return the peak memory in MB of preparing the first ``sizes`` studies, each in a process of its own."""
    peaks = {}
    for size in sizes:
        command = [sys.executable, "-c", MEMORY_PROGRAM, str(manifest_path), str(size)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peaks[size] = int(output.split()[-1]) / 1024
    return peaks
