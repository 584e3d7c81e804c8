"""An answer in the words of a reading room: what is said, how sure it is, what cannot be excluded, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpmri_monai.report.study_report_pictures import signed
from mpmri_monai.report.wording import plural, without_folders

Answer = Mapping[str, Any]
"""One of ``result["lesions"]``."""


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def certainty(lesion: Answer, calibration: Mapping[str, Any]) -> str:
    """Return how probable the named class is, and what that number means."""
    value = lesion["probabilities"][lesion["predicted"]]
    if calibration.get("temperature") is None:
        return f"{value:.2f}. This number was not calibrated: read it as a rank, not as a chance."
    return (
        f"{value:.2f}: of 100 answers with this number, about {100 * value:.0f} are expected to be right in patients "
        "like those it was calibrated on."
    )


def not_excluded(lesion: Answer, calibration: Mapping[str, Any]) -> str:
    """Return the conformal set in words; empty where no sets were fitted, or where their promise does not hold."""
    promise = calibration.get("conformal_sets")
    if promise is None or "conformal_set" not in lesion:
        return ""
    coverage, names = f"{100 * promise['coverage']:.0f}\u00a0%", list(lesion["conformal_set"])
    if not names:
        return (
            f"None of the classes fits at {coverage}: the lesion is unlike those the classifier knows. Do not rely on "
            "the answer."
        )
    if len(names) == 1:
        text = f"Only {names[0]} remains at {coverage}."
    elif len(names) == len(lesion["probabilities"]):
        return f"Nothing can be excluded at {coverage}: {listed(names, 'or')} are all possible."
    else:
        text = f"{listed(names, 'or')}: at {coverage} these cannot be told apart."
    return text + " " + _promise(promise, coverage)


def _promise(promise: Mapping[str, Any], coverage: str) -> str:
    of = "each class" if promise.get("kind") == "conformal_by_class" else "lesions"
    return (
        f"Sets made this way hold the true class for at least {coverage} of {of} in patients like those of validation."
    )


def steadiness(lesion: Answer) -> str:
    """Return in how many of the slightly different crops the class was the same; empty where that was not tried."""
    share, count = lesion.get("agreement"), lesion.get("variants")
    if share is None:
        return ""
    of = "the slightly shifted, turned or scaled cuttings of the same lesion"
    if not count:
        return f"The same class in {100 * share:.0f}\u00a0% of {of}."
    if count == 1:
        return "There was no room to cut the lesion out otherwise, so it is not known how steady the answer is."
    return f"The same class in {round(share * count)} of {count} slightly shifted, turned or scaled cuttings."


def missing(lesion: Answer) -> str:
    """Return which sequences were not there for this lesion."""
    absent = [name for name, there in lesion["present"].items() if not there]
    seen = [name for name, there in lesion["present"].items() if there]
    if not absent:
        return f"Nothing: {listed(seen)} were seen." if len(seen) > 1 else f"Nothing: {listed(seen)} was seen."
    verb = "is" if len(absent) == 1 else "are"
    return f"{listed(absent)} {verb} missing. The answer rests on {listed(seen)} alone."


def cautions(lesion: Answer) -> list[str]:
    """Return what a reader has to know before relying on the answer: every warning once, in words."""
    given = [*lesion.get("range_warnings", []), *lesion.get("warnings", [])]
    return list(dict.fromkeys(_told(text) for text in given))


FLAGS = {
    "oblique": "{} was acquired at an angle to the other sequences",
    "partial": "{} covers only a part of what the network looks at",
    "unaligned": "{} moved against the other sequences and could not be aligned",
    "sagittal": "{} was acquired in sagittal slices",
    "coronal": "{} was acquired in coronal slices",
}
"""Flags of samples (`samples.sample.Sample.flags`) in words."""


def _told(text: str) -> str:
    flag, colon, sequence = str(text).partition(":")
    if colon and flag in FLAGS and " " not in sequence:
        return FLAGS[flag].format(sequence)
    return without_folders(str(text))


def how_found(lesion: Answer) -> str:
    """Return where the lesion comes from when no person outlined it; empty otherwise."""
    if lesion.get("score") is None:
        return ""
    return f"Found by software (score {lesion['score']:.2f}), not outlined by a person: check that it is a lesion."


def record(reference: Mapping[str, Any]) -> str:
    """Return how well the classifier did when it was tested; empty where the reference does not say."""
    found = reference.get("results", {}).get("lesion", {}).get("accuracy") or {}
    if found.get("value") is None:
        return ""
    interval = ""
    if found.get("low") is not None and found.get("high") is not None:
        interval = f" (95\u00a0% interval {100 * found['low']:.0f} to {100 * found['high']:.0f}\u00a0%)"
    trained = reference.get("trained_on", {})
    patients = (
        f" of a cohort of which {plural(trained['patients'], 'patient')} trained it" if "patients" in trained else ""
    )
    return f"In test patients{patients}, {100 * found['value']:.0f}\u00a0% of its lesion answers were right{interval}."


def importance_rows(lesion: Answer, reference: Mapping[str, Any]) -> list[list[str]]:
    """Return ``sequence, change, what that says`` for each sequence that was left out."""
    present = reference.get("present", {})
    rows = []
    for name, change in lesion.get("importance", {}).items():
        says = "spoke for the class" if change < 0 else "spoke against it"
        if abs(change) < 0.005:
            says = "made no difference"
        if present.get(name) == 1:
            says += "; training never left it out, so this holds the network's surprise too"
        rows.append([name, signed(change), says])
    return rows
