"""The report of an external validation: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import write_text
from mpmri_monai.report.calibrated import MEASURES, share
from mpmri_monai.report.experiment_curves import reliability
from mpmri_monai.report.experiment_figures import figure_words
from mpmri_monai.report.pictures import Picture, picture
from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.report.tables import metric_rows
from mpmri_monai.report.template import template
from mpmri_monai.report.wording import METRIC_NAMES, number, percent, with_interval


def write_validation_report(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``report.html`` of a validation.

    Args:
        path: of the file.
        content: of its ``metrics.json``; see `inference.validate.validate`.
    """
    metrics = content["metrics"]
    page = template("validation.html").render(
        research_only=RESEARCH_ONLY,
        content=content,
        percent=percent(metrics),
        levels=[{"name": name, **level} for name, level in metrics["levels"].items()],
        compared=compared_rows(content),
        metrics=metric_rows(metrics, {name: name for name in metrics["levels"]}),
        slopes=slope_rows(content["calibration"]["classes"]),
        picture=_reliability(content["calibration"]["reliability"]),
        ranges=range_rows(content["shift"]),
        presence=presence_rows(content["shift"]),
        case_mix=case_mix_rows(content["shift"]["case_mix"]),
        recalibration=recalibration_rows(content["recalibration"]),
    )
    write_text(path, page)


def compared_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Return metric, here, where it was trained, and the difference."""
    here, there = content["metrics"]["levels"]["lesion"]["metrics"], content["training_results"]
    return [
        [METRIC_NAMES[name], with_interval(here[name]), with_interval(there.get(name)), with_interval(difference)]
        for name, difference in content["difference"].items()
    ]


def slope_rows(classes: Mapping[str, Any]) -> list[list[str]]:
    """Return class, lesions, sum of the probabilities, intercept and slope."""
    return [
        [name, str(one["observed"]), f"{one['expected']:.1f}", with_interval(one["intercept"]),
         with_interval(one["slope"])]
        for name, one in classes.items()
    ]  # fmt: skip


def range_rows(shift: Mapping[str, Any]) -> list[list[str]]:
    """Return quantity, range in training, range here, patients beyond it, p, and whether that is a shift."""
    return [
        [
            one["words"] + (f", {one['sequence']}" if one["sequence"] else ""),
            _from_to(one["training"]),
            _from_to(one["here"]),
            f"{one['outside']} of {one['patients']}",
            _p(one["p_holm"]),
            "yes" if one["shifted"] else "not shown",
        ]
        for one in shift["ranges"]
    ]


def presence_rows(shift: Mapping[str, Any]) -> list[list[str]]:
    """Return sequence and the share of the samples that show it, in training and here."""
    return [
        [one["sequence"], "–" if one["training"] is None else f"{one['training']:.0%}", f"{one['here']:.0%}",
         "never missing in training" if one["shifted"] else ""]
        for one in shift["sequences"]
    ]  # fmt: skip


def case_mix_rows(case_mix: Mapping[str, Any]) -> list[list[str]]:
    """Return class and the number of its lesions, with its share, in training and here."""
    totals = [max(sum(case_mix[side].values()), 1) for side in ("training", "here")]
    return [
        [name, *(f"{case_mix[side][name]} ({case_mix[side][name] / total:.0%})"
                 for side, total in zip(("training", "here"), totals, strict=True))]
        for name in case_mix["here"]
    ]  # fmt: skip


def recalibration_rows(found: Mapping[str, Any] | None) -> list[list[str]]:
    """Return measure, before, after and change, on the patients who judge; nothing where none was fitted."""
    if not found or "measures" not in found:
        return []
    rows = [
        [title, *(with_interval(found["measures"][key][when]) for when in ("before", "after", "change"))]
        for key, title in MEASURES.items()
    ]
    for name in found["classes"]["before"]:
        slopes = [with_interval(found["classes"][when][name]["slope"]) for when in ("before", "after")]
        rows.append([f"Calibration slope, {name}", *slopes, ""])
    sets = found["conformal"]["marginal"]
    if sets["available"]:
        rows.append(["Coverage of the conformal sets", "", share(sets["coverage"]), ""])
    return rows


def _reliability(data: Mapping[str, Any]) -> Picture:
    caption = "How often answers given with such a probability are right; bars: 95 % intervals, figures: lesions."
    alt = f"{caption} {figure_words('reliability', data)}"
    return picture("reliability", "Reliability, as answered", caption, alt, reliability(data))


def _from_to(limits: list[float]) -> str:
    return " to ".join(f"{value:.4g}" for value in limits)


def _p(value: float | None) -> str:
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else number(value)
