"""What many runs cost: a loop of commands beside the warm workers of ``mpmri experiment``.

python benchmarks/experiments.py MANIFEST

Measures CPU seconds, not wall clock, so that a busy machine does not change the answer much. A run costs a start
and its passes over the training samples; runs of one and of four epochs with one view tell the two apart.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mpmri_monai.artefacts import cache_folder
from mpmri_monai.experiments.worker import RunJob, execute_run

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "hcc_grade"
SHORT, LONG = 1, 4
PASSES = 180
"""Epochs times views of a real training, for the last column."""
RUN = {"split#val": 0.0, "num_workers": 0, "views": 1}


def main(manifest: Path) -> None:
    """Print a table: way of running, CPU seconds of the start, of one pass over the samples, of a whole training."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _in_worker(folder / "warm-up", manifest, 1, "fp32")
        rows = {
            "command, 2 threads, full report": lambda name, epochs: _by_command(
                folder / name, manifest, epochs, {"threads": 2, "results": "report"}
            ),
            "command, 1 thread, predictions": lambda name, epochs: _by_command(
                folder / name, manifest, epochs, {"threads": 1, "results": "predictions"}
            ),
            "warm worker, fp32": lambda name, epochs: _in_worker(folder / name, manifest, epochs, "fp32"),
            "warm worker, bf16": lambda name, epochs: _in_worker(folder / name, manifest, epochs, "bf16"),
        }
        print(f"{'':34} {'start':>8} {'pass':>8} {f'{PASSES} passes':>11}   CPU seconds")
        for number, (title, cost) in enumerate(rows.items()):
            short, long = cost(f"{number}-short", SHORT), cost(f"{number}-long", LONG)
            epoch = (long - short) / (LONG - SHORT)
            start = short - SHORT * epoch
            print(f"{title:34} {start:8.2f} {epoch:8.2f} {start + PASSES * epoch:11.1f}", flush=True)


def _by_command(folder: Path, manifest: Path, epochs: int, options: dict[str, object]) -> float:
    config = BUNDLE / "configs" / "train.json"
    given = {**RUN, **options, "max_epochs": epochs, "manifest": manifest, "output_dir": folder}
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", str(config), *words]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _in_worker(folder: Path, manifest: Path, epochs: int, precision: str) -> float:
    options = {**RUN, "threads": 1, "results": "predictions", "precision": precision, "max_epochs": epochs}
    options |= {"manifest": str(manifest.resolve()), "output_dir": str(folder)}
    before = time.process_time()
    execute_run(RunJob(BUNDLE, folder, options, cache_folder(), "one cohort"))
    return time.process_time() - before


if __name__ == "__main__":
    main(Path(sys.argv[1]))
