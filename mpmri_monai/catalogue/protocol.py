"""Protocols as data: which sequences a study should hold, and the physics by which each is recognised."""

from __future__ import annotations

from dataclasses import dataclass

from mpmri_monai.errors import ConfigError
from mpmri_monai.sequences import DCE


@dataclass(frozen=True)
class Physics:
    """Acquisition parameters that a candidate must have; None leaves one open. Times in ms, limits included."""

    scanning_sequence: str
    """SE (spin echo) or GR (gradient echo); echo-planar images never fit."""
    acquisition_type: str | None = None
    echo_time_ms: tuple[float, float] | None = None
    repetition_time_ms: tuple[float, float] | None = None


@dataclass(frozen=True)
class Phase:
    """A dynamic phase and when it is acquired, in seconds after the start of contrast injection.

    The windows touch, each border half-way between two nominal delays, so that a time belongs to one phase only.
    """

    sequence: str
    name: str
    delay_s: float
    window_s: tuple[float, float]


@dataclass(frozen=True)
class Dynamic:
    """Phases of one dynamic series of acquisitions on one grid."""

    phases: tuple[Phase, ...]
    physics: Physics
    minimum_volumes: int
    """Fewer volumes on one grid are not taken for a dynamic acquisition (count)."""


@dataclass(frozen=True)
class EchoPair:
    """The in-phase and the out-of-phase echo."""

    in_phase: str
    out_of_phase: str
    physics: Physics


@dataclass(frozen=True)
class Protocol:
    """What a study should hold."""

    name: str
    sequences: tuple[str, ...]
    """Roles to fill, in the order of the vocabulary."""
    singles: tuple[tuple[str, Physics], ...] = ()
    echo_pair: EchoPair | None = None
    dynamic: Dynamic | None = None
    originals_only: bool = False
    """Whether derived images are set aside."""

    @property
    def physics(self) -> tuple[Physics, ...]:
        """The descriptions by which any role of this protocol is recognised."""
        pair = (self.echo_pair.physics,) if self.echo_pair else ()
        dynamic = (self.dynamic.physics,) if self.dynamic else ()
        return (*(physics for _, physics in self.singles), *pair, *dynamic)


NEVER_S = 24 * 3600.0
"""Later than any phase (s)."""

MRCP_ECHO_TIME_MS = 300.0
"""Above this a spin echo shows fluid only, as in cholangiography, and is no T2-weighted image of the liver (ms)."""

LIVER_PHASES = (
    Phase("S0", "plain", 0.0, (-NEVER_S, 0.0)),
    Phase("S1", "early arterial", 16.0, (0.0, 21.0)),
    Phase("S2", "late arterial", 26.0, (21.0, 43.0)),
    Phase("S3", "portal", 60.0, (43.0, 120.0)),
    Phase("S4", "equilibrium", 180.0, (120.0, 210.0)),
    Phase("S5", "delayed", 240.0, (210.0, NEVER_S)),
)
"""Delays of Jia et al., KSII TIIS 13(10), 2019; the delayed phase is 240 s or later."""

PROTOCOLS = {
    "liver": Protocol(
        name="liver",
        sequences=("T2", "IN", "OUT", *DCE),
        singles=(("T2", Physics("SE", echo_time_ms=(60.0, MRCP_ECHO_TIME_MS))),),
        echo_pair=EchoPair("IN", "OUT", Physics("GR", echo_time_ms=(0.5, 12.0))),
        dynamic=Dynamic(
            phases=LIVER_PHASES,
            physics=Physics("GR", acquisition_type="3D", echo_time_ms=(0.0, 3.0), repetition_time_ms=(0.0, 8.0)),
            minimum_volumes=4,
        ),
        originals_only=True,
    ),
    "none": Protocol(name="none", sequences=()),
}


def protocol(name: str) -> Protocol:
    """Return the protocol called ``name``; raise ConfigError when there is none."""
    if name not in PROTOCOLS:
        raise ConfigError(expected=f"a protocol among {', '.join(PROTOCOLS)}", found=repr(name))
    return PROTOCOLS[name]
