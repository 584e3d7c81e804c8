"""The errors that a user can meet. Each says what was expected, what was found, where, and what to do next.

Messages never hold identifiers: no patient name, UID, accession number, clock time or free text from a header.
"""

from __future__ import annotations

import re

_UID = re.compile(r"\b\d+(?:\.\d+){5,}\b")
"""PACS exports name files by their UIDs; a message that names a file must not carry one on."""


class MpmriError(Exception):
    """Base of all errors meant for a person to read.

    Args:
        expected: what the software needs, as a noun phrase.
        found: what it met instead.
        where: study, series number or file that the finding is about.
        fix: what the person can do next.
        code: short stable code such as ``E_MISSING`` for machines and tables.
    """

    def __init__(
        self,
        *,
        expected: str,
        found: str,
        where: str | None = None,
        fix: str | None = None,
        code: str | None = None,
    ) -> None:
        self.expected, self.found = _UID.sub("<uid>", expected), _UID.sub("<uid>", found)
        self.where, self.fix = where and _UID.sub("<uid>", where), fix and _UID.sub("<uid>", fix)
        self.code = code
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"expected {self.expected}; found {self.found}"
        if self.where:
            text = f"{self.where}: {text}"
        if self.code:
            text = f"{self.code}: {text}"
        if self.fix:
            text = f"{text}. What to do: {self.fix}"
        return text

    def __reduce__(self):  # keyword-only arguments need help to cross a process boundary
        return _rebuild, (type(self), self.expected, self.found, self.where, self.fix, self.code)


def _rebuild(kind, expected, found, where, fix, code):
    return kind(expected=expected, found=found, where=where, fix=fix, code=code)


class CatalogueError(MpmriError):
    """A study's files do not say which series is which."""


class GeometryError(MpmriError):
    """Slices, positions or grids do not fit together."""


class MaskError(MpmriError):
    """A mask is empty, off-grid or outside the image."""


class ManifestError(MpmriError):
    """A manifest, a label table or a splits file is not as it should be."""


class SplitError(MpmriError):
    """A split was asked for that the cohort cannot give."""


class LeakageError(MpmriError):
    """Data of one patient would be on both sides of a comparison."""


class StoreError(MpmriError):
    """The samples store cannot be built or read."""


class ConfigError(MpmriError):
    """An option or a configuration value is not usable."""


class WeightsError(MpmriError):
    """Weights are missing, unreadable or do not fit the network."""


class BundleError(MpmriError):
    """A bundle is not whole or not as its documents say."""


class EvaluationError(MpmriError):
    """A predictions table cannot be evaluated."""


class OutputError(MpmriError):
    """A result cannot be written: no space, no permission, or something else lies in its place."""
