"""Table 1 of Jia et al. (2019) again: test accuracy of networks pretrained on natural images, and the weights to ship.

    python benchmarks/pretraining.py RUNS                                 # the table, and what is missing from it
    python benchmarks/pretraining.py RUNS --ship bundles/natural_pretrain # CIFAR-10 weights of seed 0 into the bundle

RUNS holds finished runs of the bundle natural_pretrain, in folders of any name. A run is made by its own command, which
is printed for whatever is missing; runs of one recipe with several seeds make one row.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import write_contents
from mpmri_monai.bundle.pretraining import REFERENCE_SCHEMA
from mpmri_monai.errors import BundleError

TRAIN = "bundles/natural_pretrain/configs/train.json"
ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = {
    ("mnist", "gap", 2): 99.18,
    ("mnist", "spp", 2): 99.21,
    ("mnist", "spp", 16): 99.54,
    ("mnist", "spp", 32): 99.61,
    ("cifar10", "gap", 2): 86.76,
    ("cifar10", "spp", 2): 87.44,
    ("cifar10", "spp", 16): 90.50,
    ("cifar10", "spp", 32): 90.48,
}
"""Table 1 of the paper, on the original images (percent)."""
DATASETS, POOLINGS, EMBEDDINGS = ("mnist", "cifar10"), ("gap", "spp"), (2, 16, 32, 64)
REPEATED, SEEDS = ("spp", 32), 3
"""The network that is trained from several seeds; the others from seed 0."""
PLACES = {"output_dir", "dataset_dir"}
"""Keys that a repeated run names for itself."""


@dataclass(frozen=True)
class Run:
    """One finished run."""

    folder: Path
    config: dict[str, Any]
    reference: dict[str, Any]

    @property
    def cell(self) -> tuple[str, str, int]:
        """Data set, pooling and embedding: a place in the table."""
        network = self.reference["network"]
        return self.config["dataset"], network["pooling"], network["embedding"]

    @property
    def recipe(self) -> str:
        """What runs that differ in nothing but the seed share."""
        recipe = {key: value for key, value in self.reference["recipe"].items() if key != "seed"}
        return artefacts.digest([self.cell, self.reference["images"], self.reference["network"], recipe])

    @property
    def command(self) -> str:
        """The command that repeats the run."""
        defaults = artefacts.read_json(ROOT / TRAIN)
        changed = {key: value for key, value in self.config.items() if defaults.get(key) != value and key not in PLACES}
        asked = {"dataset": self.config["dataset"]} | {k: v for k, v in changed.items() if _plain(v) and k in defaults}
        return _command(asked)


def finished_runs(folder: Path) -> list[Run]:
    """Return the finished pretraining runs below ``folder``."""
    runs = []
    for path in sorted(folder.rglob("reference.json")):
        reference = artefacts.read_json(path)
        if reference.get("schema") == REFERENCE_SCHEMA and (path.parent / "config.json").is_file():
            runs.append(Run(path.parent, artefacts.read_json(path.parent / "config.json"), reference))
    return runs


def table(runs: list[Run]) -> str:
    """Return the runs as a table in Markdown: one row for each place in the paper's table and each recipe."""
    rows = [
        "| images | network | embedding | accuracy % | paper % | seeds | epochs | learning rate | gradient norm |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    by_recipe: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_recipe[run.recipe].append(run)
    for group in sorted(by_recipe.values(), key=_order):
        test, recipe, cell = group[0].reference["test"], group[0].reference["recipe"], group[0].cell
        paper = f"{PUBLISHED[cell]:.2f}" if cell in PUBLISHED else "–"
        norm = recipe.get("gradient_norm") or "any"
        rows.append(
            f"| {test['images']} | {cell[1].upper()} | {cell[2]} | {_accuracy(group)} | {paper} | {len(group)} "
            f"| {test['epochs']} | {recipe['learning_rate']:g} | {norm} |"
        )
    return "\n".join(rows)


def missing_commands(runs: list[Run]) -> list[str]:
    """Return the commands of the runs that the table still wants."""
    have = {(run.cell, run.reference["recipe"]["seed"]) for run in runs}
    commands = []
    for dataset, pooling, embedding in itertools.product(DATASETS, POOLINGS, EMBEDDINGS):
        for seed in range(SEEDS if (pooling, embedding) == REPEATED else 1):
            if ((dataset, pooling, embedding), seed) not in have:
                options = {"dataset": dataset, "pooling": pooling, "embedding": embedding, "seed": seed}
                commands.append(_command(options, f"{dataset}_{pooling}{embedding}_seed{seed}"))
    return commands


def ship(runs: list[Run], bundle: Path) -> list[Path]:
    """Copy the CIFAR-10 weights of seed 0, the longest trained of each network, into ``bundle``; return their files.

    Each gets a reference of its own name; the bundle's card and table of contents are renewed.

    Raises:
        BundleError: there are no such runs, or the weights of one are not those of its reference.
    """
    chosen: dict[tuple[str, str, int], Run] = {}
    for run in sorted(runs, key=_epochs):
        if run.cell[0] == "cifar10" and run.reference["recipe"]["seed"] == 0:
            chosen[run.cell] = run
    if not chosen:
        raise BundleError(expected="a finished run on cifar10 with seed 0", found="none", fix="train one first")
    files, lines = [], ["| weights | images | accuracy % | seed | epochs | sha256 |", "|---|---|--:|--:|--:|---|"]
    for (dataset, pooling, embedding), run in sorted(chosen.items()):
        name, test, digest = f"{dataset}_{pooling}{embedding}", run.reference["test"], run.reference["weights_sha256"]
        if artefacts.file_digest(run.folder / "model.pt") != digest:
            raise BundleError(expected="the weights that the run's reference describes", found="others", where=name)
        weights = bundle / "models" / f"{name}.pt"
        with artefacts.whole_file(weights) as part:
            shutil.copyfile(run.folder / "model.pt", part)
        artefacts.write_json(weights.with_suffix(".json"), run.reference | {"command": run.command})
        accuracy = f"{100 * test['accuracy']:.2f}"
        lines.append(f"| {name}.pt | {test['images']} | {accuracy} | {test['seed']} | {test['epochs']} | `{digest}` |")
        files.append(weights)
    _renew_card(bundle / "docs" / "README.md", "\n".join(lines))
    write_contents(bundle)
    return files


def _renew_card(path: Path, weights: str) -> None:
    """Put the list of weights under the heading "Weights" of the bundle's card."""
    text = path.read_text(encoding="utf-8")
    section = re.compile(r"(?<=\n## Weights\n\n)(?:\|.*\n)*\n*")
    artefacts.write_text(path, section.sub(weights + "\n\n", text, count=1))


def _accuracy(group: list[Run]) -> str:
    """Mean ± SD over seeds in percent; the accuracy alone where there is one."""
    values = [100 * run.reference["test"]["accuracy"] for run in group]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _order(group: list[Run]) -> tuple[Any, ...]:
    dataset, pooling, embedding = group[0].cell
    return DATASETS.index(dataset), POOLINGS.index(pooling), embedding, _epochs(group[0])


def _epochs(run: Run) -> int:
    return run.reference["test"]["epochs"]


def _plain(value: Any) -> bool:
    """Whether a value can be typed: no group of settings, no expression and no list of expressions."""
    values = value if isinstance(value, list) else [value]
    return not any(isinstance(one, dict) or str(one).startswith("$") for one in values)


def _command(options: dict[str, Any], folder: str = "OUT") -> str:
    typed = " ".join(f"--{key} {str(value).replace(' ', '')}" for key, value in options.items())
    command = f"python -m monai.bundle run training --config_file {TRAIN} {typed}"
    return f"{command} --dataset_dir DIR --output_dir {folder}"


def main() -> None:
    """Print the table and the commands that are missing; ship the weights when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of finished runs")
    parser.add_argument("--ship", type=Path, metavar="BUNDLE", help="copy the CIFAR-10 weights of seed 0 into it")
    options = parser.parse_args()
    runs = finished_runs(options.runs)
    print(table(runs))
    missing = missing_commands(runs)
    if missing:
        print("\nMissing:\n" + "\n".join(missing))
    if options.ship:
        print("\nShipped:\n" + "\n".join(map(str, ship(runs, options.ship))))


if __name__ == "__main__":
    main()
