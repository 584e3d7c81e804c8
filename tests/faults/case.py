"""What a case of the fault matrix is, and the list that the modules of cases add to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from faults.builder import Study


@dataclass(frozen=True)
class Case:
    """A study with a fault, or an oddity that is none, and what has to come of it."""

    name: str
    group: str
    """Heading of the table."""
    build: Callable[[Study], None]
    """Puts images and the volumes to be found into a study."""
    refused: frozenset[str]
    """Codes of the problems that must be named; empty when everything must be read."""
    warned: frozenset[str]
    """Codes of the warnings that must be given."""
    protocol: str
    elsewhere: bool
    """Whether other readers are tried on it."""

    @property
    def about(self) -> str:
        """What is special about the study."""
        return (self.build.__doc__ or "").strip()

    def study(self) -> Study:
        """Return the study, made anew."""
        study = Study()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.build(study)
        return study


REGISTERED: list[Case] = []


def case(
    group: str, refused: str = "", warned: str = "", protocol: str = "none", elsewhere: bool = True
) -> Callable[[Callable[[Study], None]], Callable[[Study], None]]:
    """Make a case of a function; ``refused`` and ``warned`` list codes, separated by spaces."""

    def register(build: Callable[[Study], None]) -> Callable[[Study], None]:
        name = build.__name__.replace("_", " ")
        codes, cautions = frozenset(refused.split()), frozenset(warned.split())
        REGISTERED.append(Case(name, group, build, codes, cautions, protocol, elsewhere))
        return build

    return register
