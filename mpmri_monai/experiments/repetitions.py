"""The same training again and again: other patients held out and another start, alike for all that is compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import read_json
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.plan import Run

SPLITS_MADE = 10
"""Repetitions in the splits table of a run, or as many as are asked for if that is more. The k-th division depends on
the seed and k alone, so that an experiment with three repetitions is the beginning of the one with ten."""


def repetitions(cell: str, bundle: Path, options: Mapping[str, Any], repeats: int, seed: int) -> list[Run]:
    """Return ``repeats`` runs of one configuration.

    The k-th repetition of every cell of an experiment has the same held-out patients and the same seed of weights and
    batches, so that cells are compared on equal terms and differ in what ``options`` says alone.

    Args:
        cell: names the configuration.
        bundle: the bundle's folder.
        options: overrides of its training configuration.
        repeats: number of runs.
        seed: of the splits; the k-th run's weights and batches have ``seed + k``.

    Raises:
        ConfigError: fewer than one repetition.
    """
    if repeats < 1:
        raise ConfigError(expected="at least 1 repetition", found=str(repeats), code="E_OPTION")
    made = max(SPLITS_MADE, repeats)
    return [
        Run(
            name=f"{cell}/repeat{k}",
            cell=cell,
            bundle=bundle,
            options={**options, "seed": seed + k, "cohort#seed": seed, "split#repeats": made, "split#repeat": k},
        )
        for k in range(repeats)
    ]


def bundle_config(bundle: Path) -> dict[str, Any]:
    """Return the training configuration of a bundle as it is written.

    Raises:
        ConfigError: the folder holds none.
    """
    path = bundle / "configs" / "train.json"
    if not path.is_file():
        raise ConfigError(expected="the folder of a bundle with configs/train.json", found=str(bundle), code="E_OPTION")
    return read_json(path)


def bundles_by_task(context: Context) -> dict[str, Path]:
    """Return the given bundles by the name of their task, in the order in which they were given.

    Raises:
        ConfigError: two of them are about the same task, one is no bundle, or another question was asked than theirs.
    """
    if context.asked:
        raise ConfigError(
            expected="the tasks and fusions of the bundles themselves for this experiment",
            found=" ".join(f"--{key} {value}" for key, value in context.asked.items()),
            code="E_OPTION",
        )
    found: dict[str, Path] = {}
    for bundle in context.bundles:
        name = bundle_config(bundle)["task"]
        if name in found:
            raise ConfigError(
                expected="bundles of different tasks",
                found=f"{found[name].name} and {bundle.name}, both of {name}",
                code="E_OPTION",
            )
        found[name] = bundle
    return found
