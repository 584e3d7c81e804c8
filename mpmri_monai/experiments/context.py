"""What an experiment is given: the question's bundles and data, its options, and the results of its finished runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from mpmri_monai.artefacts import read_json
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import read_predictions
from mpmri_monai.experiments.plan import Run, Stage

Content = dict[str, Any]
"""What ``collect`` returns and ``experiment.json`` holds; its keys are described in ``report.experiment``."""

PREDICTIONS, ENCODER = "predictions.csv", "encoder.pt"
"""The last file that a training of a classifier, and one of an autoencoder, writes: with it the run is finished."""
OUT = "{out}"
"""Stands for the experiment's folder in the options of runs: a plan stays the same where the folder is moved."""
PLAN = "plan.json"
ERROR = "error.json"
KINDS = {bool: "yes or no", int: "a whole number", float: "a number", str: "text"}
"""What a person is told that an option must be."""


@dataclass(frozen=True)
class Context:
    """Everything that an experiment may read.

    Attributes:
        bundles: folders of the bundles, as given.
        manifest: the cohort's manifest file.
        out: folder of the experiment.
        repeats: how many repetitions, or None for the experiment's own number.
        seed: of everything random.
        options: the experiment's own options, as typed: ``--option key=value``.
        asked: overrides of the training configuration that say what is asked, ``task`` and ``fusion``, where it is not
            the bundle's own question; a run's own win over them.
        common: overrides of the training configuration that every run gets; they win over a run's own.
        cache: the named cache that holds the samples store.
        workers: local processes; results do not depend on it.
        scheduler: address of a Dask scheduler that takes their place, or None.
    """

    bundles: tuple[Path, ...]
    manifest: Path
    out: Path
    repeats: int | None = None
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    cache: Path = Path()
    workers: int = 2
    scheduler: str | None = None

    def option(self, name: str, default: Any) -> Any:
        """Return the experiment's option ``name`` in the type of ``default`` (text, bool, int or float).

        Raises:
            ConfigError: what was typed is not of that type.
        """
        typed = self.options.get(name)
        if typed is None:
            return default
        try:
            if isinstance(default, bool):
                return {"true": True, "false": False, "yes": True, "no": False}[typed.lower()]
            value = type(default)(typed)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(typed)
            return value
        except (ValueError, KeyError) as error:
            kind = KINDS[type(default)]
            raise ConfigError(expected=f"{kind} for --option {name}", found=repr(typed), code="E_OPTION") from error

    def folder(self, run: Run) -> Path:
        """Return the run folder of ``run``."""
        return self.out / "runs" / run.name

    def finished(self, run: Run) -> bool:
        """Whether the run's results are all there."""
        return any((self.folder(run) / name).is_file() for name in (PREDICTIONS, ENCODER))

    def located(self, value: Any) -> Any:
        """Return the value of a run's option with the experiment's folder in the place of `OUT`."""
        return value.replace(OUT, str(self.out.resolve()), 1) if made_here(value) else value

    def manifest_of(self, run: Run) -> Path:
        """Return the manifest that ``run`` reads: the experiment's, or its own."""
        return Path(run.options.get("manifest", self.manifest)).resolve()

    def runs(self, cell: str | None = None) -> list[Run]:
        """Return the finished runs, of one cell or of all, in the order of the plan."""
        return [run for run in self.planned() if cell in (None, run.cell) and self.finished(run)]

    def planned(self) -> list[Run]:
        """Return every run whose configuration is known by now, finished or not."""
        path = self.out / PLAN
        if not path.is_file():
            return []
        bundles = {bundle.name: bundle for bundle in self.bundles}
        return [
            Run(run["name"], run["cell"], bundles.get(Path(run["bundle"]).name, Path(run["bundle"])), run["options"])
            for stage in read_json(path)["stages"]
            for run in stage["runs"]
        ]

    def predictions(self, cell: str) -> pd.DataFrame:
        """Return the predictions of all finished runs of a cell, one under the other.

        Raises:
            EvaluationError: the cell has no finished run.
        """
        tables = [self.run_predictions(run) for run in self.runs(cell)]
        if not tables:
            raise EvaluationError(
                expected=f"finished runs of {cell}",
                found="none",
                fix="look at the failed runs, and run the same command again",
                code="E_CELL_EMPTY",
            )
        return pd.concat(tables, ignore_index=True)

    def run_predictions(self, run: Run) -> pd.DataFrame:
        """Return the predictions of one finished run, every role."""
        return read_predictions(self.folder(run) / PREDICTIONS)

    def history(self, run: Run) -> pd.DataFrame:
        """Return the learning curves of a run, one row an epoch."""
        return pd.read_csv(self.folder(run) / "history.csv")

    @property
    def failures(self) -> list[dict[str, str]]:
        """The planned runs that failed, as ``{"run", "error"}``."""
        places = {run.name: self.folder(run) / ERROR for run in self.planned() if not self.finished(run)}
        return [{"run": name, "error": read_json(path)["error"]} for name, path in places.items() if path.is_file()]


def made_here(value: Any) -> bool:
    """Return whether the value of a run's option is a file that the experiment itself makes."""
    return isinstance(value, str) and value.startswith(OUT)


class Experiment(Protocol):
    """One question that takes many runs. Its class takes no argument and is named in `registry`."""

    name: str
    help: str
    """One sentence for ``mpmri experiment list``, with the experiment's options."""
    options: Sequence[str]
    """Names of the options that it takes."""

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stages; called before anything runs and again on resuming: the same context gives the same."""

    def collect(self, context: Context) -> Content:
        """Return the answer from the finished runs alone; cheap enough to be done again."""
