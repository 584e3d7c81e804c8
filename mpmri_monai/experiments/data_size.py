"""What pretraining is worth when patients are few: the same starts on all, half, a quarter and a tenth of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pandas as pd

from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation.comparison import compare_many
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.nested import LEVEL, whole_repeats
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, positive_option
from mpmri_monai.experiments.start_results import (
    ACCURACY,
    AUC,
    UNFINISHED,
    Metric,
    against,
    cells_of,
    measured,
    names_of,
    panels,
    training_accuracy,
)
from mpmri_monai.experiments.starts import (
    OPTIONS,
    SAME_RECIPE,
    Start,
    five_starts,
    scratch,
    training,
    training_in_words,
)
from mpmri_monai.experiments.summary import NOTHING
from mpmri_monai.experiments.texts import NOT_DEFINED, with_interval

FOLDS = 3
SHARES = "100,50,25,10"
REFERENCE = scratch("he")
"""What every other start is compared with: the network's own random weights."""
COMPARED = (AUC, ACCURACY)

Key = tuple[int, str]
"""Share of the training patients in percent, and name of the start."""


class DataSize:
    """Five starts on smaller and smaller shares of the training patients of k folds; the test patients stay."""

    name = "data-size"
    help = (
        "scratch (Gaussian, Xavier, He) against shallow and deep tuning of pretrained weights on 100, 50, 25 and 10 % "
        "of the training patients (options: shares=100,50,…; folds, depth of shallow tuning, epochs, views; "
        "pretrained=FILE; recipe=layerwise|paper)"
    )
    options: Sequence[str] = ("shares", "folds", "depth", *OPTIONS)

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all starts and shares."""
        sizes = Sizes(context, Question.of(context))
        runs = sizes.runs
        title = f"{len(sizes.starts)} starts on {len(sizes.shares)} shares of the training patients"
        return [Stage(title, len(runs), runs[-1], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return every start at every share, and its paired difference from scratch."""
        sizes = Sizes(context, Question.of(context))
        if not sizes.finished:
            raise EvaluationError(expected="a start with all folds finished", found="none", code="E_CELL_EMPTY")
        task = sizes.question.task
        found = {key: measured(table, task, context.seed) for key, table in sizes.finished.items()}
        compared = {share: sizes.comparisons(share) for share in sizes.shares}
        return {
            "title": f"Fewer training patients: {sizes.question.title}",
            "headline": _headline(sizes, found, compared),
            "limits": [
                SAME_RECIPE,
                "An epoch of fewer patients has fewer steps: with the share of the patients, the number of updates "
                "shrinks too.",
                "Differences are between these trained networks, and intervals redraw test patients alone: other "
                "training patients, or another seed, may turn a difference over, the more easily the fewer they are. "
                "--repeats adds other draws.",
            ],
            "protocol": _protocol(sizes),
            "tables": [_table(sizes, found), _comparison_table(sizes, compared)],
            "figures": [_figure(sizes, found)],
            "comparisons": [
                {**one, "name": f"{share} %: {one['name']} − {REFERENCE.title}"}
                for share, many in compared.items()
                for one in many.values()
            ],
        }


@dataclass(frozen=True)
class Sizes:
    """The plan of the experiment, and what its finished runs say.

    Attributes:
        context: of the experiment.
        question: the bundle's task on the cohort.
    """

    context: Context
    question: Question

    @cached_property
    def shares(self) -> list[int]:
        """Shares of the training patients in percent, the largest first.

        Raises:
            ConfigError: one of them is none.
        """
        typed = self.context.option("shares", SHARES)
        try:
            found = sorted({int(share) for share in typed.split(",")}, reverse=True)
        except ValueError:
            found = [0]
        if found[-1] < 1 or found[0] > 100:
            raise ConfigError(
                expected="shares of the training patients from 1 to 100 %, such as 100,50,25",
                found=repr(typed),
                code="E_OPTION",
            )
        return found

    @cached_property
    def starts(self) -> list[Start]:
        """Scratch by each initialisation, shallow and deep tuning."""
        return five_starts(self.context, self.question)

    @property
    def folds(self) -> int:
        """Folds by patient."""
        return positive_option(self.context, "folds", FOLDS, least=2)

    @property
    def repeats(self) -> int:
        """Divisions into folds, each with its own draws of training patients."""
        return 1 if self.context.repeats is None else self.context.repeats

    @property
    def runs(self) -> list[Run]:
        """All trainings, fold by fold, the largest share last."""
        common = training(self.context, self.question)
        return [
            Run(
                name=f"{cell_name(share, start)}/repeat{repeat}-fold{fold}",
                cell=cell_name(share, start),
                bundle=self.question.bundle,
                options={
                    **start.options, **common, "seed": self.context.seed + repeat, "cohort#seed": self.context.seed,
                    "split#folds": self.folds, "split#repeats": self.repeats, "split#repeat": repeat,
                    "split#fold": fold, "split#val": 0.0, "split#train_share": share / 100,
                },
            )
            for repeat in range(self.repeats)
            for fold in range(self.folds)
            for share in reversed(self.shares)
            for start in self.starts
        ]  # fmt: skip

    @cached_property
    def finished(self) -> dict[Key, pd.DataFrame]:
        """Predictions of those starts at those shares that tested every patient, in the repeats in which they did."""
        keys = {(share, start.name): cell_name(share, start) for share in self.shares for start in self.starts}
        tables = {key: self.context.predictions(cell) for key, cell in keys.items() if self.context.runs(cell)}
        whole = {key: whole_repeats(table, self.folds) for key, table in tables.items()}
        return {key: table for key, table in whole.items() if len(table)}

    def patients(self, share: int) -> str:
        """Return how many patients trained at a share, from the fewest to the most over the runs."""
        tables = [table for (of, _), table in self.finished.items() if of == share]
        counts = [
            rows["patient"].nunique()
            for table in tables
            for _, rows in table[table["role"] == "train"].groupby(["repeat", "outer"])
        ]
        ends = sorted({min(counts), max(counts)}) if counts else []
        return "–".join(map(str, ends)) or NOTHING

    def comparisons(self, share: int) -> dict[str, dict[str, Any]]:
        """Return the paired difference of each start from scratch (He) at one share, by the start's name."""
        tested = {
            start.title: table[table["role"] == "test"]
            for start in self.starts
            if (table := self.finished.get((share, start.name))) is not None
        }
        whole = tested.get(REFERENCE.title)
        if whole is None:
            return {}
        alike = {title: table for title, table in tested.items() if set(table["repeat"]) == set(whole["repeat"])}
        if len(alike) < 2:
            return {}
        many = compare_many(alike, REFERENCE.title, self.question.task, LEVEL, metrics=COMPARED, seed=self.context.seed)
        return {one["name"]: one for one in many["comparisons"]}


