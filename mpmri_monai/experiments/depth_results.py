"""What a finished choice of a depth says: every depth on outer folds, what was chosen, and what choosing came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.evaluation import inner_fits, ranking
from mpmri_monai.experiments.context import Content
from mpmri_monai.experiments.depth_choice import Depths, inner_cell, outer_cell
from mpmri_monai.experiments.nested import LEVEL, METRIC, OuterFold
from mpmri_monai.experiments.ranked import SURE, choices_table, ranking_rows
from mpmri_monai.experiments.start_results import (
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
from mpmri_monai.experiments.starts import SAME_RECIPE, Start, training_in_words
from mpmri_monai.experiments.summary import NOTHING
from mpmri_monai.experiments.texts import NOT_DEFINED, with_interval
from mpmri_monai.networks import LAYERS

CHOSEN = "chosen on inner folds"
ONE_VS_REST = "Sensitivities are means over the classes, each against the rest."
READ_OFF = (
    "Sensitivities are read off each model's own ROC curve at rates of false positives (FPR): no threshold was carried "
    "over."
)

Measured = Mapping[str, Mapping[str, Metric]]
"""What was measured on the outer folds, by name of the candidate."""


def depth_content(depths: Depths) -> Content:
    """Return the content of the report.

    Raises:
        EvaluationError: no candidate could be scored on the inner folds of an outer fold.
    """
    task, seed = depths.question.task, depths.context.seed
    chosen = {fold: depths.chosen(fold) for fold in depths.folds}
    found = {name: measured(table, task, seed) for name, table in depths.finished.items()}
    outer = depths.outer_results(_compared(depths), CHOSEN)
    return {
        "title": f"How deep to tune: {depths.question.title}",
        "headline": _headline(depths, chosen, outer),
        "warnings": _warnings(depths),
        "limits": [SAME_RECIPE, "The curve over depths is for looking at: its highest point is the best of many."],
        "protocol": _protocol(depths),
        "tables": [
            _outer_table(depths, outer),
            _depth_table(depths, found),
            _choices_table(depths, chosen),
            *_ranking_table(depths),
        ],
        "figures": [_figure(depths, found)],
        "comparisons": [one["comparison"] for one in outer.values() if one["comparison"] is not None],
    }


def _compared(depths: Depths) -> dict[str, pd.DataFrame]:
    """Return the predictions of the choice, of tuning all layers and of scratch, by what they are called."""
    fixed = {start.title: start.name for start in depths.starts[-2:]}
    tables = {title: depths.finished[name] for title, name in fixed.items() if name in depths.finished}
    return {CHOSEN: depths.predictions_of_choice, **tables}


def _headline(depths: Depths, chosen: Mapping[OuterFold, Start], outer: Mapping[str, Any]) -> list[str]:
    auc = names_of(depths.question.task)[AUC]
    counted = ", ".join(f"{name} ({n})" for name, n in Counter(s.title for s in chosen.values()).most_common())
    own = outer[CHOSEN]["metrics"]
    lines = [
        f"{len(depths.starts) - 1} depths and scratch were tried in {len(chosen)} outer folds; chosen on inner folds "
        f"alone: {counted}.",
        f"On patients that had no part in the choice: {auc} of lesions {with_interval(own[METRIC])}, accuracy "
        f"{with_interval(own['accuracy'])}.",
    ]
    for title, found in outer.items():
        if found["comparison"] is not None:
            difference = against(found["comparison"]["metrics"][METRIC])
            lines.append(f"{title}: {auc} {with_interval(found['metrics'][METRIC])}; chosen minus this {difference}.")
    return lines


def _warnings(depths: Depths) -> list[str]:
    whole = len(depths.folds)
    short = [start.title for start in depths.starts if len(depths.context.runs(outer_cell(start))) < whole]
    unscored = [
        start.title
        for start in depths.starts
        if any(np.isnan(depths.inner_value(inner_cell(start), fold)) for fold in depths.folds)
    ]
    warnings = [f"Not every outer fold of {', '.join(short)} is finished."] if short else []
    if unscored:
        warnings.append(f"In some outer folds {', '.join(unscored)} could not be chosen: an inner fit is missing.")
    return warnings


def _protocol(depths: Depths) -> list[str]:
    several = len(depths.question.task.classes) > 2
    return [
        training_in_words(depths.context, depths.question),
        f"Depth k tunes the last k of the layers {', '.join(LAYERS)}; the others are frozen, their batch-norm "
        "statistics too. Depth 0 is a logistic regression on what the pretrained network sees. Scratch: random weights "
        "(He), all layers.",
        f"{len(depths.folds)} outer folds by patient. In each, every candidate was trained on {depths.inner_folds} "
        "inner folds of the other folds' patients; the one with the highest AUC of lesions there (mean over the classes"
        ", comparing only lesions that one model scored) is that fold's choice.",
        "Every candidate was also trained on all patients outside each outer fold, and scored on that fold's patients. "
        f"{READ_OFF}{f' {ONE_VS_REST}' if several else ''}",
    ]


def _outer_table(depths: Depths, outer: Mapping[str, Any]) -> dict[str, Any]:
    auc = names_of(depths.question.task)[AUC]
    rows = []
    for title, found in outer.items():
        comparison = found["comparison"]
        metrics = [with_interval(found["metrics"][name]) for name in (METRIC, "accuracy")]
        differences = [NOTHING, NOTHING]
        if comparison is not None:
            values = comparison["metrics"][METRIC]
            corrected = values["p_holm"]
            differences = [against(values), NOT_DEFINED if corrected is None else f"{corrected:.3f}"]
        rows.append([title, *metrics, *differences])
    return {
        "key": "outer",
        "title": "What choosing a depth came to",
        "caption": "Lesions of the outer folds' patients [95 % interval over patients]. The first row is the honest "
        "result of choosing: the depth may be another in each fold.",
        "header": ["start", auc, "accuracy", f"chosen minus this, {auc}", "p (Holm)"],
        "rows": rows,
    }


def _depth_table(depths: Depths, found: Measured) -> dict[str, Any]:
    names = names_of(depths.question.task)
    rows = []
    for start in depths.starts:
        cells = cells_of(found[start.name]) if start.name in found else [UNFINISHED, *[NOTHING] * 4]
        rows.append([start.title, *cells, training_accuracy(depths.context, outer_cell(start))])
    return {
        "key": "depths",
        "title": "Every depth on the outer folds",
        "caption": f"Lesions [95 % interval over patients]. {READ_OFF} Last column: accuracy on augmented training "
        "samples in the last epoch.",
        "header": ["start", *names.values(), "training accuracy"],
        "rows": rows,
    }


def _choices_table(depths: Depths, chosen: Mapping[OuterFold, Start]) -> dict[str, Any]:
    found = {
        fold: (
            start.title,
            depths.inner_value(inner_cell(start), fold),
            depths.outer_value(depths.predictions_of_choice, fold),
        )
        for fold, start in chosen.items()
    }
    return choices_table(found, "start", "AUC of lesions")


def _ranking_table(depths: Depths) -> list[dict[str, Any]]:
    """Return how sure the order of the candidates on inner folds is; none where no two were scored in all folds."""
    titles = {inner_cell(start): start.title for start in depths.starts}
    tables = {
        titles[cell]: inner_fits(pd.concat(folds.values(), ignore_index=True))
        for cell, folds in depths.validated.items()
        if len(folds) == len(depths.folds) and np.isfinite([depths.inner_value(cell, fold) for fold in folds]).all()
    }
    if len(tables) < 2:
        return []
    table = ranking(tables, depths.question.task, LEVEL, METRIC, role="val", seed=depths.context.seed)
    return [
        {
            "key": "ranking",
            "title": "How sure the choice is",
            "caption": "AUC of lesions over the inner folds of all outer folds [95 % interval over patients], and how "
            "often each would come first if patients were drawn again; trainings are not repeated.",
            "header": ["rank", "start", "AUC", *SURE],
            "rows": ranking_rows(table),
        }
    ]


def _figure(depths: Depths, found: Measured) -> dict[str, Any]:
    """Return the curves over the depth; scratch, which has none, is a level line."""
    shown = [start for start in depths.starts[:-1] if start.name in found]
    places = [int(start.options["finetune_depth"]) for start in shown]
    curves = {"pretrained": (places, [found[start.name] for start in shown])}
    scratch = depths.starts[-1]
    if scratch.name in found and places:
        ends = sorted({places[0], places[-1]})
        curves[scratch.title] = (ends, [found[scratch.name]] * len(ends))
    return {
        "key": "depth",
        "title": "Results against the number of layers tuned",
        "caption": "Lesions of the outer folds' patients; bands are 95 % intervals over patients.",
        "kind": "curves",
        "data": {"panels": panels(names_of(depths.question.task), "layers tuned", curves), "y_label": ""},
    }
