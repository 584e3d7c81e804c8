"""The tables of a run report, as plain rows of text: cohort, metrics, lesions, missing sequences, how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.report.levels import LEVELS
from mpmri_monai.report.wording import (
    commonest_share,
    metric_name,
    number,
    why_undefined,
    with_interval,
    without_folders,
)
from mpmri_monai.sequences import Task

ROLES = ("train", "val", "test")
ROLE_NAMES = {"train": "training", "val": "validation", "test": "test"}


def sample_classes(table: pd.DataFrame, task: Task) -> pd.Series:
    """Return the class of each sample as text, empty where it has none for this task."""
    if "background" in task.classes:
        other = next(name for name in task.classes if name != "background")
        return pd.Series(np.where(table["kind"] == "background", "background", other), index=table.index)
    return table[f"label_{task.label}"].fillna("").astype(str)


def fold(predictions: pd.DataFrame) -> tuple[int, int] | None:
    """Return (repeat, outer) when all predictions come from one fold, else None."""
    folds = set(zip(predictions["repeat"], predictions["outer"], strict=True))
    return folds.pop() if len(folds) == 1 else None


def sample_roles(table: pd.DataFrame, splits: pd.DataFrame, of_fold: tuple[int, int] | None) -> pd.Series | None:
    """Return the role of each sample in one fold, empty for samples that had none; None when there are many folds."""
    if of_fold is None:
        return None
    rows = splits[(splits["repeat"] == of_fold[0]) & (splits["outer"] == of_fold[1]) & (splits["inner"] == "")]
    keys = {"patient": ["patient"], "lesion": ["patient", "lesion"], "sample": ["patient", "lesion", "sample"]}
    key = keys[splits["unit"].iloc[0]]
    roles = dict(zip(rows[key].itertuples(index=False, name=None), rows["role"], strict=True))
    values = [roles.get(item, "") for item in table[key].astype(str).itertuples(index=False, name=None)]
    return pd.Series(values, index=table.index, dtype=object)


def cohort_rows(table: pd.DataFrame, task: Task, roles: pd.Series | None) -> list[list[str]]:
    """Return rows of ``class, <each role>, all``; a cell reads patients / lesions / samples.

    A patient with lesions of several classes counts in each, so patients need not add up; the row ``all`` counts once.
    """
    labels = sample_classes(table, task)
    groups = [(name, labels == name) for name in task.classes]
    groups.append(("all", labels.isin(task.classes)))
    if "background" not in task.classes and (table["kind"] == "background").any():
        groups.append(("liver background", table["kind"] == "background"))
    return [
        [name, *(_cell(table[chosen & (roles == role)]) for role in _columns(roles)), _cell(table[chosen])]
        for name, chosen in groups
    ]


def cohort_header(roles: pd.Series | None) -> list[str]:
    """Return the header that goes with ``cohort_rows``."""
    return ["class", *(ROLE_NAMES[role] for role in _columns(roles)), "all"]


def _columns(roles: pd.Series | None) -> tuple[str, ...]:
    return () if roles is None else tuple(role for role in ROLES if (roles == role).any())


def _cell(rows: pd.DataFrame) -> str:
    lesions = rows.loc[rows["kind"] != "background", ["study", "lesion"]].drop_duplicates()
    middle = f"{len(lesions)}" if len(lesions) else "–"
    return f"{rows['patient'].nunique()} / {middle} / {len(rows)}" if len(rows) else "0"


def headline_rows(metrics: Mapping[str, Any], noun: str = "lesion") -> list[list[str]]:
    """Return rows of ``metric, network, baseline, no information, ceiling of the fusion, ceiling of all`` (lesions).

    Args:
        metrics: the content of ``metrics.json``.
        noun: for a case at lesion level, here and below.
    """
    classes, level = metrics["classes"], metrics["levels"]["lesion"]
    why = why_undefined(level, classes, noun)
    other = (metrics.get("baseline") or {"levels": {}})["levels"].get("lesion")
    ceiling = metrics.get("ceiling") or {}
    nothing = {"accuracy": number(commonest_share(level, classes)), "macro_auc": number(0.5)}
    return [
        [
            metric_name(name),
            with_interval(level["metrics"][name], why),
            with_interval(other["metrics"].get(name), why) if other else "not computed",
            nothing[name],
            *(with_interval(ceiling[key][name]) if key in ceiling else "unknown" for key in ("fusion", "all")),
        ]
        for name in ("accuracy", "macro_auc")
    ]


def metric_rows(metrics: Mapping[str, Any], nouns: Mapping[str, str] = LEVELS) -> list[list[str]]:
    """Return rows of ``metric, <each level>`` with intervals; an undefined value says why.

    Args:
        metrics: the content of ``metrics.json``.
        nouns: the levels to show, as of `levels.level_names`; here and below.
    """
    levels = {name: metrics["levels"][name] for name in nouns if name in metrics["levels"]}
    names = list(dict.fromkeys(name for level in levels.values() for name in level["metrics"]))
    return [
        [metric_name(name)]
        + [
            with_interval(level["metrics"].get(name), why_undefined(level, metrics["classes"], nouns[unit]))
            for unit, level in levels.items()
        ]
        for name in names
    ]


def operating_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Return rows of ``class, sensitivity at each specificity`` of lesions, with intervals."""
    points = (metrics.get("operating_points") or {}).get("points", [])
    return [
        [name, *(with_interval(point, point["why"] or "") for point in points if point["class"] == name)]
        for name in dict.fromkeys(point["class"] for point in points)
    ]


