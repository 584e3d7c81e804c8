"""External validation in words: does a model do elsewhere what it did where it was trained, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpmri_monai.evaluation.calibration_slope import PERFECT, SMALL
from mpmri_monai.evaluation.shift import SIGNIFICANT

COMPARED = ("macro_auc", "accuracy", "balanced_accuracy")
TOLERATED = 0.1
"""Loss of macro AUC that still counts as the same discrimination; a larger one has to be excluded by the interval."""
FEW = 10
"""Patients of a class below which nothing is said for or against a model."""

HOLDS, RECALIBRATE, REBALANCE, TUNE = "holds", "recalibrate", "rebalance", "fine-tune"
UNKNOWN, LOOK = "cannot tell", "look"
ADVICE = {
    HOLDS: "Nothing that was looked at speaks against using it here, for research.",
    LOOK: "No loss was shown, but these data differ from those of its training: look at what differs before using it.",
    RECALIBRATE: "It tells the classes apart as it should, but its probabilities are off here: recalibrate it "
    "(mpmri validate --recalibrate), or fine-tune it.",
    REBALANCE: "It tells the classes apart as it should, but names some too often and others too rarely here, as where "
    "classes are mixed otherwise. Calibrating again cannot mend that: fine-tune it (mpmri finetune).",
    TUNE: "Do not use it here as it is: fine-tune it on local patients (mpmri finetune), then validate it again.",
    UNKNOWN: "These patients, or those of some classes, are too few to tell: validate it on more.",
}


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return here - there of the compared metrics, with intervals for results on different patients.

    The interval adds the squared distances to the limits (MOVER: Zou and Donner, Statistics in Medicine 27, 2008),
    which needs no more than the two intervals. What is not defined is None.

    Args:
        here: metrics as `evaluate` gives them for a level, by name.
        there: of the training, as its reference keeps them.
    """
    found = {}
    for name in COMPARED:
        a, b = here.get(name) or {}, there.get(name) or {}
        known = a.get("value") is not None and b.get("value") is not None
        one: dict[str, float | None] = {"value": a["value"] - b["value"] if known else None, "low": None, "high": None}
        if known and all(part.get(end) is not None for part in (a, b) for end in ("low", "high")):
            below = (a["value"] - a["low"]) ** 2 + (b["high"] - b["value"]) ** 2
            above = (a["high"] - a["value"]) ** 2 + (b["value"] - b["low"]) ** 2
            one |= {"low": one["value"] - below**0.5, "high": one["value"] + above**0.5}
        found[name] = one
    return found


def verdict(level: Mapping[str, Any], difference: Mapping[str, Any], slopes: Mapping[str, Any],
            shift: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Return what the numbers of an external validation come to.

    Args:
        level: of `evaluate`, the lesions.
        difference: of `differences`.
        slopes: of `calibration_slopes`.
        shift: of `shifts`.

    Returns:
        ``{"decision", "advice", "sentences"}``; decision is one of `ADVICE`.
    """
    fewest = min(level["patients_per_class"].values())
    discrimination, told = _discrimination(level["metrics"]["macro_auc"], difference["macro_auc"])
    off = _miscalibrated(slopes)
    other = _shifted(shift)
    sentences = [told, _calibration_sentence(off, slopes, fewest), _shift_sentence(other)]
    if discrimination == TUNE:
        decision = TUNE
    elif fewest < FEW or discrimination == UNKNOWN:
        decision = UNKNOWN
    elif off["slope"]:
        decision = RECALIBRATE
    elif off["intercept"]:
        decision = REBALANCE
    else:
        decision = LOOK if other else HOLDS
    return {"decision": decision, "advice": ADVICE[decision], "sentences": sentences}


def _discrimination(auc: Mapping[str, Any], difference: Mapping[str, Any]) -> tuple[str, str]:
    """Return what discrimination alone comes to, and a sentence."""
    if auc["value"] is None or auc.get("low") is None:
        why = f" ({auc['why']})" if auc.get("why") else ""
        return UNKNOWN, f"Discrimination: the macro AUC, or its interval, is not defined{why}."
    shown = f"Discrimination: macro AUC {_shown(auc)}"
    if difference["value"] is not None:
        shown += f", {_shown(difference, signed=True)} against its own test patients"
    if auc["low"] <= 0.5:
        decided = TUNE if difference["high"] is not None and difference["high"] < 0 else UNKNOWN
        return decided, f"{shown}. It is not shown to be better than chance."
    if difference["high"] is None:
        return UNKNOWN, f"{shown}. Its reference holds nothing to compare that with."
    if difference["high"] < 0:
        return TUNE, f"{shown}. It tells the classes apart less well than where it was trained."
    if difference["low"] < -TOLERATED:
        return UNKNOWN, f"{shown}. A loss of more than {TOLERATED:g} cannot be excluded."
    return HOLDS, f"{shown}. A loss of more than {TOLERATED:g} is excluded."


def _miscalibrated(slopes: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return in words which intercepts and slopes are off: chance does not explain them, as many as were looked at."""
    words = {
        "intercept": ("predicted too often", "predicted too rarely"),
        "slope": ("predicted too extremely", "predicted too timidly"),
    }
    found: dict[str, list[str]] = {part: [] for part in PERFECT}
    for name, one in slopes.items():
        for part, perfect in PERFECT.items():
            p = one[part]["p_holm"]
            if p is not None and p < SIGNIFICANT:
                how = words[part][one[part]["value"] > perfect]
                found[part].append(f"{name} is {how} ({part} {_shown(one[part])})")
    return found


def _calibration_sentence(off: Mapping[str, Sequence[str]], slopes: Mapping[str, Any], fewest: int) -> str:
    known = sum(one[part]["p_holm"] is not None for one in slopes.values() for part in PERFECT)
    unknown = len(slopes) * len(PERFECT) - known
    if not known:
        return "Calibration: neither intercepts nor slopes can be found from these lesions."
    caution = (
        "" if fewest >= SMALL else f" With fewer than {SMALL} patients of each class, calibration is hardly known."
    )
    if unknown:
        caution = f" {unknown} more could not be found.{caution}"
    told = [text for texts in off.values() for text in texts]
    if told:
        return f"Calibration: {'; '.join(told)}; {known} intercepts and slopes were looked at.{caution}"
    return f"Calibration: none of {known} intercepts and slopes is shown to be off.{caution}"


def _shifted(shift: Mapping[str, Any]) -> list[str]:
    """Return what differs from the training cohort, in words."""
    found = [
        f"{one['words']}{' of ' + one['sequence'] if one['sequence'] else ''} beyond the training range in "
        f"{one['outside']} of {one['patients']} patients"
        for one in shift["ranges"]
        if one["shifted"]
    ]
    found += [
        f"{one['sequence']} is missing in {1 - one['here']:.0%} of the samples, never in training"
        for one in shift["sequences"]
        if one["shifted"]
    ]
    return found + (["the classes are mixed otherwise"] if shift["case_mix"]["shifted"] else [])


def _shift_sentence(other: list[str]) -> str:
    if not other:
        return "Data: no difference to the training cohort was shown in intensities, geometry, sequences or case mix."
    return f"Data: {'; '.join(other)}."


def _shown(entry: Mapping[str, Any], signed: bool = False) -> str:
    form = "+.3f" if signed else ".3f"
    if entry["low"] is None:
        return f"{entry['value']:{form}} (interval not defined)"
    return f"{entry['value']:{form}} ({entry['low']:{form}} to {entry['high']:{form}})"
