"""What an experiment will do before it does it: its runs by stage, as tables and files that anyone can read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpmri_monai.errors import ConfigError

SAFE_NAME = re.compile(r"[A-Za-z0-9_+.=-]+(/[A-Za-z0-9_+.=-]+)*")


@dataclass(frozen=True)
class Run:
    """One training of one fit of one configuration.

    Attributes:
        name: unique in its experiment and safe as a path below ``OUT/runs``, such as
            ``grade-T2-OUT-S4-scratch/repeat0-fold2``.
        cell: what it is a repetition of: runs of one cell differ only in repeat, outer and inner fold.
        bundle: the bundle's folder.
        options: overrides of the bundle's training configuration, by flat key (``"split#repeat": 3``). What the
            context gives to every run (threads, precision, results, …) need not be repeated. A file in the
            experiment's folder begins with ``context.OUT``; ``manifest`` is another cohort than the experiment's.
    """

    name: str
    cell: str
    bundle: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not SAFE_NAME.fullmatch(self.name) or ".." in self.name:
            raise ConfigError(
                expected="a name of a run that is a relative path of letters, digits and _+.=-", found=repr(self.name)
            )


@dataclass(frozen=True)
class Stage:
    """Runs that can be executed at the same time.

    Attributes:
        title: what the stage is for, in a few words.
        count: number of runs, known before.
        example: a run like those of the stage; two short variants of it are timed for the estimate, which scales
            with its ``max_epochs`` × ``views``. Its name and cell do not matter.
        runs: makes the runs; called once, when the stages before are done, so that it may read their results.
        adaptive: the runs depend on results of the stages before, so that only their number can be planned.
    """

    title: str
    count: int
    example: Run
    runs: Callable[[], Sequence[Run]]
    adaptive: bool = False


def checked_runs(stage: Stage, taken: set[str]) -> list[Run]:
    """Return the runs of a stage.

    Args:
        stage: makes them.
        taken: names of the runs of other stages.

    Raises:
        ConfigError: their number is not the planned one, or a name is used twice; a fault of the experiment.
    """
    runs = list(stage.runs())
    twice = sorted(name for name, uses in Counter([run.name for run in runs] + list(taken)).items() if uses > 1)
    if len(runs) != stage.count or twice:
        raise ConfigError(
            expected=f"{stage.count} runs, each with its own name",
            found=f"{len(runs)} runs; used twice: {', '.join(twice[:3]) or 'none'}",
            where=f"stage {stage.title!r}",
        )
    return runs