def cell_name(share: int, start: Start) -> str:
    """Name the runs of one start at one share."""
    return f"{share}percent-{start.name}"


def _headline(sizes: Sizes, found: Mapping[Key, Mapping[str, Metric]], compared: Mapping[int, Any]) -> list[str]:
    auc, deep = names_of(sizes.question.task)[AUC], sizes.starts[-1]
    lines = []
    for share, many in compared.items():
        if deep.title in many:
            own, other = (found[share, name][AUC] for name in (deep.name, REFERENCE.name))
            lines.append(
                f"{share} % of the training patients ({sizes.patients(share)}): {auc} of lesions {with_interval(own)} "
                f"by deep tuning, {with_interval(other)} from scratch (He); pretraining minus scratch "
                f"{against(many[deep.title]['metrics'][AUC])}."
            )
    return lines or ["No share has all folds of both deep tuning and scratch finished."]


def _protocol(sizes: Sizes) -> list[str]:
    times = f", {sizes.repeats} times" if sizes.repeats > 1 else ""
    return [
        training_in_words(sizes.context, sizes.question),
        f"{sizes.folds} folds by patient{times}. In each fold, of the patients who would train "
        f"{', '.join(map(str, sizes.shares))} % did, drawn by class, at least one of each; those of a smaller share "
        "are among those of a larger one. The tested patients are the same at every share.",
        "Differences are paired: the same patients are redrawn for both starts. p-values are corrected by Holm's "
        "method over the starts of a share.",
    ]


def _table(sizes: Sizes, found: Mapping[Key, Mapping[str, Metric]]) -> dict[str, Any]:
    names = names_of(sizes.question.task)
    rows = []
    for share in sizes.shares:
        for start in sizes.starts:
            key = (share, start.name)
            cells = cells_of(found[key]) if key in found else [UNFINISHED, *[NOTHING] * (len(names) - 1)]
            trained = training_accuracy(sizes.context, cell_name(share, start))
            rows.append([f"{share} %", sizes.patients(share), start.title, *cells, trained])
    return {
        "key": "data-size",
        "title": "Every start on every share of the training patients",
        "caption": "Lesions of the tested patients [95 % interval over patients]. Sensitivities are read off each "
        "model's own ROC curve at rates of false positives (FPR). Last column: accuracy on augmented training samples "
        "in the last epoch.",
        "header": ["share", "training patients", "start", *names.values(), "training accuracy"],
        "rows": rows,
    }


def _comparison_table(sizes: Sizes, compared: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    names = names_of(sizes.question.task)
    rows = []
    for share, many in compared.items():
        for title, one in many.items():
            cells = []
            for metric in COMPARED:
                values = one["metrics"][metric]
                cells += [against(values), NOT_DEFINED if values["p_holm"] is None else f"{values['p_holm']:.3f}"]
            rows.append([f"{share} %", title, *cells])
    return {
        "key": "against-scratch",
        "title": f"Each start minus {REFERENCE.title}",
        "caption": "Paired difference on the same lesions [95 % interval over patients].",
        "header": ["share", "start", *(text for name in COMPARED for text in (names[name], "p (Holm)"))],
        "rows": rows,
    }


def _figure(sizes: Sizes, found: Mapping[Key, Mapping[str, Metric]]) -> dict[str, Any]:
    curves = {}
    for start in sizes.starts:
        shares = [share for share in reversed(sizes.shares) if (share, start.name) in found]
        if shares:
            curves[start.title] = (shares, [found[share, start.name] for share in shares])
    shown = {name: title for name, title in names_of(sizes.question.task).items() if name in COMPARED}
    return {
        "key": "data-size",
        "title": "Results against the share of the training patients",
        "caption": "Lesions of the tested patients; bands are 95 % intervals over patients.",
        "kind": "curves",
        "data": {"panels": panels(shown, "training patients, %", curves), "y_label": ""},
    }
