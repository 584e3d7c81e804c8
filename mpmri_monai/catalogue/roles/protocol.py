"""Protocols as data: which sequences a study should hold, and the physics by which each is recognised."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.roles.conditions import Conditions
from mpmri_monai.catalogue.roles.rules_file import Rules, read_rules
from mpmri_monai.errors import ConfigError

NEVER_S = 24 * 3600.0
"""Later than any phase (s)."""
SHIPPED = Path(__file__).parent / "protocols"
"""Folder of the protocols that come with the package."""

SequenceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,31}$")]
"""No hyphen: a fusion joins sequences with it."""
Choice = Literal["first", "last", "highest b-value"]
"""Which of several fitting volumes has the role: the first or last in time, or the most diffusion-weighted."""


class Role(Conditions):
    """What the one volume of a role must be."""

    choose: Choice | None = None
    """Without it, several that fit leave the role open."""


class Phase(Rules):
    """A dynamic phase and when it is acquired."""

    sequence: SequenceName
    name: str
    delay_s: Annotated[float, Field(ge=0, lt=NEVER_S)]
    """After the reference of the dynamic acquisition (s); 0 for the phase before contrast."""
    window_s: tuple[float, float]
    """Earliest and latest delay (s)."""

    @property
    def before_contrast(self) -> bool:
        """Whether it is the phase before contrast."""
        return self.delay_s == 0


class PhaseEntry(Rules):
    """A dynamic phase as a protocol file gives it."""

    name: str
    delay_s: Annotated[float, Field(ge=0, lt=NEVER_S)]


class Dynamic(Rules):
    """Phases of one dynamic series of acquisitions on one grid, the first of them before contrast."""

    conditions: Conditions
    minimum_volumes: Annotated[int, Field(ge=2)]
    """Fewer volumes on one grid are not taken for a dynamic acquisition (count)."""
    delays_from: Literal["injection", "arrival"]
    """Delays count from the start of injection, or from the arrival of contrast in the images.

    With "injection" the examination holds exactly these phases. With "arrival" it is a time series of which those
    nearest to the delays are taken.
    """
    phases_: dict[SequenceName, PhaseEntry] = Field(alias="phases")
    allow_missing: tuple[SequenceName, ...] = ()
    allow_extra: bool = False
    """Whether volumes that are no phase may be left over."""

    @model_validator(mode="after")
    def _in_order(self) -> Dynamic:
        delays = [entry.delay_s for entry in self.phases_.values()]
        if len(delays) < 2 or delays[0] != 0 or any(one >= next_ for one, next_ in pairwise(delays)):
            raise ValueError("phases begin with delay_s: 0, before contrast, and their delays rise")
        return self

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order.

        Their windows touch, each border half-way between two delays, so that a time belongs to one phase only. The
        first phase lies before the reference, the last one has no end.
        """
        delays = [entry.delay_s for entry in self.phases_.values()]
        borders = [-NEVER_S, 0.0, *((one + next_) / 2 for one, next_ in pairwise(delays[1:])), NEVER_S]
        return tuple(
            Phase(sequence=sequence, name=entry.name, delay_s=entry.delay_s, window_s=window)
            for (sequence, entry), window in zip(self.phases_.items(), pairwise(borders), strict=True)
        )


class EchoPair(Rules):
    """The in-phase and the out-of-phase echo."""

    in_phase: SequenceName
    out_of_phase: SequenceName
    conditions: Conditions


class Protocol(Rules):
    """What a study should hold. Each sequence is a role, one of the echo pair, or a dynamic phase."""

    schema_: Literal["mpmri-monai/protocol/1"] = Field(alias="schema")
    name: SequenceName
    sequences: tuple[SequenceName, ...]
    """Roles to fill, in the order of the vocabulary."""
    roles: dict[SequenceName, Role] = Field(default_factory=dict)
    echo_pair: EchoPair | None = None
    dynamic: Dynamic | None = None

    @model_validator(mode="after")
    def _each_once(self) -> Protocol:
        pair = (self.echo_pair.in_phase, self.echo_pair.out_of_phase) if self.echo_pair else ()
        phases = tuple(self.dynamic.phases_) if self.dynamic else ()
        described = sorted((*self.roles, *pair, *phases))
        if described != sorted(self.sequences) or len(set(described)) != len(described):
            raise ValueError("each of `sequences` has to be described once, as a role, an echo or a phase")
        return self

    @property
    def originals_only(self) -> bool:
        """Whether derived images are set aside, unless a role wants them."""
        return bool(self.sequences)

    @property
    def conditions(self) -> tuple[Conditions, ...]:
        """The descriptions by which any role of this protocol is recognised."""
        pair = (self.echo_pair.conditions,) if self.echo_pair else ()
        dynamic = (self.dynamic.conditions,) if self.dynamic else ()
        return (*self.roles.values(), *pair, *dynamic)

    def wants(self, header: FileHeader) -> bool:
        """Whether an image could have a role by its header; any may in a protocol without roles."""
        return not self.sequences or any(conditions.fits(header) for conditions in self.conditions)

    def may_fit(self, headers: Iterable[FileHeader]) -> bool:
        """Whether any of these images could have a role."""
        return any(self.wants(header) for header in headers)


def shipped() -> tuple[str, ...]:
    """Names of the protocols that come with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def protocol(name: str | Path) -> Protocol:
    """Return a protocol by its name, or from a YAML file.

    Raises:
        ConfigError: there is none of this name, or the file is not as it should be.
    """
    if isinstance(name, str) and name in shipped():
        return _shipped(name)
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(expected=f"a protocol among {', '.join(shipped())}, or a YAML file", found=repr(str(name)))
    found = read_rules(path, Protocol, "a protocol")
    if found.name in shipped():
        raise ConfigError(
            expected="a protocol with a name of its own",
            found=f"the name {found.name}, which a protocol of the package has",
            where=path.name,
            fix="give it another name",
            code="E_RULES",
        )
    return found


@lru_cache
def _shipped(name: str) -> Protocol:
    return read_rules(SHIPPED / f"{name}.yaml", Protocol, "a protocol")
