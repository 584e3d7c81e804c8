"""The answer as DICOM objects of the patient's study: regions as SEG, the findings as SR, the report as pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.filewriter import dcmwrite

from mpmri_monai.artefacts import whole_file
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.errors import MaskError
from mpmri_monai.report import study_report_words as words
from mpmri_monai.report.dicom_source import UNICODE, RegionOnSeries, images_of, read_images

__all__ = ["RegionOnSeries", "remove_objects", "write_dicom_answer"]


@without_warnings()
def write_dicom_answer(
    folder: Path,
    result: Mapping[str, Any],
    regions: Mapping[str, RegionOnSeries],
    source: Iterable[Path],
    picture: Path | None = None,
    reference: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write the answer as new series of the study that it is about, and return the files.

    ``regions-1.dcm`` …: BINARY SEG, one for each series that lesions were drawn on; ``answer.dcm``: Comprehensive 3D
    SR (TID 1500), preliminary and unverified; ``report-1.dcm`` …: secondary captures of the text and the picture.
    Patient and study are copied from the images, as they must be: these files identify the patient.

    Args:
        folder: where the files go; they replace those of an earlier answer.
        result: content of ``result.json``.
        regions: by the lesion's id; a lesion without one is reported without a region.
        source: files of the images that the regions refer to; without regions any images of the study.
        picture: the answer's PNG, as of `answer_picture`, if there is one.
        reference: of the weights: whether they were trained on synthetic data.

    Raises:
        CatalogueError: the images cannot be read, lack geometry, or are not of one study.
        MaskError: a region is of no lesion of the answer, or of other images.
        ConfigError: the picture is no PNG.
        OutputError: the folder cannot be written.
    """
    from mpmri_monai.report.dicom_capture import secondary_captures  # highdicom is slow to import
    from mpmri_monai.report.dicom_structured import structured_report

    unknown = sorted(set(regions) - {str(lesion["id"]) for lesion in result["lesions"]})
    if unknown:
        raise MaskError(
            expected="regions of lesions of the answer", found=f"regions of {', '.join(unknown)}", code="E_MASK_FILE"
        )
    images = read_images(source)
    segments = _segments(regions, images, result)
    objects = _named("regions", {id(one): one for one, _ in segments.values()}.values())
    first = _first(result, reference or {})
    objects["answer.dcm"] = structured_report(result, regions, segments, list(images.values()), first)
    objects |= _named("report", secondary_captures(result, first, picture, next(iter(images.values()))))
    remove_objects(Path(folder))
    for name, content in objects.items():
        content.SpecificCharacterSet = UNICODE  # names may come in any character set
        with whole_file(Path(folder) / name) as part:
            dcmwrite(part, content, enforce_file_format=True)
    return [Path(folder) / name for name in objects]


def _first(result: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """Return what is to be said before any answer: a PACS does not hold the page that says it."""
    synthetic, detector = words.synthetic(reference), words.searched_by(result)
    return [
        *([f"Trained on synthetic data. {synthetic}"] if synthetic else []),
        *([f"Searched by {detector}."] if detector else []),
        *words.notes(result),
    ]


def _segments(
    regions: Mapping[str, RegionOnSeries], images: dict[str, Dataset], result: Mapping[str, Any]
) -> dict[str, tuple[Dataset, int]]:
    """Return for each lesion the SEG with its region, and the number of its segment: one SEG for each series."""
    from mpmri_monai.report.dicom_segmentation import segmentation

    series: dict[tuple[str, ...], dict[str, RegionOnSeries]] = {}
    for name, region in regions.items():
        series.setdefault(region.instances, {})[name] = region
    segments: dict[str, tuple[Dataset, int]] = {}
    for count, together in enumerate(series.values(), start=1):
        referenced = [images_of(region, images) for region in together.values()]
        content = segmentation(together, referenced[0], result, count)
        segments |= {name: (content, number) for number, name in enumerate(together, start=1)}
    return segments


def _named(name: str, objects: Iterable[Dataset]) -> dict[str, Dataset]:
    return {f"{name}-{count}.dcm": content for count, content in enumerate(objects, start=1)}


def remove_objects(folder: Path) -> None:
    """Remove what `write_dicom_answer` wrote: objects of an earlier answer must not lie beside a newer one."""
    for pattern in ("regions-*.dcm", "answer.dcm", "report-*.dcm"):
        for path in folder.glob(pattern):
            path.unlink()
