"""The paper's figures 4 and 6 to 10 as data, drawn from the finished runs of both protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from mpmri_monai.cohort import NOT_DISJOINT
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.paired_protocols import Pair
from mpmri_monai.experiments.perturbed import TrainedRun
from mpmri_monai.experiments.published import DETECTOR, DETECTOR_SPP, GRADER, TABLE_4, TABLES, Model, Row
from mpmri_monai.experiments.summary import mean_over_epochs, mean_roc
from mpmri_monai.report.tsic import tsic_curves
from mpmri_monai.sequences import GRADES
from mpmri_monai.transforms.batch import centre_crop

APART, REPLICA = "patients apart", f"replica ({NOT_DISJOINT})"
Figure = dict[str, Any]


def figures(context: Context, pairs: Mapping[Model, Pair]) -> list[Figure]:
    """Return every figure that the finished runs allow; the first one is for the first page."""
    if not pairs:
        return []
    found = [accuracy_bars(task, pairs) for task in ("hcc_grade", "hcc_vs_bg") if any(m.task == task for m in pairs)]
    found += [figure_4(context, pairs)]
    found += [epochs(model, pairs[model]) for model in (DETECTOR, DETECTOR_SPP, GRADER) if model in pairs]
    found += [roc(model, pairs[model]) for model in (DETECTOR, DETECTOR_SPP, GRADER) if model in pairs]
    found += [figure_9(pairs)]
    found += [embeddings(key, model, pairs[model]) for key, model in
              (("figure-6", DETECTOR_SPP), ("figure-10", GRADER)) if model in pairs]  # fmt: skip
    return [figure for figure in found if figure is not None]


def accuracy_bars(task: str, pairs: Mapping[Model, Pair]) -> Figure:
    """Return the accuracy of slices of every model of a task: under both protocols, and as published."""
    reported = [row for table in TABLES for row in table.rows if row.model.task == task]
    rows = {row.model: row for row in sorted(reported, key=_has_accuracy)}  # a row with a number wins over one without
    shown = [(row.name, pairs[model], row) for model, row in rows.items() if model in pairs]
    return {
        "key": f"accuracy-{task}",
        "title": f"Accuracy of slices, {task}: patients apart, the replica, and the paper",
        "caption": f"95 % intervals over the patients. The replica is {NOT_DISJOINT}; the paper's protocol was not "
        "either, and its patients are others.",
        "kind": "bars",
        "data": {"metric": "accuracy of slices", "bars": _both(shown) + _paper(shown)},
    }


def _has_accuracy(row: Row) -> bool:
    return "accuracy" in row.values


def figure_9(pairs: Mapping[Model, Pair]) -> Figure | None:
    """Return the accuracy of each sequence alone."""
    single = [(row.fusion, pairs[row.model], row) for row in TABLE_4.rows
              if "-" not in row.model.fusion and row.model in pairs]  # fmt: skip
    if not single:
        return None
    return {
        "key": "figure-9",
        "title": "Figure 9. HCC against background from one sequence",
        "caption": f"Accuracy of slices with 95 % intervals over the patients; the replica is {NOT_DISJOINT}.",
        "kind": "bars",
        "data": {"metric": "accuracy of slices", "bars": _both(single) + _paper(single)},
    }


def _both(shown: list[tuple[str, Pair, Any]]) -> list[dict[str, Any]]:
    bars = []
    for name, pair, _ in shown:
        for group, result in ((APART, pair.honest), (REPLICA, pair.replica)):
            found = result["levels"]["slice"]["metrics"]["accuracy"]
            bounds = {key: found[key] for key in ("value", "low", "high")}
            bars.append({"name": name, "group": group, "ceiling": None, **bounds})
    return bars


def _paper(shown: list[tuple[str, Pair, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": row.values["accuracy"][0], "low": None, "high": None, "ceiling": None, "group": "paper"}
        for name, _, row in shown
        if "accuracy" in row.values
    ]


def figure_4(context: Context, pairs: Mapping[Model, Pair]) -> Figure | None:
    """Return the time-signal curves of the grades and of the background."""
    runs = context.runs(next(iter(pairs.values())).patient)
    table = TrainedRun(context.folder(runs[0])).cohort.store.table
    if "label_grade" not in table:
        return None
    curves = tsic_curves(table, table["label_grade"].tolist(), GRADES)
    if curves is None:
        return None
    points = curves.points.assign(se=curves.points["se"].fillna(0.0))
    return {
        "key": "figure-4",
        "title": "Figure 4. Signal over the contrast phases",
        "caption": f"Mean ± one standard error over lesions (over studies for the liver), divided by the "
        f"{curves.scale}; every labelled lesion of the cohort.",
        "kind": "tsic",
        "data": {
            "y_label": f"signal ÷ {curves.scale}",
            "classes": [
                {
                    "name": str(name),
                    "x": part["phase"].tolist(),
                    "mean": part["mean"].tolist(),
                    "low": (part["mean"] - part["se"]).tolist(),
                    "high": (part["mean"] + part["se"]).tolist(),
                }
                for name, part in points.groupby("group", sort=False)
            ],
        },
    }


def epochs(model: Model, pair: Pair) -> Figure:
    """Return training accuracy over the epochs under both protocols, and what is known of the test set's."""
    curves = [
        mean_over_epochs(pair.context, pair.patient, "train_accuracy", f"training, {APART}"),
        _tested_once(pair),
        mean_over_epochs(pair.context, pair.sample, "train_accuracy", f"training, {REPLICA}"),
        mean_over_epochs(pair.context, pair.sample, "val_accuracy", f"test, {REPLICA}"),
    ]
    return {
        "key": f"figure-7-{model.task}-{model.pooling}",
        "title": f"Figure 7. Accuracy over epochs: {model.task}, {model.fusion}, {model.network}",
        "caption": "Mean ± SD over the repetitions, slices; training accuracy is that of augmented samples during the "
        "epoch. With patients apart the test set was looked at once, after the last epoch: its accuracy is a level "
        "line. In the replica it was looked at after every epoch, and chose one.",
        "kind": "epochs",
        "data": {"curves": curves},
    }


