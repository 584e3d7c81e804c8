"""What the finished runs of the MCTL comparison come to: metrics of every arm, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from mpmri_monai.evaluation import compare, compare_many, evaluate
from mpmri_monai.evaluation.comparison import add_holm
from mpmri_monai.experiments.mctl_tables_arms import ARMS, PUBLISHED_TASK, RANDOM, TRANSFERRED
from mpmri_monai.experiments.mctl_tables_epochs import Reached
from mpmri_monai.experiments.mctl_tables_plan import Comparison
from mpmri_monai.experiments.nested import LEVEL
from mpmri_monai.experiments.start_results import ACCURACY, AUC
from mpmri_monai.sequences import Task

COMPARED = (ACCURACY, AUC)
"""Metrics in which every arm is compared with the transferred network."""


@dataclass(frozen=True)
class Found:
    """What the finished runs of a comparison come to."""

    comparison: Comparison

    @property
    def task(self) -> Task:
        """The question that every arm answers."""
        return self.comparison.question.task

    @property
    def beside_paper(self) -> bool:
        """Whether the paper asked the same question."""
        return self.task.name == PUBLISHED_TASK

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Predictions by arm, of those repetitions of which it has all folds; arms without one are left out."""
        context, folds = self.comparison.context, self.comparison.folds
        tables = {arm.name: context.predictions(arm.name) for arm in ARMS if context.runs(arm.name)}
        whole = {name: folds.whole(table) for name, table in tables.items()}
        return {name: table for name, table in whole.items() if len(table)}

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """Metrics of every arm in ``tables``, as of `evaluate`."""
        seed = self.comparison.context.seed
        return {name: evaluate(table, self.task, seed=seed) for name, table in self.tables.items()}

    @cached_property
    def ceiling(self) -> Mapping[str, Any] | None:
        """What a phantom's truth allows on the tested patients; None for real data."""
        question, seed = self.comparison.question, self.comparison.context.seed
        table = next(iter(self.tables.values()))
        return question.ceilings(question.fusion.split("-"), table[table["role"] == "test"], seed)

    @property
    def metrics(self) -> dict[str, str]:
        """Metrics that are shown, in words; sensitivity and specificity are of the last of two classes."""
        two = {"sensitivity": f"sensitivity ({self.task.classes[-1]})", "specificity": "specificity"}
        several = {"balanced_accuracy": "balanced accuracy"}
        auc = "AUC" if len(self.task.classes) == 2 else "macro AUC"
        return {ACCURACY: "accuracy", **(two if len(self.task.classes) == 2 else several), AUC: auc}

    @cached_property
    def transfer(self) -> dict[str, Any] | None:
        """The paired difference transferred − random of every metric, in the repetitions that both have."""
        pair = self._paired(TRANSFERRED.name, RANDOM.name)
        if pair is None:
            return None
        seed = self.comparison.context.seed
        one = compare(*pair, self.task, LEVEL, metrics=tuple(self.metrics), seed=seed)
        add_holm([one])  # one comparison: the value is its own
        return {"name": f"{TRANSFERRED.title} − {RANDOM.title}", **one}

    @cached_property
    def reached(self) -> Reached | None:
        """How many epochs the transferred network needs less; None where nobody validated."""
        return Reached.of(self.comparison.context, self.comparison.folds)

    @cached_property
    def against_transferred(self) -> list[dict[str, Any]]:
        """The paired difference of every other arm from the transferred network; p corrected by Holm's method."""
        whole = self.tables.get(TRANSFERRED.name)
        if whole is None:
            return []
        tested = {self.title(name): table[table["role"] == "test"] for name, table in self.tables.items()}
        alike = {title: table for title, table in tested.items() if set(table["repeat"]) == set(whole["repeat"])}
        if len(alike) < 2:
            return []
        seed = self.comparison.context.seed
        many = compare_many(alike, TRANSFERRED.title, self.task, LEVEL, metrics=COMPARED, seed=seed)
        return [{**one, "name": f"{one['name']} − {TRANSFERRED.title}"} for one in many["comparisons"]]

    @staticmethod
    def title(name: str) -> str:
        """Return the title of the arm called ``name``."""
        return next(arm.title for arm in ARMS if arm.name == name)

    def _paired(self, first: str, second: str) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        if first not in self.tables or second not in self.tables:
            return None
        tables = [table[table["role"] == "test"] for table in (self.tables[first], self.tables[second])]
        both = set(tables[0]["repeat"]) & set(tables[1]["repeat"])
        a, b = (table[table["repeat"].isin(both)] for table in tables)
        return (a, b) if both else None
