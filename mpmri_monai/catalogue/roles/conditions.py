"""Conditions that an image meets or does not: the one vocabulary of protocols and of site rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat

from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.record import Evidence
from mpmri_monai.catalogue.roles.rules_file import Rules
from mpmri_monai.catalogue.series.slices import orientation_name

FAT_SHIFT = 3.4e-6
"""Chemical shift between the main peaks of fat and water (part of the imaging frequency)."""
PROTON_MHZ_PER_T = 42.577
"""Gyromagnetic ratio of the proton over 2 pi (MHz/T)."""
PHASE_TOLERANCE = 0.18
"""Farthest that fat may be from being in or out of phase with water (turns)."""
ECHO_PLANAR = "EP"
FAT_PHASES = {"in phase": "in", "out of phase": "out"}
"""What the scanner says of an image counts more than what its echo time says."""
IN_WORDS = {"in": "in phase", "out": "out of phase"}

KIND_RULE = "kind of image"

ImageKind = Literal["", "water", "fat", "in phase", "out of phase", "trace", "adc", "map"]
SequenceCode = Literal["SE", "GR", "IR", "EP", "RM"]
Plane = Literal["axial", "coronal", "sagittal"]
Met = tuple[str, str, bool]
"""A condition in words, the value that an image has, and whether it fits."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the lower limit comes first")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"no regular expression: {error.msg}") from error
    return value


Limits = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_rising)]
"""Lowest and highest value, both allowed."""
Pattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_pattern)]


class PulseSequence(Rules):
    """How an image must have been acquired; what is not given is open.

    A list means "one of these"; a single value may stand for a list of one. Limits are allowed values themselves.
    """

    scanning_sequence: Annotated[tuple[SequenceCode, ...], BeforeValidator(_listed)] | None = None
    """SE spin echo, GR gradient echo, IR inversion recovery, EP echo-planar, RM research mode. Echo-planar images fit
    only where EP is asked for."""
    acquisition: Literal["2D", "3D"] | None = None
    echo_time_ms: Limits | None = None
    repetition_time_ms: Limits | None = None
    inversion_time_ms: Limits | None = None
    inverted: bool | None = None
    """Whether an inversion pulse precedes the excitation."""
    fat_suppressed: bool | None = None
    """Whether fat was saturated, where the header says so; a header that does not say fits neither."""
    flip_angle_deg: Limits | None = None
    b_value: Limits | None = None
    """Diffusion weighting (s/mm²)."""

    def met(self, header: FileHeader) -> Iterator[Met]:
        """Compare an image with the conditions: rule, value found, whether it fits."""
        kinds, wanted = header.scanning_sequence, self.scanning_sequence
        if wanted is not None:
            planar = ECHO_PLANAR in wanted
            rule = f"scanning sequence {' or '.join(wanted)}" + ("" if planar else ", not echo-planar")
            yield rule, " ".join(kinds), any(k in wanted for k in kinds) and (planar or ECHO_PLANAR not in kinds)
        if self.acquisition is not None:
            kind = header.acquisition_type
            yield f"{self.acquisition} acquisition", kind, kind == self.acquisition
        if self.inverted is not None:
            inverted = "IR" in kinds or bool(header.inversion_time_ms)
            found = "an inversion pulse" if inverted else "no inversion pulse"
            yield "inversion pulse" if self.inverted else "no inversion pulse", found, inverted == self.inverted
        if self.fat_suppressed is not None:
            value = header.fat_suppressed
            found = "" if value is None else "fat suppressed" if value else "fat not suppressed"
            yield "fat suppressed" if self.fat_suppressed else "fat not suppressed", found, value is self.fat_suppressed
        for name, unit, limits, value in (
            ("echo time", "ms", self.echo_time_ms, header.echo_time_ms),
            ("repetition time", "ms", self.repetition_time_ms, header.repetition_time_ms),
            ("inversion time", "ms", self.inversion_time_ms, header.inversion_time_ms),
            ("flip angle", "degrees", self.flip_angle_deg, header.flip_angle_deg),
            ("b-value", "s/mm²", self.b_value, header.b_value),
        ):
            if limits is not None:
                low, high = limits
                found = "" if value is None else f"{value:g} {unit}"
                yield f"{name} {low:g} to {high:g} {unit}", found, value is not None and low <= value <= high


