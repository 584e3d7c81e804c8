"""The header of an MR image from the elements of its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpmri_monai.catalogue.headers import vendors
from mpmri_monai.catalogue.headers.clock import SECONDS_A_DAY
from mpmri_monai.catalogue.headers.elements import Elements
from mpmri_monai.catalogue.headers.header import FileHeader
from mpmri_monai.catalogue.headers.image_kinds import image_kind
from mpmri_monai.catalogue.headers.layout import PixelLayout, fault

COSINE_TOLERANCE = 0.01
"""Orientations are written with few decimals; farther than this from unit length or a right angle they mean nothing."""
SCANNING_SEQUENCES = ("SE", "IR", "GR", "EP", "RM")
ECHO_PULSES = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}
"""ScanningSequence by EchoPulseSequence."""
ACQUISITION_TYPES = ("1D", "2D", "3D")
FAT_SATURATION = "FS"
"""Value of ScanOptions."""
NO_AGENT = ("", "NO", "NONE", "N", "0", "N/A")
"""What technicians type as the contrast agent when there is none."""

Identity = tuple[str, str, str, int | None]
"""PatientID, StudyInstanceUID, SeriesInstanceUID, SeriesNumber."""


def identity(elements: Elements) -> Identity:
    """Whose and which series a file belongs to."""
    number = elements.number(0x00200011)
    series_number = None if number is None else int(number)
    return elements.text(0x00100020), elements.text(0x0020000D), elements.text(0x0020000E), series_number


def image_header(path: Path, elements: Elements, layout: PixelLayout) -> FileHeader:
    """Return the header of an image of one frame.

    Raises:
        CatalogueError: without a usable geometry or rescale slope.
    """
    patient, study, series, series_number = identity(elements)
    position, orientation, spacing = _geometry(elements)
    image_type = elements.texts(0x00080008)
    kind = image_kind(image_type) or ("trace" if vendors.is_trace(elements) else "")
    slope, intercept, scaling = _scaling(elements, kind)
    number = elements.number(0x00200013)
    return FileHeader(
        path=path,
        frame=None,
        patient=patient,
        study=study,
        series=series,
        instance=elements.text(0x00080018),
        frame_of_reference=elements.text(0x00200052),
        series_number=series_number,
        instance_number=None if number is None else int(number),
        image_type=image_type,
        image_kind=kind,
        mosaic=vendors.is_sheet(elements, image_type),
        rows=layout.rows,
        columns=layout.columns,
        position=position,
        orientation=orientation,
        pixel_spacing=spacing,
        slice_thickness_mm=elements.number(0x00180050),
        slope=slope,
        intercept=intercept,
        scaling=scaling,
        transfer_syntax=layout.transfer_syntax,
        pixel_offset=layout.offset,
        bits_allocated=layout.bits_allocated,
        bits_stored=layout.bits_stored,
        pixel_representation=layout.pixel_representation,
        component=vendors.component(elements, image_type),
        manufacturer=vendors.manufacturer(elements),
        **_acquisition(elements),
        **_clock(elements),
        declared_slices=vendors.declared_slices(elements),
        declared_echoes=vendors.declared_echoes(elements),
        ge_series_plane=elements.private(*vendors.GE_ACQUISITION, 0x17),
        texts=tuple(text for tag in (0x0008103E, 0x00181030, 0x00180024) if (text := elements.free_text(tag))),
    )


def _acquisition(elements: Elements) -> dict[str, Any]:
    """How the image was acquired."""
    return {
        "scanning_sequence": _scanning_sequence(elements),
        "acquisition_type": _coded(elements.text(0x00180023), ACQUISITION_TYPES),
        "echo_time_ms": elements.number(0x00180081),
        "repetition_time_ms": elements.number(0x00180080),
        "inversion_time_ms": elements.number(0x00180082) or None,  # Philips writes 0 where there is no inversion
        "flip_angle_deg": elements.number(0x00181314),
        "echo_number": elements.number(0x00180086),
        "b_value": vendors.b_value(elements),
        "fat_suppressed": _fat_suppressed(elements),
        "contrast_agent": _has_agent(elements),
        "imaging_frequency_mhz": elements.number(0x00180084),
        "field_strength_t": elements.number(0x00180087),
    }


def _clock(elements: Elements) -> dict[str, Any]:
    """When it was acquired. Frames tell by date and time in one."""
    acquired = elements.moment(0x00189074)  # FrameAcquisitionDateTime
    if acquired is None:
        acquired = elements.seconds(0x00080022, 0x00080032)
    if acquired is None:
        acquired = elements.moment(0x0008002A)  # AcquisitionDateTime
    reference = elements.moment(0x00189151)  # FrameReferenceDateTime
    return {
        "temporal_position": elements.number(0x00200100),
        "vendor_time": vendors.dynamic(elements),
        "trigger_time_ms": elements.number(0x00181060),
        "acquisition_number": elements.number(0x00200012),
        "acquisition_time_s": acquired,
        "content_time_s": elements.seconds(0x00080023, 0x00080033) if reference is None else reference,
        "series_time_s": elements.seconds(0x00080021, 0x00080031),
        "contrast_start_s": _contrast_start(elements, acquired),
    }


def _contrast_start(elements: Elements, acquired: float | None) -> float | None:
    """ContrastBolusStartTime has no date: it is taken as near to the acquisition as a time of day can be."""
    start = elements.seconds(0, 0x00181042)
    if start is None or acquired is None:
        return start
    return start + SECONDS_A_DAY * round((acquired - start) / SECONDS_A_DAY)


def _scanning_sequence(elements: Elements) -> tuple[str, ...]:
    """ScanningSequence with what the enhanced attributes add to it."""
    found = [_coded(kind, SCANNING_SEQUENCES) for kind in elements.texts(0x00180020)]
    found += ECHO_PULSES.get(elements.text(0x00189008), ())
    found += ["EP"] * (elements.text(0x00189018) == "YES")  # EchoPlanarPulseSequence
    found += ["IR"] * (elements.text(0x00189009) == "YES")  # InversionRecovery
    return tuple(dict.fromkeys(found))


def _geometry(elements: Elements) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    position, orientation = elements.numbers(0x00200032, 3), elements.numbers(0x00200037, 6)
    spacing = elements.numbers(0x00280030, 2)
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        raise fault("E_NOGEOM", "an image lacks a usable position, orientation or pixel spacing")
    a, b, c, d, e, f = orientation
    lengths, product = (a * a + b * b + c * c, d * d + e * e + f * f), a * d + b * e + c * f
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(product)) > COSINE_TOLERANCE:
        raise fault("E_NOGEOM", "an image has an orientation that is not two perpendicular unit vectors")
    return position, orientation, spacing


def _scaling(elements: Elements, kind: str) -> tuple[float, float, str]:
    slope, intercept = elements.number(0x00281053), elements.number(0x00281052)
    if slope is None and intercept is None:
        return 1.0, 0.0, "none"
    if slope is not None and slope <= 0:
        raise fault("E_RESCALE", "a rescale slope is not positive")
    return vendors.scaling(elements, 1.0 if slope is None else slope, intercept or 0.0, kind)


def _fat_suppressed(elements: Elements) -> bool | None:
    """ScanOptions of a single image, SpectrallySelectedSuppression or -Excitation of a frame."""
    suppressed, excited = elements.text(0x00189025), elements.text(0x00189026)
    if suppressed or excited:
        return suppressed in ("FAT", "FAT_AND_WATER") or excited == "WATER"
    options = elements.texts(0x00180022)
    return FAT_SATURATION in options if options else None


def _has_agent(elements: Elements) -> bool:
    if elements.text(0x00189342) == "NO":  # ContrastBolusAgentAdministered, said of a frame
        return False
    return elements.holds(0x00180012) or elements.text(0x00180010).upper() not in NO_AGENT


def _coded(text: str, known: tuple[str, ...]) -> str:
    """A code of the standard as it is; any other text is not passed on, for it could say anything."""
    return text if text in known or not text else "other"
