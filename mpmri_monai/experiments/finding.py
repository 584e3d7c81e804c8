"""How many lesions a detector finds when it is slid over the livers of patients that it never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mpmri_monai.errors import ConfigError
from mpmri_monai.evaluation.froc import CURVE, POOLING, RATES, froc
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.finding_search import BACKGROUND, HIT_MM, Tables, searched
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import Question, positive_option, recipe
from mpmri_monai.experiments.texts import NOTHING, with_interval
from mpmri_monai.report.wording import plural
from mpmri_monai.samples import Settings

FOLDS = 4
PLAIN = "liver"
HARDER = "liver+edge+vessel"
KINDS = "samples#background_kinds"


class Finding:
    """A detector trained on folds with each choice of background, slid over the patients of the other fold."""

    name = "finding"
    help = (
        "a detector slid over the livers of held-out patients: sensitivity for lesions at 1, 2 and 4 false positives a "
        f"study, with background as it is and harder (options: folds, epochs, views; background={HARDER})"
    )
    options: Sequence[str] = ("folds", "epochs", "views", "background")

    def stages(self, context: Context) -> list[Stage]:
        """Return the one stage of all folds; searching the test patients is part of collecting.

        Raises:
            ConfigError: the bundle is no detector, or of aligned sequences; or there is no such background.
        """
        question = Question.of(context)
        for cell in backgrounds(context):
            Settings(background_kinds=cell.split("+"))
        if question.config["samples"].get("align", "none") != "none":
            raise ConfigError(
                expected="a detector of sequences as acquired, where the masks are that candidates are compared with",
                found="samples#align " + str(question.config["samples"]["align"]),
                fix="set samples#align to none",
                code="E_OPTION",
            )
        if len(question.task.classes) != 2 or BACKGROUND not in question.task.classes:
            raise ConfigError(
                expected=f"the bundle of a detector, which tells {BACKGROUND} from one other class",
                found=f"{question.bundle.name}: {', '.join(question.task.classes)}",
                fix="name hcc_detection",
                code="E_OPTION",
            )
        runs = planned_runs(context, question)
        return [Stage("detectors, by fold and background", len(runs), runs[0], partial(list, runs))]

    def collect(self, context: Context) -> Content:
        """Return the sensitivity at each rate of false positives for each background."""
        question = Question.of(context)
        cells = [cell for cell in backgrounds(context) if context.runs(cell)] or backgrounds(context)
        tables = {cell: searched(context, cell) for cell in cells}
        rates = tuple(dict.fromkeys((*CURVE, *RATES)))
        results = {cell: froc(**found, rates=rates, seed=context.seed) for cell, found in tables.items()}
        return {
            "title": f"Finding lesions: {question.title}",
            "question": ["How many lesions does the detector find that nobody pointed out, and at what price?"],
            "headline": [_sentence(cell, result) for cell, result in results.items()],
            "warnings": _warnings(context, tables),
            "protocol": _protocol(context, question, tables),
            "limits": [
                "Intervals redraw the patients and keep the trained networks.",
                "Every kind of background adds a region a lesion: the same epochs are then more steps, and "
                "lesions a smaller share of what is seen.",
                "All patients have lesions: how a detector behaves in a liver without any was not asked.",
            ],
            "tables": [_table(results), _effort(tables)],
            "figures": [_figure(results)],
        }


def backgrounds(context: Context) -> list[str]:
    """Return the choices of background, each also the name of its runs: as it is, and harder."""
    return list(dict.fromkeys([PLAIN, context.option("background", HARDER)]))


def planned_runs(context: Context, question: Question) -> list[Run]:
    """Return one training for each fold, background and repetition; folds are the same for all backgrounds."""
    folds, repeats = positive_option(context, "folds", FOLDS, least=2), context.repeats or 1
    division = {
        "split#file": "", "split#unit": "patient", "split#leave_out": "", "split#inner": -1,
        "split#folds": folds, "split#repeats": repeats, "cohort#seed": context.seed,
    }  # fmt: skip
    options = {**recipe(context, question), **division}
    return [
        Run(
            name=f"{cell}/repeat{repeat}-fold{fold}",
            cell=cell,
            bundle=question.bundle,
            options={
                **options, KINDS: cell.split("+"), "seed": context.seed + repeat,
                "split#repeat": repeat, "split#fold": fold,
            },
        )
        for cell in backgrounds(context)
        for repeat in range(repeats)
        for fold in range(folds)
    ]  # fmt: skip


def _at(result: Mapping[str, Any], rate: float) -> Mapping[str, Any]:
    return next(one for one in result["sensitivity"] if one["rate"] == rate)


def _sentence(cell: str, result: Mapping[str, Any]) -> str:
    found = ", ".join(f"{with_interval(_at(result, rate))} at {rate:g}" for rate in RATES)
    return f"Background {cell}: sensitivity for lesions {found} false positives a study."


def _protocol(context: Context, question: Question, tables: Mapping[str, Tables]) -> list[str]:
    folds = positive_option(context, "folds", FOLDS, least=2)
    where = sorted({str(name) for found in tables.values() for name in found["studies"]["searched"]})
    return [
        f"{question.sentence} Fusion {question.fusion}. {folds} folds by patient; every patient is searched by the "
        "network that did not train on them.",
        f"Windows of several sizes are slid over the {' or the '.join(where)} on each slice of the reference, made as "
        "the training samples are. Candidates about the same place are one: the best stays.",
        f"A candidate is on a lesion when its centre is within {HIT_MM:g} mm of it. A lesion counts once; a candidate "
        "on none is a false positive.",
        f"Several networks: {POOLING}.",
    ]


def _warnings(context: Context, tables: Mapping[str, Tables]) -> list[str]:
    lines = [f"No finished run with background {cell}." for cell in backgrounds(context) if not context.runs(cell)]
    for cell, found in tables.items():
        body = int((found["studies"]["searched"] != PLAIN).sum())
        if body:
            lines.append(f"Background {cell}: {plural(body, 'study')} without a liver mask, searched whole.")
    return lines


def _table(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = [
        [
            cell,
            f"{result['found']} of {result['lesions']}",
            *(with_interval(_at(result, rate)) for rate in RATES),
        ]
        for cell, result in results.items()
    ]
    return {
        "key": "froc",
        "title": "Sensitivity for lesions at a number of false positives a study",
        "caption": "Value [95 % interval over patients]. Found at all: lesions that some candidate is on, however low "
        "its score.",
        "header": ["background in training", "found at all", *(f"{rate:g} a study" for rate in RATES)],
        "rows": rows,
    }


def _effort(tables: Mapping[str, Tables]) -> dict[str, Any]:
    rows = []
    for cell, found in tables.items():
        best = found["candidates"].sort_values("score").groupby(["study", "lesion"]).tail(1)
        on = best[best["lesion"] != ""].merge(found["lesions"], on=["study", "lesion"])
        ratio = on["size_mm"] / on["extent_mm"]
        rows.append(
            [
                cell,
                f"{found['studies']['windows'].median():.0f}",
                f"{found['studies']['seconds'].median():.0f}",
                NOTHING if on.empty else f"{on['off_mm'].median():.1f}",
                NOTHING if on.empty else f"{ratio.median():.2f} ({ratio.quantile(0.1):.2f}–{ratio.quantile(0.9):.2f})",
            ]
        )
    return {
        "key": "search",
        "title": "The search",
        "caption": "Medians over studies; of the best candidate on each lesion, how far its centre is from that of the "
        "mask, and its size as a share of the lesion's (10th to 90th percentile). Seconds are of one thread, and "
        "depend on what else the machine does.",
        "header": ["background in training", "windows a study", "seconds a study", "centre off, mm", "size"],
        "rows": rows,
    }


def _figure(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    curves = []
    for cell, result in results.items():
        points = [_at(result, rate) for rate in CURVE]
        curves.append(
            {
                "name": f"background {cell}",
                "x": list(CURVE),
                "mean": [point["value"] for point in points],
                "low": [point["low"] for point in points],
                "high": [point["high"] for point in points],
            }
        )
    return {
        "key": "froc",
        "title": "Free-response ROC",
        "caption": "Sensitivity for lesions against false positives a study; bands are 95 % intervals over patients.",
        "kind": "curves",
        "data": {
            "panels": [{"title": "held-out patients", "x_label": "false positives a study", "curves": curves}],
            "y_label": "sensitivity for lesions",
        },
    }