def _tested_once(pair: Pair) -> dict[str, Any]:
    """Return the accuracy after the last epoch as a level line."""
    epoch = [int(number) for number in pair.context.history(pair.context.runs(pair.patient)[0])["epoch"]]
    found = pair.honest.get("repeats", {}).get("slice", {}).get("accuracy")
    mean = found["mean"] if found else pair.honest["levels"]["slice"]["metrics"]["accuracy"]["value"]
    sd = [found["sd"]] * len(epoch) if found else None
    return {"name": f"test after the last epoch, {APART}", "epoch": epoch, "mean": [mean] * len(epoch), "sd": sd}


def roc(model: Model, pair: Pair) -> Figure:
    """Return mean ROC curves of slices: of the last class of two, or of each of three."""
    classes = pair.task.classes if len(pair.task.classes) > 2 else pair.task.classes[-1:]
    tables = ((APART, pair.patient_predictions, "patient"), (REPLICA, pair.sample_predictions, "sample"))
    curves = [
        mean_roc(table, pair.task, of, "slice", f"{of}, {name}", unit) for name, table, unit in tables for of in classes
    ]
    return {
        "key": f"figure-8-{model.task}-{model.pooling}",
        "title": f"Figure 8. Mean ROC: {model.task}, {model.fusion}, {model.network}",
        "caption": "Slices; mean ± SD over the repetitions, which is no interval.",
        "kind": "roc_band",
        "data": {"curves": curves},
    }


def embeddings(key: str, model: Model, pair: Pair) -> Figure:
    """Return the two-dimensional embedding of the test samples of the first repetition, under both protocols."""
    panels = [_panel(name, pair, cell) for name, cell in ((APART, pair.patient), (REPLICA, pair.sample))]
    return {
        "key": key,
        "title": f"Figure {key.partition('-')[2]}. Embedding of test samples: {model.task}, {model.fusion}",
        "caption": f"{model.network}, first repetition; a point is a sample, in the replica a sample or a copy of one.",
        "kind": "embedding",
        "data": {"panels": panels, "classes": list(pair.task.classes)},
    }


@torch.no_grad()
def _panel(title: str, pair: Pair, cell: str) -> dict[str, Any]:
    run = TrainedRun(pair.context.folder(pair.context.runs(cell)[0]))
    image = centre_crop(torch.as_tensor(run.data.image), run.pixels)
    points = run.network.embed(image, torch.as_tensor(run.data.present)).numpy()
    labels = [pair.task.classes[label] for label in run.data.label]
    return {"title": title, "points": np.round(points, 4).tolist(), "labels": labels}
