"""Contact sheets as files: a PNG and an HTML page a study, and an index of a cohort. Nothing names a patient."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import digest, whole_file, write_text
from mpmri_monai.catalogue import Catalogue, VolumeRecord, scan
from mpmri_monai.cohort import DicomImage, Lesion, Manifest, parse_manifest
from mpmri_monai.cohort.check import single_studies
from mpmri_monai.cohort.kept import FAILED, kept_results
from mpmri_monai.cohort.manifest import SCHEMA
from mpmri_monai.errors import CatalogueError
from mpmri_monai.report.contact_figure import draw_sheet
from mpmri_monai.report.contact_sheet import Row, Sheet, study_sheet
from mpmri_monai.report.opened import study_key
from mpmri_monai.report.style import RESEARCH_ONLY, png
from mpmri_monai.report.template import template
from mpmri_monai.samples.lesions import lesions_of

STUDY_HEADER = ("sequence", "series", "volume", "columns × rows × slices", "spacing mm", "plane", "TE ms", "time s")


@dataclass(frozen=True)
class _Job:
    manifest: Manifest
    """Of one study."""
    output: Path


def sheet_of_study(
    study: Path,
    output: Path,
    mask: Path | None = None,
    protocol: str = "liver",
    site_rules: Path | None = None,
    drawn_on: str | None = None,
) -> tuple[Path, bool]:
    """Write the contact sheet of one study and return the path of its page, and whether something could not be used.

    The study goes by a code made from its volumes. Without a single role, all of its volumes are shown.

    Args:
        study: folder or archive with one study.
        output: folder for ``<code>.png`` and ``<code>.html``.
        mask: NIfTI, DICOM SEG or RTSTRUCT, or a folder of them (`mpmri_monai.samples.lesions.lesions_of`).
        protocol: name of the protocol, or the path of its file.
        site_rules: file with the rules of the site.
        drawn_on: sequence that the mask was drawn on; when not given, it is found by the mask's references or grid.

    Raises:
        CatalogueError: the study cannot be scanned.
        MaskError: the mask file cannot be read. A region that does not fit is named on the sheet instead.
        OutputError: the files cannot be written.
    """
    catalogue = scan(study, protocol=protocol, site_rules=site_rules)
    if not catalogue.volumes:
        raise CatalogueError(
            expected="a study with at least one volume",
            found="; ".join(map(str, catalogue.problems)) or "none",
            fix="run `mpmri scan` on it to see every series and why it was set aside",
            code="E_EMPTY",
        )
    lesions = lesions_of(mask, drawn_on) if mask is not None else ()
    manifest = _as_manifest(catalogue, lesions)
    sheet = study_sheet(manifest, {_place(catalogue): catalogue})
    _write(sheet, output)
    return output / f"{manifest.name}.html", sheet.failed


def sheets_of_cohort(
    manifest: Manifest, output: Path, cache: Path | None = None, workers: int = 0, progress: bool = False
) -> tuple[Path, tuple[str, ...]]:
    """Write the contact sheets of all studies of a manifest, and ``index.html``.

    Args:
        manifest: the cohort.
        output: folder for the files, which are named by study.
        cache: where is noted which sheets are up to date; None makes all anew.
        workers: processes; 0 or 1 works in this one.
        progress: show a bar.

    Returns:
        The path of the index, and the studies of which something could not be used.

    Raises:
        OutputError: the files cannot be written.
    """
    studies = single_studies(manifest)
    jobs = [_Job(single, output) for single in studies]
    kept = None if cache is None else Path(cache) / "sheets"
    missing = {job.manifest.studies[0].study for job in jobs if not _both_there(job)}
    keys = [digest([study_key(job.manifest), str(output.resolve())]) if kept else "" for job in jobs]
    for job, key in zip(jobs, keys, strict=True):
        if kept is not None and job.manifest.studies[0].study in missing:
            (kept / f"{key}.json").unlink(missing_ok=True)
    results = kept_results(_sheet, jobs, keys, kept, workers, "Drawing contact sheets" if progress else None)
    rows = [
        {**result, "patient": study.patient, "site": study.site, "absent": _absent(manifest, study.images)}
        for result, study in zip(results, manifest.studies, strict=True)
    ]
    content = {"research_only": RESEARCH_ONLY, "cohort": manifest.name, "rows": rows}
    write_text(output / "index.html", template("contact_index.html").render(content))
    return output / "index.html", tuple(row["study"] for row in rows if FAILED in row)


def _as_manifest(catalogue: Catalogue, lesions: Sequence[Lesion]) -> Manifest:
    """Return a scanned study as a manifest of its own; without roles, its volumes stand under their ids."""
    code = "study-" + digest(sorted(volume.id for volume in catalogue.volumes))[:8]
    roles = catalogue.roles or {volume.id: volume.id for volume in catalogue.volumes}
    images = {name: _image(catalogue.volume(volume), _place(catalogue)) for name, volume in roles.items()}
    study = {"patient": code, "study": code, "site": "new", "images": images, "lesions": lesions}
    content = {
        "schema": SCHEMA,
        "name": code,
        "sequences": catalogue.sequences if catalogue.roles else tuple(roles),
        "classes": {},
        "studies": [study],
    }
    return parse_manifest(content, Path(), where=code)


def _place(catalogue: Catalogue) -> str:
    return str(catalogue.folder.resolve())


def _image(volume: VolumeRecord, place: str) -> DicomImage | str:
    return DicomImage(dicom=place, volume=volume.id) if volume.nifti is None else str(volume.nifti)


def _absent(manifest: Manifest, images: Mapping[str, Any]) -> str:
    return " ".join(name for name in manifest.sequences if name not in images)


def _both_there(job: _Job) -> bool:
    name = job.manifest.studies[0].study
    return all((job.output / f"{name}{ending}").is_file() for ending in (".png", ".html"))


def _sheet(job: _Job) -> dict[str, Any]:
    sheet = study_sheet(job.manifest)
    _write(sheet, job.output)
    result = {
        "study": sheet.name,
        "lesions": list(sheet.lesions),
        "problems": len(sheet.problems),
        "warnings": sum(len(row.cautions) for row in sheet.rows),
    }
    return {**result, FAILED: True} if sheet.failed else result


def _write(sheet: Sheet, output: Path) -> None:
    pixels = png(draw_sheet(sheet))
    with whole_file(output / f"{sheet.name}.png") as part:
        part.write_bytes(pixels)
    write_text(output / f"{sheet.name}.html", template("contact_sheet.html").render(_content(sheet, pixels)))


def _content(sheet: Sheet, pixels: bytes) -> dict[str, Any]:
    volumes = [volume for catalogue in sheet.catalogues for volume in catalogue.volumes]
    return {
        "research_only": RESEARCH_ONLY,
        "sheet": sheet,
        "source": "data:image/png;base64," + base64.b64encode(pixels).decode(),
        "alt": _in_words(sheet.rows),
        "header": STUDY_HEADER,
        "volumes": [_volume_row(volume) for volume in volumes],
        "warnings": [
            (_series(volume.series_number), volume.role or "", caution.code, caution.message)
            for volume in volumes
            for caution in volume.warnings
        ],
        "decisions": [
            (decision.role, decision.rule, decision.value, "; ".join(_rival(rival) for rival in decision.rivals))
            for catalogue in sheet.catalogues
            for decision in catalogue.decisions
        ],
        "set_aside": [
            (_series(entry.series_number), entry.why) for catalogue in sheet.catalogues for entry in catalogue.set_aside
        ],
    }


def _volume_row(volume: VolumeRecord) -> tuple[str, ...]:
    row, column, slices = volume.spacing_mm
    return (
        volume.role or "–",
        _series(volume.series_number),
        volume.id,
        f"{volume.columns} × {volume.rows} × {volume.slices}",
        f"{column:.2f} × {row:.2f} × {slices:.2f}",
        volume.orientation,
        "" if volume.echo_time_ms is None else f"{volume.echo_time_ms:g}",
        "" if volume.time_s is None else f"{volume.time_s:.0f}",
    )


def _rival(rival: Any) -> str:
    return f"series {_series(rival.series_number)}: {rival.why}"


def _series(number: int | None) -> str:
    return "?" if number is None else str(number)


def _in_words(rows: Sequence[Row]) -> str:
    """Return what a picture shows, for those who cannot see it."""
    return "; ".join(f"{row.name}: {', '.join([*row.facts, *row.cautions])}" for row in rows)
