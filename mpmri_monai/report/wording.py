"""Numbers and findings in words: one format for every value, and what must not be said with a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

ENOUGH_PATIENTS = 20
"""From so many patients a class on, the intervals hold what they promise (docs/coverage.md)."""

LEFT = 0.2
"""Share of the cases that a doctor takes over in the sentence about certainty; the tables have others."""

METRIC_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_recall": "Macro recall",
    "macro_precision": "Macro precision",
    "macro_f1": "Macro F1",
    "macro_auc": "Macro AUC",
    "macro_average_precision": "Macro average precision",
    "quadratic_kappa": "Quadratic weighted kappa",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier score, summed over classes (lower is better)",
    "ece": "Expected calibration error (lower is better)",
}
QUOTED = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_auc": "macro AUC"}
"""The metrics whose coverage is quoted."""

AGAINST_THE_REST = {
    "auc_": "AUC",
    "sensitivity_": "Sensitivity",
    "specificity_": "Specificity",
    "average_precision_": "Average precision",
}
"""How the keys of metrics of one class begin."""

# An absolute path up to its last part: '/home/a/run/x.json' and 'C:\\a\\x.json', but neither '2/3' nor 'a/b.json'.
_FOLDERS = re.compile(r"(?<![\w.…/\\])(?:~|[A-Za-z]:)?[/\\](?:[^/\\\s'\",;=]+[/\\])*(?=[^\s])")


def metric_name(name: str) -> str:
    """Return the words for a metric key of ``metrics.json``."""
    for start, words in AGAINST_THE_REST.items():
        if name.startswith(start):
            return f"{words}, {name.removeprefix(start)} against the rest"
    return METRIC_NAMES.get(name, name)


def number(value: float | None) -> str:
    """Return ``value`` with three decimals, or an en dash when there is none."""
    return "–" if value is None else f"{value:.3f}"


def with_interval(entry: Mapping[str, Any] | None, why: str = "") -> str:
    """Return ``0.847 (0.701 to 0.951)``; a missing value becomes ``not defined: why``.

    Args:
        entry: ``value`` (or ``mean`` of a ceiling), ``low`` and ``high`` as in ``metrics.json``.
        why: the reason to give when the value is missing and ``entry`` has none itself.
    """
    value = None if entry is None else entry.get("value", entry.get("mean"))
    if value is None:
        why = (entry or {}).get("why") or why
        return f"not defined: {why}" if why else "not defined"
    if entry.get("low") is None or entry.get("high") is None:
        return f"{number(value)} (interval not defined)"
    # No-break spaces keep an interval on one line.
    return f"{number(value)} ({number(entry['low'])}\u00a0to\u00a0{number(entry['high'])})"


def percent(metrics: Mapping[str, Any]) -> int:
    """Return the confidence of the intervals in percent."""
    return round(100 * metrics["confidence"])


def class_counts(level: Mapping[str, Any], classes: Sequence[str]) -> dict[str, int]:
    """Return the number of cases of each true class; a case that several repeats predicted counts once."""
    return {name: int(level["per_class"].get(name, 0)) for name in classes}


def why_undefined(level: Mapping[str, Any], classes: Sequence[str], unit: str) -> str:
    """Return why metrics of ``level`` can be undefined: the classes of which there is no case."""
    absent = [name for name, count in class_counts(level, classes).items() if count == 0]
    return f"no {unit} of class {', '.join(absent)}" if absent else "too few cases"


def commonest_share(level: Mapping[str, Any], classes: Sequence[str]) -> float | None:
    """Return the accuracy of always naming the commonest class of these very cases."""
    counts = class_counts(level, classes).values()
    return max(counts) / sum(counts) if sum(counts) else None


def coverage_sentence(level: Mapping[str, Any], covered: Callable[[str, int], float | None]) -> str:
    """Return how often the intervals of small classes held the true value in simulations; empty from 20 patients on.

    Args:
        level: one of ``metrics["levels"]``.
        covered: (metric, patients in the smallest class) -> share, such as `evaluation.coverage`.
    """
    fewest = min(level.get("patients_per_class", {}).values(), default=ENOUGH_PATIENTS)
    if fewest >= ENOUGH_PATIENTS:
        return ""
    shares = [(words, covered(name, fewest)) for name, words in QUOTED.items()]
    told = ", ".join(f"{100 * share:.0f} % ({words})" for words, share in shares if share is not None)
    if not told:
        return (
            f"With {plural(fewest, 'patient')} in the smallest class, nothing is known of how often the intervals hold."
        )
    return (
        f"The smallest class has {plural(fewest, 'patient')}. In simulations with so few, 95 % intervals held the true "
        f"value in {told} of the data sets."
    )


def plural(count: int, noun: str) -> str:
    """Return ``1 lesion``, ``2 lesions``, ``3 studies``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def several(noun: str) -> str:
    """Return the plural of a noun: ``lesions``, ``studies``."""
    return plural(2, noun).removeprefix("2 ")