class Conditions(PulseSequence):
    """What an image must be; where nothing else is asked for, it must be a plain magnitude image."""

    any_of: tuple[PulseSequence, ...] = ()
    """Ways to acquire it, of which one must be met as well."""
    plane: Annotated[tuple[Plane, ...], BeforeValidator(_listed)] | None = None
    """The plane that the slices are nearest to."""
    image_kind: Annotated[tuple[ImageKind, ...], BeforeValidator(_listed)] = ("",)
    """What the scanner computed; "" is the plain signal."""
    derived: bool = False
    """Whether images that the scanner derived from others and names no kind of may serve; for a site that knows what
    they are."""
    fat_phase: Literal["in", "out"] | None = None
    """Phase of fat against water at the echo: as the scanner says, else from echo time and field."""
    contrast: Literal["before", "after"] | None = None
    """Before or after contrast agent; decided over the study, not for one image."""
    series_number: Annotated[tuple[int, ...], BeforeValidator(_listed)] | None = None
    texts: Pattern | None = None
    """Regular expression searched, upper or lower case alike, in series description, protocol and sequence name."""

    def fits(self, header: FileHeader) -> bool:
        """Whether an image meets all conditions but that of contrast."""
        return all(fits for _, _, fits in self.met(header))

    def evidence(self, header: FileHeader, role: str) -> tuple[Evidence, ...]:
        """Compare an image with the conditions of ``role``, one entry for each; free text is not quoted."""
        return tuple(
            Evidence(f"{role}: {rule}", value or "none", "fits" if fits else "does not fit")
            for rule, value, fits in self.met(header)
        )

    def met(self, header: FileHeader) -> Iterator[Met]:
        """Compare an image with the conditions: rule, value found, whether it fits."""
        yield from super().met(header)
        if self.any_of:
            ways = [list(way.met(header)) for way in self.any_of]
            yield from min(ways, key=lambda way: sum(not fits for _, _, fits in way))  # the nearest one
        yield from self._image(header)
        if self.series_number is not None:
            number = header.series_number
            rule = f"series {' or '.join(map(str, self.series_number))}"
            yield rule, "" if number is None else f"series {number}", number in self.series_number
        if self.texts is not None:
            hit = any(re.search(self.texts, text, re.IGNORECASE) for text in header.texts)
            yield "a text of the header matches the site's pattern", "matches" if hit else "no match", hit

    def _image(self, header: FileHeader) -> Iterator[Met]:
        yield "magnitude image", header.component, header.component == "magnitude"
        if header.image_kind or "" not in self.image_kind:
            rule = f"{KIND_RULE} {' or '.join(kind or 'plain' for kind in self.image_kind)}"
            yield rule, header.image_kind or "plain", header.image_kind in self.image_kind
        elif header.image_type[:1] == ("DERIVED",):
            yield "may be derived" if self.derived else "not derived from other images", "derived", self.derived
        if self.plane is not None:
            name = orientation_name(header)
            yield f"{' or '.join(self.plane)} slices", name, name.split()[-1] in self.plane
        if self.fat_phase is not None:
            value, found = fat_phase(header)
            yield f"fat {IN_WORDS[self.fat_phase]}", value, found == self.fat_phase


def fat_phase(header: FileHeader) -> tuple[str, str]:
    """Return the grounds, and "in", "out", "between" or "unknown": the phase of fat against water at the echo.

    Fat precesses 3.4 ppm slower than water; at the echo it lags by ``frac(TE * 3.4 ppm * f)`` turns. So the field
    decides: 2.3 ms is in phase at 3 T and out of phase at 1.5 T.
    """
    if header.image_kind:
        return f"{header.image_kind}, as the scanner says", FAT_PHASES.get(header.image_kind, "unknown")
    frequency = header.imaging_frequency_mhz or (header.field_strength_t or 0.0) * PROTON_MHZ_PER_T
    if header.echo_time_ms is None or frequency <= 0:
        return "no echo time or field strength", "unknown"
    turns = header.echo_time_ms * 1e-3 * FAT_SHIFT * frequency * 1e6 % 1.0
    grounds = f"{header.echo_time_ms:g} ms, when fat is {turns:.2f} turns behind water"
    if min(turns, 1.0 - turns) <= PHASE_TOLERANCE:
        return grounds, "in"
    return grounds, "out" if abs(turns - 0.5) <= PHASE_TOLERANCE else "between"
