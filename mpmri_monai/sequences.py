"""The vocabulary: sequences in their one order, fusions of them, tasks and their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mpmri_monai.errors import ConfigError

DCE = ("S0", "S1", "S2", "S3", "S4", "S5")
"""Plain, early arterial, late arterial, portal, equilibrium and delayed phase (Jia et al. 2019)."""

SEQUENCES = ("T2", "IN", "OUT", *DCE)

PAPER_FUSIONS = {
    "T211*": ("T2", "OUT", "IN"),
    "S024": ("S0", "S2", "S4"),
    "T2S24": ("T2", "S2", "S4"),
    "T2S02": ("T2", "S0", "S2"),
    "T21*S4": ("T2", "OUT", "S4"),
}
"""Combinations named in Jia et al., KSII TIIS 13(10), 2019."""

GRADES = ("well", "moderately", "poorly")


@dataclass(frozen=True)
class Task:
    """A question asked of a lesion: the classes in order, and whether that order means something."""

    name: str
    label: str
    """Key under which manifests hold the answer."""
    classes: tuple[str, ...]
    ordered: bool
    patient_level: bool


TASKS = {
    "hcc_grade": Task("hcc_grade", "grade", GRADES, ordered=True, patient_level=True),
    "hcc_vs_bg": Task("hcc_vs_bg", "hcc", ("background", "hcc"), ordered=False, patient_level=False),
    "brain": Task("brain", "brain", ("healthy", "unhealthy"), ordered=False, patient_level=True),
}


def task(name: str, declared: Mapping[str, Sequence[str]] | None = None) -> Task:
    """Return the task called ``name``: one of `TASKS`, or else the question of a label of that name.

    A label names its classes in order, but not whether the order means something, nor how a patient follows from
    lesions: such a task is unordered and has no patient level.

    Args:
        name: of the task, or of a label.
        declared: the classes of each label that the data at hand have, as in a manifest.

    Raises:
        ConfigError: neither a task nor a label has that name.
    """
    if name in TASKS:
        return TASKS[name]
    labels = declared or {}
    if name not in labels:
        known = (*TASKS, *labels)
        near = get_close_matches(str(name), known, n=1)
        raise ConfigError(
            expected=f"a task or label among {', '.join(known)}" if labels else f"a task among {', '.join(TASKS)}",
            found=repr(name),
            fix=f"did you mean {near[0]}?" if near else None,
        )
    return Task(name, name, tuple(labels[name]), ordered=False, patient_level=False)


def fusion(wanted: str | Sequence[str], sequences: Sequence[str] = SEQUENCES) -> tuple[str, ...]:
    """Return the ordered tuple of sequences that ``wanted`` names.

    Args:
        wanted: a list of sequences, the form ``T2-OUT-S4``, or a paper name such as ``T21*S4``.
        sequences: the sequences to choose from; a bundle for other anatomy has its own.

    Raises:
        ConfigError: for an unknown or repeated sequence, or nothing at all. A string is never read letter by letter.
    """
    names = _names(wanted)
    unknown = [name for name in names if name not in sequences]
    if unknown or not names:
        near = get_close_matches(str(unknown[0]), sequences, n=1) if unknown else []
        papers = f", or one of {' '.join(PAPER_FUSIONS)}" if set(SEQUENCES) <= set(sequences) else ""
        raise ConfigError(
            expected=f"a fusion of {' '.join(sequences)}, such as {fusion_name(sequences[:3])}{papers}",
            found=f"{wanted!r}" + (f" (unknown: {', '.join(map(str, unknown))})" if unknown else ""),
            fix=f"did you mean {near[0]}?" if near else None,
        )
    if len(set(names)) != len(names):
        raise ConfigError(expected="a fusion that names each sequence once", found=repr(wanted))
    return names


def channels(wanted: str | Sequence[str]) -> int:
    """Return how many sequences a fusion names; whether a cohort has them is seen where the cohort is known."""
    return len(_names(wanted))


def _names(wanted: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(wanted, str):
        return PAPER_FUSIONS.get(wanted) or tuple(wanted.split("-"))
    return tuple(wanted)


def fusion_name(names: Sequence[str]) -> str:
    """Return the canonical form ``T2-OUT-S4`` of a fusion; it is safe in shells and file names."""
    return "-".join(names)
