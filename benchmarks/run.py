"""One command, one table: the promises of speed and memory, as ratios within this run.

    python benchmarks/run.py                    # on a generated cohort, made when it is not there
    python benchmarks/run.py --device cuda      # training throughput on a GPU
    python benchmarks/run.py --manifest M.json  # on your own

Absolute times depend on the machine and its load; the ratios compare what ran in turn in the same minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

import preparation
import startup

import training
from mpmri_monai.artefacts import cache_folder
from mpmri_monai.bundle import default_cohort, manifest_of
from mpmri_monai.phantom import write_cohort


def _realistic_study() -> Path:
    """Return the manifest of three generated patients with matrices as scanners have them."""
    folder = cache_folder() / "cohorts" / "benchmark_paper_3"
    if not folder.exists():
        write_cohort(folder, "paper", patients=3, seed=0)
    return folder / "manifest.json"


def main() -> int:
    """Measure, print the table, and return 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, help="cohort for start-up and memory (default: the quick phantom)")
    parser.add_argument("--device", default="cpu", help="device of the training throughput")
    parser.add_argument("--rounds", type=int, default=5, help="paired measurements after one to warm up")
    options = parser.parse_args()
    torch.set_num_threads(2)
    manifest = options.manifest or Path(manifest_of(default_cohort()))

    speed = training.measure(options.device, options.rounds)
    decoding = preparation.study_against_decoding(options.manifest or _realistic_study(), options.rounds)
    start = startup.measure(manifest, options.rounds)
    memory = preparation.memory_over_cohort(manifest)
    growth = memory[max(memory)] / memory[min(memory)]
    peaks = ", ".join(f"{size} studies {peak:.0f} MB" for size, peak in memory.items())

    rows = [
        ("training, samples/s ÷ bare PyTorch loop", speed["against_bare"], "≥ 0.9", speed["against_bare"] >= 0.9),
        ("training, samples/s ÷ stock MONAI", speed["against_stock"], "≥ 2 (CPU)", speed["against_stock"] >= 2),
        (
            f"study → samples ÷ pydicom decode ({decoding['files']} files)",
            decoding["ratio"],
            "≤ 2",
            decoding["ratio"] <= 2,
        ),
        ("start → first iteration ÷ import of libraries", start["ratio"], "≤ 2", start["ratio"] <= 2),
        (f"peak memory of prepare ({peaks})", growth, "≈ 1", growth <= 1.1),
    ]
    table = Table("measured", "ratio", "promise", "kept", title=f"{options.device}, median of {options.rounds} pairs")
    for name, value, promise, kept in rows:
        table.add_row(name, f"{value:.2f}", promise, "yes" if kept else "no")
    Console().print(
        table, f"training: {speed['samples_per_s']:.0f} samples/s; libraries import in {start['import_s']:.1f} s"
    )
    return 0 if all(kept for *_, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
