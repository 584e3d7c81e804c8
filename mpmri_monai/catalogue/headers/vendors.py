"""What vendors write into private attributes: dynamics, b-values, scaling, components, sheets of slices.

Every element is looked up by the creator that reserved its block, so a vendor's tags are never taken for another's.
"""

from __future__ import annotations

from mpmri_monai.catalogue.headers.elements import Elements

GE_ACQUISITION = (0x0019, "GEMS_ACQU_01")
GE_RELATIONSHIP = (0x0021, "GEMS_RELA_01")
GE_PARAMETERS = (0x0043, "GEMS_PARM_01")
SIEMENS = (0x0019, "SIEMENS MR HEADER")
PHILIPS = (0x2001, "Philips Imaging DD 001")
PHILIPS_MR = (0x2005, "Philips MR Imaging DD 001")
UIH = (0x0065, "Image Private Header")
"""Groups and creators of private blocks."""

MANUFACTURERS = (
    ("GE", "GE"),
    ("SIEMENS", "SIEMENS"),
    ("PHILIPS", "PHILIPS"),
    ("CANON", "CANON"),
    ("TOSHIBA", "CANON"),
    ("UIH", "UIH"),
    ("UNITED IMAGING", "UIH"),
)
"""Codes by the beginning of Manufacturer."""
B_VALUES = ((*SIEMENS, 0x0C), (*PHILIPS, 0x03), (*GE_PARAMETERS, 0x39), (*UIH, 0x09))
"""B-values (s/mm²)."""
GE_B_VALUE_OFFSET = 1e9
"""Newer GE software adds this to b-values."""
DYNAMICS = ((*GE_ACQUISITION, 0xA2), (*PHILIPS_MR, 0xA0), (*UIH, 0x2C))
"""GE: raw data run; Philips: begin of the dynamic scan (s); UIH: index of the repetition."""
STACK_SIZES = ((*GE_RELATIONSHIP, 0x4F), (*PHILIPS, 0x18))
"""Slices of one stack (count)."""
GE_ECHOES = ((*GE_ACQUISITION, 0x7E), (*GE_ACQUISITION, 0xA9))
"""Echoes of one excitation (count); which of the two holds it depends on the software."""
SHEETS = ((*SIEMENS, 0x0A), (*UIH, 0x50))
"""Slices on one sheet: Siemens MOSAIC, UIH GRID (count)."""
GE_DIRECTION = (*GE_PARAMETERS, 0x30)
"""Direction of diffusion weighting by a code."""
GE_COMBINED = 15
"""Code of what GE makes of all directions."""
COMPONENTS = {"M": "magnitude", "P": "phase", "R": "real", "I": "imaginary"}
GE_COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}


def manufacturer(elements: Elements) -> str:
    """Code of the vendor, "other" for one that is not listed, "" when the file does not say."""
    name = elements.text(0x00080070).upper()
    return next((code for start, code in MANUFACTURERS if name.startswith(start)), "other" if name else "")


def b_value(elements: Elements) -> float | None:
    """Diffusion weighting (s/mm²)."""
    value = elements.number(0x00189087)
    if value is None:
        value = _first(elements, B_VALUES)
    return None if value is None else value % GE_B_VALUE_OFFSET


def dynamic(elements: Elements) -> float | None:
    """Index or start of the dynamic that an image belongs to."""
    return _first(elements, DYNAMICS)


def declared_slices(elements: Elements) -> int | None:
    """Slices of the stack that an image belongs to (count)."""
    value = _first(elements, STACK_SIZES)
    return int(value) if value else None


def declared_echoes(elements: Elements) -> int | None:
    """Echoes that a GE scanner made of one excitation (count)."""
    values = [value for place in GE_ECHOES if (value := elements.private(*place)) is not None]
    return int(max(values)) if values else None


def is_sheet(elements: Elements, image_type: tuple[str, ...]) -> bool:
    """Whether an image is a sheet of several slices side by side."""
    return "MOSAIC" in image_type or "GRID" in image_type or (_first(elements, SHEETS) or 1) > 1


def component(elements: Elements, image_type: tuple[str, ...]) -> str:
    """Complex component: the standard's attribute, GE's private one, or the third and later values of ImageType."""
    named = elements.text(0x00089208).lower()
    if named and named != "mixed":  # said of a whole multi-frame file
        return named if named in COMPONENTS.values() else "other"
    code = elements.private(*GE_PARAMETERS, 0x2F)
    if code is not None and int(code) in GE_COMPONENTS:
        return GE_COMPONENTS[int(code)]
    return next((COMPONENTS[kind] for kind in image_type[2:] if kind in COMPONENTS), "magnitude")


def is_trace(elements: Elements) -> bool:
    """Whether a diffusion-weighted image combines the directions, where ImageType does not say so."""
    return elements.text(0x00189075) == "ISOTROPIC" or elements.private(*GE_DIRECTION) == GE_COMBINED


def scaling(elements: Elements, slope: float, intercept: float, kind: str) -> tuple[float, float, str]:
    """Slope, intercept and the name of the rule that they follow.

    Philips writes a rescale slope RS and intercept RI that bring the stored values SV to the display range of their
    series, and a private scale slope SS. Signals compare between series only as FP = (SV RS + RI) / (RS SS), which is
    linear in SV with slope 1/SS and intercept RI/(RS SS) (Chenevert et al., Transl Oncol 7(1):65-71, 2014). Values of
    maps have units, and RS and RI lead to them.
    """
    scale = elements.private(*PHILIPS_MR, 0x0E)
    if scale is None or scale <= 0 or kind in ("adc", "map"):
        return slope, intercept, "rescale"
    return 1 / scale, intercept / (slope * scale), "Philips"


def _first(elements: Elements, places: tuple[tuple[int, str, int], ...]) -> float | None:
    return next((value for place in places if (value := elements.private(*place)) is not None), None)
