"""Is there anything in the data? The same training on labels that were permuted over patients, again and again.

The p-value is that of a permutation test (Phipson and Smyth 2010): the share of label tables, the true one included,
whose result is at least as good. It holds for the whole pipeline, from splits to predictions, because the permuted
labels go through all of it; and it says nothing about how good the result is, only that chance does not explain it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import evaluate, permutation_p
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.experiments.repetitions import repetitions
from mpmri_monai.experiments.texts import NOT_DEFINED, with_interval

PERMUTATIONS = 99
"""With which the smallest possible p-value is 0.01."""
OBSERVED = "observed"
LEVEL, METRIC = "lesion", "macro_auc"


class Permutation:
    """99 permutations of the labels, one holdout each, and the true labels under the same protocol."""

    name = "permutation"
    help = "labels permuted over patients through the whole pipeline; p-value (options: permutations, epochs, views)"
    options = ("permutations", "epochs", "views")

    def stages(self, context: Context) -> Sequence[Stage]:
        """Return the stage of the true labels, and that of the permuted ones."""
        question = Question.of(context)
        count = context.option("permutations", PERMUTATIONS)
        if count < 1:
            raise ConfigError(expected="at least 1 permutation", found=str(count), code="E_OPTION")
        options = recipe(context, question)

        def cell(name: str, permutation: int) -> list[Run]:
            repeats = 1 if context.repeats is None else context.repeats
            return repetitions(name, question.bundle, {**options, "permutation": permutation}, repeats, context.seed)

        true = cell(OBSERVED, -1)
        permuted = [run for number in range(count) for run in cell(f"permuted{number:03d}", number)]
        return [
            Stage("the labels as they are", len(true), true[0], lambda: true),
            Stage("labels permuted over patients", len(permuted), permuted[0], lambda: permuted),
        ]

    def collect(self, context: Context) -> Content:
        """Return the observed result beside the distribution of those of permuted labels."""
        question = Question.of(context)
        observed = evaluate(context.predictions(OBSERVED), question.task, seed=context.seed)
        values = {level: found["metrics"][METRIC] for level, found in observed["levels"].items()}
        null = _null(context, question, values)
        undefined = [level for level in values if values[level]["value"] is None]
        if undefined:
            raise EvaluationError(
                expected=f"a {METRIC} with the labels as they are",
                found=f"none at level {', '.join(undefined)}: {values[undefined[0]]['why']}",
            )
        tests = {level: permutation_p(values[level]["value"], null[level].dropna().to_numpy()) for level in values}
        return {
            "title": f"Permuted labels: {question.title}",
            "headline": _headline(values[LEVEL], tests[LEVEL]),
            "warnings": _warnings(context, len(null)),
            "protocol": _protocol(context, question, len(null)),
            "tables": [_table(values, tests)],
            "figures": [
                {
                    "key": "permutation",
                    "title": "Macro AUC of lesions under permuted labels",
                    "caption": "Bars: trainings on labels permuted over patients. Line: the labels as they are.",
                    "kind": "histogram",
                    "data": {"null": null[LEVEL].dropna().tolist(), "observed": values[LEVEL]["value"]},
                }
            ],
        }


def _null(context: Context, question: Question, levels: Iterable[str]) -> pd.DataFrame:
    """Return the metric of each permutation, one column a level.

    Only of permutations that have every repetition that the true labels have, and of no other repetition: more of them
    would vary less.
    """
    repeats = {run.options["split#repeat"] for run in context.runs(OBSERVED)}
    tables: dict[str, list[pd.DataFrame]] = {}
    for run in context.runs():
        if run.cell != OBSERVED and run.options["split#repeat"] in repeats:
            tables.setdefault(run.cell, []).append(context.run_predictions(run))
    rows = {}
    for cell, parts in tables.items():
        if len(parts) == len(repeats):
            table = pd.concat(parts, ignore_index=True)
            rows[cell] = {level: scored(table, question.task, level).values([METRIC])[METRIC] for level in levels}
    return pd.DataFrame.from_dict(rows, orient="index").astype(float)


def _headline(value: dict[str, Any], test: dict[str, Any]) -> list[str]:
    smallest = f" (the smallest that {test['n']} permutations can give)" if test["p"] <= 1 / (test["n"] + 1) else ""
    return [
        f"Macro AUC of lesions {with_interval(value)} with the labels as they are; with labels permuted over patients "
        f"{test['mean_null']:.3f} ± {_spread(test)[0]} (mean ± SD over {test['n']} permutations).",
        f"p = {test['p']:.3f}{smallest}: how often permuted labels do as well or better, the true labels counted.",
    ]


def _warnings(context: Context, done: int) -> list[str]:
    planned = pd.Series([run.cell for run in context.planned()])
    permutations, repeats = planned.nunique() - 1, int((planned == OBSERVED).sum())
    true, warnings = len(context.runs(OBSERVED)), []
    if done < permutations:
        warnings.append(
            f"{permutations - done} of {permutations} permutations are not finished and do not count; p is not that of "
            "the plan."
        )
    if true < repeats:
        warnings.append(
            f"{true} of {repeats} holdouts are finished with the labels as they are; the others count nowhere."
        )
    return warnings


def _protocol(context: Context, question: Question, count: int) -> list[str]:
    holdouts = "one holdout" if context.repeats in (None, 1) else f"{context.repeats} holdouts"
    return [
        f"{question.sentence} Fusion {question.fusion}.",
        f"The labels were permuted over patients {count} times; splitting, training and scoring then saw only the "
        f"permuted labels. Each permutation got {holdouts} by patient, as the true labels did.",
        "p = (1 + number of permutations with a macro AUC at least as high) / (1 + number of permutations), one-sided.",
    ]


def _spread(test: dict[str, Any]) -> list[str]:
    """Return the SD over permutations and the standard error of their mean; one permutation has neither."""
    if test["n"] < 2:
        return [NOT_DEFINED, NOT_DEFINED]
    return [f"{test['sd_null']:.3f}", f"{test['sd_null'] / np.sqrt(test['n']):.3f}"]


def _table(values: dict[str, dict[str, Any]], tests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            level,
            with_interval(values[level]),
            f"{test['mean_null']:.3f}",
            *_spread(test),
            f"{test['p']:.3f}",
        ]
        for level, test in tests.items()
    ]
    return {
        "key": "permutation",
        "title": "Observed and permuted labels",
        "caption": "Macro one-vs-rest AUC [95 % interval over patients]; a mean under permuted labels that is not 0.5 "
        "within its standard error would be a leak.",
        "header": ["level", "observed", "permuted: mean", "SD", "standard error of the mean", "p"],
        "rows": rows,
    }