def certainty_sentence(abstention: Mapping[str, Any], left: float = LEFT) -> str:
    """Return ``Leave the 20 % least certain to you: the rest is right in 97 [94–99] % of cases; …``.

    Args:
        abstention: what `evaluation.abstention.abstention` returns.
        left: a share that its table has; for another one the sentence is empty.
    """
    rows = {row["asked"]: row["right"] for row in abstention["table"]}
    if 0.0 not in rows or left not in rows or rows[left]["value"] is None:
        return ""
    rest, every = in_percent(rows[left]), in_percent(rows[0.0])
    return (
        f"Leave the {100 * left:.0f}\u00a0% least certain to you: the rest is right in {rest} of cases; "
        f"with every case answered, {every} are."
    )


def in_percent(share: Mapping[str, Any]) -> str:
    """Return ``97 [94–99] %`` of a share with its interval."""
    value = f"{100 * share['value']:.0f}"
    if share["low"] is None or share["high"] is None:
        return f"{value}\u00a0% (interval not defined)"
    return f"{value}\u00a0[{100 * share['low']:.0f}–{100 * share['high']:.0f}]\u00a0%"


def answer_sentences(metrics: Mapping[str, Any], noun: str = "lesion") -> list[str]:
    """Return what the run found at lesion level: the network, then baseline and ceiling where there are any.

    Last comes what is right when the least certain are left to a doctor, where the run has calibrated answers.

    Args:
        metrics: the content of ``metrics.json``.
        noun: for a case at that level.
    """
    classes, level = metrics["classes"], metrics["levels"]["lesion"]
    why = why_undefined(level, classes, noun)
    found, role = level["metrics"], metrics["role"]
    sentences = [
        f"On {plural(level['n'], noun)} of {plural(level['patients'], role + ' patient')}, the network reached a "
        f"{noun}-level accuracy of {with_interval(found['accuracy'], why)} and a macro AUC of "
        f"{with_interval(found['macro_auc'], why)}."
    ]
    if baseline := metrics.get("baseline"):
        other = baseline["levels"]["lesion"]["metrics"]
        sentences.append(
            "The baseline, logistic regression on mean signals and size, reached "
            f"{with_interval(other['accuracy'], why)} and {with_interval(other['macro_auc'], why)}. "
            f"{_overlap(found['accuracy'], other['accuracy'])}"
        )
    if ceiling := metrics.get("ceiling"):
        top = ceiling["fusion"]
        sentences.append(
            f"The ceiling, what a classifier that knew the generating model would reach from these sequences, is "
            f"{with_interval(top['accuracy'])} and {with_interval(top['macro_auc'])}."
        )
    if calibration := metrics.get("calibration"):
        sentences.append(certainty_sentence(calibration["abstention"]))
    return [sentence for sentence in sentences if sentence]


def _overlap(network: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    ends = [network.get("low"), network.get("high"), baseline.get("low"), baseline.get("high")]
    if any(end is None for end in ends):
        return ""
    if network["low"] > baseline["high"]:
        return "The interval of the network's accuracy lies wholly above that of the baseline."
    if network["high"] < baseline["low"]:
        return "The interval of the network's accuracy lies wholly below that of the baseline."
    return "The intervals of the two accuracies overlap: this test set by itself does not show which one is better."


def without_folders(text: str) -> str:
    """Return ``text`` with every absolute path cut down to its last part: a report tells nothing of a machine.

    A text that is one path, or an option ``--key=path``, may hold spaces; a path inside a longer text ends at a space.
    """
    option, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    if PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute():
        return f"{option}{equals}…/{PureWindowsPath(value).name}"
    return _FOLDERS.sub("…/", text)
