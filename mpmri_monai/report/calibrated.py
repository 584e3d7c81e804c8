"""Calibration, prediction sets and abstention of a network: in words, as tables and as figures.

The content is what `evaluation.calibrate` returns. What could not be fitted there says why, and the page repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpmri_monai.report.experiment_curves import reliability, risk_coverage
from mpmri_monai.report.experiment_figures import figure_words
from mpmri_monai.report.pictures import Picture, picture
from mpmri_monai.report.wording import certainty_sentence, number, plural, several, with_interval

MEASURES = {
    "ece": "Expected calibration error",
    "nll": "Negative log-likelihood",
    "brier": "Brier score, summed over classes",
}


@dataclass(frozen=True)
class Calibrated:
    """What a report shows of calibration and abstention."""

    sentences: tuple[str, ...]
    tables: tuple[Mapping[str, Any], ...]
    """Each with ``header, rows, caption``."""
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...]


def calibrated(content: Mapping[str, Any] | None, noun: str = "lesion") -> Calibrated | None:
    """Return what to show of ``calibration`` of ``metrics.json`` or ``experiment.json``; None where there is none.

    Args:
        content: what `evaluation.calibrate` returned, or nothing.
        noun: for a case.
    """
    if not content:
        return None
    tables = (_measures(content), _sets(content["conformal"], noun), _referral(content["abstention"]))
    pictures = (*_reliability(content, noun), _risk(content))
    return Calibrated(_sentences(content, noun), tables, pictures, tuple(content["notes"]))


def share(entry: Mapping[str, Any]) -> str:
    """Return ``82 % (73 to 90 %)`` of a share with its interval."""
    if entry["value"] is None:
        return "not defined"
    value = f"{100 * entry['value']:.0f}\u00a0%"
    if entry["low"] is None or entry["high"] is None:
        return f"{value} (interval not defined)"
    return f"{value} ({100 * entry['low']:.0f}\u00a0to\u00a0{100 * entry['high']:.0f}\u00a0%)"


def _sentences(content: Mapping[str, Any], noun: str) -> tuple[str, ...]:
    source = "validation patients" if content["from"] == "val" else "patients held out by inner folds"
    tested = f"{plural(content['lesions'], f'test {noun}')} of {plural(content['patients'], 'patient')}"
    return (
        f"Fitted on {source}, scored on {tested}. No test patient took part in fitting.",
        _temperature_sentence(content),
        *_set_sentence(content["conformal"], noun),
        *filter(None, [certainty_sentence(content["abstention"])]),
    )


def _temperature_sentence(content: Mapping[str, Any]) -> str:
    temperature, ece = content["temperature"], content["ece"]
    if not temperature["available"]:
        return (
            f"The probabilities are as the network gives them: no temperature was fitted ({_why(temperature)}). Their "
            f"expected calibration error is {number(ece['before']['value'])}."
        )
    values = temperature["values"]
    kind = "Temperature" if len(values) == 1 else "Temperatures of the fits"
    return (
        f"{kind}: {', '.join(f'{value:.2f}' for value in values)} (above 1 where the network was surer than it should "
        "be, below 1 where it was less sure than it could be). "
        f"Expected calibration error before {number(ece['before']['value'])}, after {number(ece['after']['value'])}."
    )


def _set_sentence(conformal: Mapping[str, Any], noun: str) -> list[str]:
    found, asked = conformal["marginal"], f"{100 * (1 - conformal['alpha']):.0f}\u00a0%"
    if not found["available"]:
        return [f"No sets of possible classes were made: {_why(found)}."]
    low, high = found["expected_range"]
    return [
        f"Sets of classes made to hold the true one in {asked} of {several(noun)} held it in "
        f"{share(found['coverage'])}; with this many calibration patients, {100 * low:.0f} to {100 * high:.0f}\u00a0% "
        f"are to be expected. A set had {with_interval(found['size'])} classes on average; "
        f"{share(found['one_class'])} of them named one class."
    ]


def _measures(content: Mapping[str, Any]) -> dict[str, Any]:
    columns = [name for name in ("before", "after", "change") if name in content["ece"]]
    rows = [[title, *(with_interval(content[key][name]) for name in columns)] for key, title in MEASURES.items()]
    caption = "Before and after temperature scaling." if len(columns) > 1 else "Without temperature scaling."
    return {"header": ["lower is better", *columns], "rows": rows, "caption": caption}


def _sets(conformal: Mapping[str, Any], noun: str) -> dict[str, Any]:
    kinds = [
        (title, conformal[key])
        for key, title in (("marginal", "one threshold for all"), ("by_class", "a threshold for each class"))
    ]
    classes = list(dict.fromkeys(name for _, part in kinds for name in part.get("classes", ())))
    header, rows, why = ["true class"], [["all"], *([name] for name in classes)], []
    for title, part in kinds:
        if not part["available"]:
            why.append(f"Not available with {title}: {_why(part)}.")
            continue
        header += [f"holds it, {title}", f"classes in it, {title}"]
        for row, scores in zip(rows, (part, *(part["classes"][name] for name in classes)), strict=True):
            row += [share(scores["coverage"]), with_interval(scores["size"])]
    asked = f"made to hold the true one in {100 * (1 - conformal['alpha']):.0f} % of {several(noun)}"
    caption = " ".join([f"Sets of possible classes, {asked} (conformal prediction).", *why])
    return {"header": header, "rows": rows if len(header) > 1 else [], "caption": caption}


def _referral(abstention: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for row in abstention["table"]:
        fixed = row["by_threshold"]
        cells = [f"{100 * fixed['referred']:.0f} %", share(fixed["right"])] if fixed else ["–", "–"]
        rows.append([f"{100 * row['asked']:.0f} %", share(row["right"]), *cells])
    header = [
        "least certain to a doctor",
        "right among the rest",
        "referred by a fixed threshold",
        "right among the rest",
    ]
    caption = "Abstention. A fixed threshold was set on calibration patients, so the share it refers can differ."
    return {"header": header, "rows": rows, "caption": caption}


def _reliability(content: Mapping[str, Any], noun: str) -> list[Picture]:
    titles = {"before": "Reliability, as the network gives it", "after": "Reliability, after temperature scaling"}
    caption = "How often answers given with such a probability are right; bars: 95 % intervals, figures: "
    caption += f"{several(noun)}."
    return [
        picture(f"calibration_{name}", titles[name], caption, f"{caption} {figure_words('reliability', data)}",
                reliability(data))
        for name, data in content["reliability"].items()
    ]  # fmt: skip


def _risk(content: Mapping[str, Any]) -> Picture:
    found = content["abstention"]
    area = found["aurc"]
    caption = (
        f"Errors among the answers that remain when the least certain are referred. Area under the curve "
        f"{with_interval(area)}; without any order {number(area['always_answering'])}, at best {number(area['best'])}."
    )
    alt = f"{caption} {figure_words('risk_coverage', found)}"
    return picture("calibration_risk_coverage", "Risk and coverage", caption, alt, risk_coverage(found))


def _why(part: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in part["patients_per_class"].items())
    return f"{part['why']}, {counts}; needed: {part['needed']}"