def operating_header(metrics: Mapping[str, Any]) -> list[str]:
    """Return the header that goes with ``operating_rows``."""
    points = (metrics.get("operating_points") or {}).get("points", [])
    rates = dict.fromkeys(point["specificity"] for point in points)
    return ["class", *(f"at {100 * rate:.0f} % specificity" for rate in rates)]


def pooling_rows(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Return rows of ``how several fits become one number, metrics``, of the lesion level."""
    ways: dict[str, list[str]] = {}
    for name, way in metrics["levels"]["lesion"].get("pooling", {}).items():
        ways.setdefault(way, []).append(metric_name(name))
    return [[way, "; ".join(names)] for way, names in ways.items()]


def repeat_rows(metrics: Mapping[str, Any], nouns: Mapping[str, str] = LEVELS) -> list[list[str]]:
    """Return rows of ``metric, <mean ± SD over the repeats of each level>``; none when there was one repeat."""
    repeats = metrics.get("repeats", {})
    levels = [name for name in nouns if name in repeats]
    names = list(dict.fromkeys(name for level in levels for name in repeats[level]))
    return [[metric_name(name), *(_mean_sd(repeats[level].get(name)) for level in levels)] for name in names]


def _mean_sd(entry: Mapping[str, Any] | None) -> str:
    if entry is None or entry["mean"] is None:
        return "not defined"
    spread = "" if entry["sd"] is None else f" ± {number(entry['sd'])}"
    return f"{number(entry['mean'])}{spread} (n = {entry['n']})"


def lesion_results(predictions: pd.DataFrame, table: pd.DataFrame, task: Task, role: str) -> pd.DataFrame:
    """Average the slice probabilities of ``role`` over each lesion (and over repeats), the surest errors first.

    Returns:
        ``patient, study, lesion, label, slices, extent_mm, predicted, p_<class>…``; lesions of no class left out.
    """
    columns = [f"p_{name}" for name in task.classes]
    keys = ["patient", "study", "lesion"]
    rows = predictions[(predictions["role"] == role) & predictions["label"].isin(task.classes)]
    results = rows.groupby([*keys, "label"], as_index=False).agg(
        slices=("sample", "nunique"), **{column: (column, "mean") for column in columns}
    )
    best = results[columns].to_numpy(dtype=float).argmax(axis=1) if len(results) else []
    results["predicted"] = [task.classes[index] for index in best]
    extent = table.groupby(keys, as_index=False)["extent_mm"].max()
    results = results.merge(extent.astype(dict.fromkeys(keys, str)), on=keys, how="left")
    results["sure"] = results[columns].max(axis=1)
    results["wrong"] = results["predicted"] != results["label"]
    return results.sort_values(["wrong", "sure", *keys], ascending=[False, False, True, True, True], ignore_index=True)


def lesion_rows(results: pd.DataFrame, task: Task, noun: str = "lesion") -> list[list[str]]:
    """Return ``patient, lesion, size, slices, truth, predicted, <probability of each class>`` of every lesion.

    Args:
        results: as of `lesion_results`.
        task: the question that was asked.
        noun: for a case; ``study`` where that is a whole study, which goes by its own name.
    """
    return [
        [
            row["patient"],
            row[noun],
            "–" if pd.isna(row["extent_mm"]) else f"{row['extent_mm']:.0f} mm",
            str(row["slices"]),
            row["label"],
            row["predicted"] + (" ✗" if row["wrong"] else ""),
            *(f"{row[f'p_{name}']:.2f}" for name in task.classes),
        ]
        for row in results.to_dict("records")
    ]


def missing_rows(table: pd.DataFrame, sequences: Sequence[str]) -> list[list[str]]:
    """Return ``sequence, studies without it, lesion samples without it``, only of sequences missing somewhere."""
    lesions = table[table["kind"] != "background"]
    studies = lesions["study"].nunique()
    rows = []
    for name in sequences:
        here = lesions[f"present_{name}"].astype(bool)
        without = studies - lesions.loc[here, "study"].nunique()
        if not here.all():
            rows.append([name, f"{without} of {studies}", f"{int((~here).sum())} of {len(lesions)}"])
    return rows


def setting_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Return the plain settings of a merged configuration; expressions, references and nested parts are left out."""
    return [
        [key, shown(value)]
        for key, value in content.items()
        if isinstance(value, str | int | float | list)
        and not str(value).startswith(("$", "@", "[{"))
        and not key.startswith("_")
    ]


def environment_rows(environment: Mapping[str, Any]) -> list[list[str]]:
    """Return everything that the run recorded about where it ran, one row a key."""
    return [[key.replace("_", " "), shown(value)] for key, value in environment.items() if key != "command"]


def shown(value: Any) -> str:
    """Return a recorded value as text, without the folders of absolute paths."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(shown(item) for item in value)
    if value is None:
        return "none"
    return without_folders(str(value))
