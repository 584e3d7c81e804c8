"""From the start of the training command to its first iteration, against importing its libraries alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

LIBRARIES = (
    "import monai, monai.bundle, monai.engines, monai.handlers, monai.transforms, torch, ignite, pandas, pydicom, \
nibabel, highdicom, sklearn.linear_model, matplotlib.figure, scipy.stats, jinja2, pydantic, rich.progress"
)
TRAIN = Path(__file__).resolve().parents[1] / "bundles" / "hcc_grade" / "configs" / "train.json"
FIRST_EPOCH = "epoch 1 of"


def _import_libraries() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True, capture_output=True)
    return time.perf_counter() - start


def _start_training(manifest: Path, folder: Path) -> float:
    """Return the seconds until the first epoch, of one batch of every training sample, is reported."""
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(TRAIN)]
    command += ["--manifest", str(manifest), "--output_dir", str(folder), "--max_epochs", "1000"]
    command += ["--views", "1", "--batch_size", "1000", "--num_workers", "0"]
    start = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        lines = []
        for line in process.stderr:  # type: ignore[union-attr]
            lines.append(line)
            if FIRST_EPOCH in line:
                seconds = time.perf_counter() - start
                process.kill()
                return seconds
    raise RuntimeError("training did not start:\n" + "".join(lines[-20:]))


def measure(manifest: Path, rounds: int = 5) -> dict[str, float]:
    """Return the median ratio (start to first iteration) / (import of the libraries), pair by pair, on a warm store."""
    ratios, imports = [], []
    for turn in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            imported = _import_libraries()
            started = _start_training(manifest, Path(folder) / "run")
        if turn:
            ratios.append(started / imported)
            imports.append(imported)
    return {"import_s": median(imports), "ratio": median(ratios)}
