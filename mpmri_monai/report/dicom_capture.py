"""The answer as pictures for any viewer: secondary captures of its text and of its figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from mpmri_monai.errors import ConfigError
from mpmri_monai.report import study_report_words as words
from mpmri_monai.report.dicom_codes import MANUFACTURER, NOT_FOR_DIAGNOSIS, series_description
from mpmri_monai.report.style import INK, RESEARCH_ONLY, TEXT, new_figure

SERIES_NUMBER = 9103
LINES, CHARACTERS = 60, 96
"""Of a page, in the type of the report."""
PAGE_INCHES, LINE_INCHES, MARGIN_INCHES = 8.27, 0.155, 0.4
"""Width of a page, height of a line of text, and what is left free round it."""
LARGEST_SIDE = 8192
"""A larger picture is refused before it is decoded (pixels)."""
WARNING_COLOUR = "#8C2D04"


def secondary_captures(
    result: Mapping[str, Any], first: Sequence[str], picture: Path | None, image: Dataset
) -> list[hd.sc.SCImage]:
    """Return the answer's pages and its picture as RGB secondary captures of one new series.

    Args:
        result: content of ``result.json``.
        first: what is to be said before any answer.
        picture: PNG as of `answer_picture`, which says what it may be used for; None when there is none.
        image: any image of the study; the captures take patient and study from it.

    Raises:
        ConfigError: the picture is no PNG, or too large.
    """
    pages = [_page(lines) for lines in _split(_lines(result, first))]
    if picture is not None:
        pages.append(_read_png(picture))
    series = hd.UID()
    return [_capture(page, image, series, number) for number, page in enumerate(pages, start=1)]


def _capture(pixels: NDArray[np.uint8], image: Dataset, series: str, number: int) -> hd.sc.SCImage:
    capture = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=image,
        pixel_array=np.ascontiguousarray(pixels),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),
        series_instance_uid=series,
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=number,
        manufacturer=MANUFACTURER,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    capture.copy_patient_and_study_information(
        image
    )  # whoever issued the PatientID too, without which it names another
    capture.PatientOrientation = None  # type 2C: a page of text has none
    capture.SeriesDescription = series_description("report")
    capture.ImageComments = RESEARCH_ONLY
    capture.BurnedInAnnotation = "NO"  # pages name no person
    return capture


def _lines(result: Mapping[str, Any], first: Sequence[str]) -> Iterator[str]:
    bundle, noun = result["bundle"], words.noun(result)
    yield f"{bundle['name']} {bundle['version']}, weights {bundle['weights_sha256'][:12]}"
    yield from first
    if not result["lesions"]:
        yield "No lesion was given or found."
    for lesion in result["lesions"]:
        yield ""
        yield f"{words.heading(lesion, noun)}: {lesion['predicted'] or 'no class, the classifier abstains'}"
        yield "  " + ", ".join(f"{name} {p:.2f}" for name, p in lesion["probabilities"].items())
        yield from (f"  {remark}" for remark in words.remarks(lesion, result))


def _split(lines: Iterator[str]) -> Iterator[list[str]]:
    wrapped = [part for line in lines for part in textwrap.wrap(line, CHARACTERS, subsequent_indent="    ") or [""]]
    for first in range(0, len(wrapped), LINES):
        yield wrapped[first : first + LINES]


def _page(lines: list[str]) -> NDArray[np.uint8]:
    """Return a page of text (row, column, RGB)."""
    height = 2 * MARGIN_INCHES + (len(lines) + 2) * LINE_INCHES
    figure = new_figure(PAGE_INCHES, height)
    left, top, text = (
        MARGIN_INCHES / PAGE_INCHES,
        1 - MARGIN_INCHES / height,
        1 - (MARGIN_INCHES + 2 * LINE_INCHES) / height,
    )
    figure.text(left, top, NOT_FOR_DIAGNOSIS, fontsize=TEXT, color=WARNING_COLOUR, fontweight="bold", va="top")
    figure.text(left, text, "\n".join(lines), fontsize=TEXT, color=INK, va="top", parse_math=False)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def _read_png(path: Path) -> NDArray[np.uint8]:
    """Return a PNG (row, column, RGB)."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if max(picture.size) > LARGEST_SIDE:
                raise ConfigError(
                    expected=f"a picture of at most {LARGEST_SIDE} pixels a side", found=f"{max(picture.size)}"
                )
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's, for what is no whole PNG
        raise ConfigError(
            expected="the picture of an answer as PNG", found="a file that is none", code="E_FILE"
        ) from error
