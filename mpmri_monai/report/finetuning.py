"""The report of a fine-tuning: what was chosen, what it gained on local patients, what it cost at the old site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import write_text
from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.report.template import template
from mpmri_monai.report.wording import metric_name, number, with_interval


def write_finetuning_report(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``report.html`` of a fine-tuning.

    Args:
        path: of the file.
        content: of its ``metrics.json``; see `inference.finetune.finetune`.
    """
    page = template("finetuning.html").render(
        research_only=RESEARCH_ONLY,
        content=content,
        depths=depth_rows(content),
        sentences=sentences(content),
        compared={key: comparison_rows(content[key]) for key in ("local", "old") if content[key]},
    )
    write_text(path, page)


def sentences(content: Mapping[str, Any]) -> list[str]:
    """Return what a reader has to know first."""
    if content["local"] is None:
        return ["No depth was clearly better than tuning nothing on the inner folds: the bundle stays as it is."]
    told = [_changed("On held-out local patients", content["local"])]
    if content["old"]:
        told.append(_changed("On patients of the old site", content["old"]))
    else:
        told.append("What it forgot is not known: no patients of the old site were given.")
    temperature = content["temperature"]
    if temperature["value"] is None:
        told.append("Its probabilities are not calibrated.")
    elif not temperature["fitted_here"]:
        told.append(
            "Too few local patients to calibrate it: the temperature is that of the older version, and there are no "
            "conformal sets."
        )
    return told


def depth_rows(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the choice by inner folds."""
    rows = [
        [
            f"{one['depth']}{' (chosen)' if one['depth'] == content['depth'] else ''}",
            ", ".join(one["layers"]) or "none: as it is",
            number(one["nll"]),
            number(one["accuracy"]),
        ]
        for one in content["depths"]
    ]
    return ["depth", "layers tuned", "negative log-likelihood", "accuracy"], rows


def comparison_rows(compared: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of one comparison of before and after, lesion by lesion."""
    rows = [
        [
            metric_name(name),
            with_interval(one["before"]),
            with_interval(one["after"]),
            with_interval({"value": one["difference"]["difference"], **one["difference"]}),
            number(one["difference"]["p"]),
        ]
        for name, one in compared["metrics"].items()
    ]
    return ["metric", "before", "after", "difference", "p"], rows


def _changed(where: str, compared: Mapping[str, Any]) -> str:
    found = compared["metrics"]["macro_auc"]
    difference = found["difference"]
    if difference["difference"] is None:
        return f"{where}, the macro AUC is not defined."
    shown = with_interval({"value": difference["difference"], **difference})
    outcome = "no change is shown"
    if difference["low"] is not None and difference["low"] > 0:
        outcome = "it is better"
    elif difference["high"] is not None and difference["high"] < 0:
        outcome = "it is worse"
    return f"{where} ({compared['patients']}), the macro AUC changes by {shown}: {outcome}."
