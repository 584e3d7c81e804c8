"""What repetitions of one configuration come to: metrics by level beside the baseline, and their protocol in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.bundle.network import PATIENTS_TO_CHOOSE_BY
from mpmri_monai.evaluation import coverage, evaluate, roi_baseline
from mpmri_monai.evaluation.repeats_summary import over_epochs, roc_band
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.perturbed import TrainedRun
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.texts import NOTHING, with_interval
from mpmri_monai.report.wording import coverage_sentence, metric_name
from mpmri_monai.sequences import Task


def baseline(context: Context, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the metrics of the baseline, fitted and scored on the divisions of ``runs``; see `roi_baseline`."""
    tables = []
    for run in runs:
        cohort = TrainedRun(context.folder(run)).cohort
        place = {"repeat": cohort.split.repeat, "outer": cohort.split.fold}
        names = cohort.manifest.sequences
        tables.append(roi_baseline(cohort.usable, cohort.roles, cohort.task, names, cohort.seed, **place))
    return evaluate(pd.concat(tables, ignore_index=True), cohort.task, seed=context.seed)


def mean_and_sd(result: Mapping[str, Any], level: str, metric: str) -> str:
    """Return ``0.812 ± 0.031`` over the repetitions, or a dash where there is one only."""
    found = result.get("repeats", {}).get(level, {}).get(metric)
    if found is None or found["mean"] is None or found["sd"] is None:
        return NOTHING
    return f"{found['mean']:.3f} ± {found['sd']:.3f}"


def value_at(result: Mapping[str, Any], level: str, metric: str) -> str:
    """Return a metric with its interval, or a dash where the result has no such level or metric."""
    found = result["levels"].get(level, {}).get("metrics", {}).get(metric)
    return NOTHING if found is None else with_interval(found)


def metrics_by_level(
    result: Mapping[str, Any], floor: Mapping[str, Any], top: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a table of every metric at every level, beside the baseline's and the ceiling's of lesions.

    Args:
        result: of the network, from `evaluate`.
        floor: of the baseline.
        top: the ceiling on the same lesions, or None.
    """
    levels = list(result["levels"])
    rows = []
    for metric in result["levels"]["lesion"]["metrics"]:
        bound = (top or {}).get(metric)
        rows.append(
            [
                metric_name(metric),
                *(value_at(result, level, metric) for level in levels),
                mean_and_sd(result, "lesion", metric),
                value_at(floor, "lesion", metric),
                NOTHING if bound is None else with_interval(bound, "mean"),
            ]
        )
    counts = {level: f"{level}s (n = {of['n']})" for level, of in result["levels"].items()}
    return {
        "key": "metrics",
        "title": "Every metric, all repetitions pooled",
        "caption": f"Value [95 % interval]: {result['intervals']['method']} {result['intervals']['limits']} "
        "Mean ± SD is over the repetitions: no interval. The baseline is a logistic regression on mean signals of all "
        "sequences and lesion size; the ceiling is what the phantom's truth allows.",
        "header": [
            "metric", *(counts[level] for level in levels), "lesions, mean ± SD", "baseline, lesions",
            "ceiling, lesions",
        ],
        "rows": rows,
    }  # fmt: skip


def small_classes(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return how often intervals held in simulations of as few patients a class, where there are few; each once."""
    said = (coverage_sentence(result["levels"]["lesion"], coverage) for result in results)
    return [sentence for sentence in dict.fromkeys(said) if sentence]


def epoch_in_words(keep_best: str, who: str) -> str:
    """Return which epoch's weights count, by a configuration's ``keep_best``.

    Args:
        keep_best: ``auto``, ``yes`` or ``no``.
        who: those who validate, in words; empty for nobody.
    """
    if keep_best == "no" or not who:
        return "The last epoch counts: nobody chose one."
    when = f", where they are at least {PATIENTS_TO_CHOOSE_BY} of each class; else the last epoch counts"
    return (
        f"{who} choose the epoch whose weights are kept{'' if keep_best == 'yes' else when}. No tested patient ever "
        "does."
    )


def audited(context: Context, runs: Sequence[Run], whose: str = "") -> list[dict[str, str]]:
    """Return the leak audit of ``runs``: one row for each check and outcome, with the number of runs.

    Args:
        context: of the experiment.
        runs: finished ones.
        whose: added to the name of each check.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for row in audit_run(context.folder(run)):
            found.setdefault((row["check"], row["outcome"]), []).append(row["found"])
    return [
        {"check": check + whose, "outcome": outcome, "found": f"{len(texts)} of {len(runs)} runs: {texts[0]}"}
        for (check, outcome), texts in found.items()
    ]


def mean_roc(
    predictions: pd.DataFrame, task: Task, of: str, level: str, name: str, unit: str = "patient"
) -> dict[str, Any]:
    """Return the curve of a figure of kind ``roc_band``; without a band where there is one repetition only."""
    found = roc_band(predictions, task, of, level, unit=unit)
    nothing = [None] * len(found["fpr"])
    band = {side: found[side] or nothing for side in ("low", "high")}
    return {"name": name, "fpr": found["fpr"], "mean": found["mean"], **band}


def mean_over_epochs(context: Context, cell: str, column: str, name: str) -> dict[str, Any]:
    """Return the curve of a figure of kind ``epochs`` from a column of the learning curves of a cell's runs."""
    found = over_epochs([context.history(run) for run in context.runs(cell)], column)
    return {"name": name, **{key: found[key] for key in ("epoch", "mean", "sd")}}


def holdouts_in_words(context: Context, cell: str) -> list[str]:
    """Return what was repeated, from the configuration of the first finished run."""
    runs = context.runs(cell)
    cohort = TrainedRun(context.folder(runs[0])).cohort
    share = f"{100 * cohort.split.test:.0f} % of the patients to test"
    chosen = f", {100 * cohort.split.val:.0f} % of the others to validate" if cohort.split.val else ""
    return [
        f"{len(runs)} finished repetitions, each with another random division by patient ({share}{chosen}; stratified "
        "by worst class) and another seed of weights and batches.",
        "Values pool all repetitions as stated for each metric; intervals redraw patients, each with all lesions and "
        "repetitions. The SD over repetitions mixes other test patients with other training, and is no interval.",
    ]
