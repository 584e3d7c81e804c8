"""What a contact sheet shows of a study: every sequence at the lesion, with its outline, or in the middle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from mpmri_monai.artefacts import digest
from mpmri_monai.catalogue import Catalogue, VolumeRecord
from mpmri_monai.cohort import Lesion, Manifest, Study
from mpmri_monai.cohort.signatures import files_of
from mpmri_monai.errors import MpmriError
from mpmri_monai.report.cohort_check import COVERED
from mpmri_monai.report.contact_views import (
    Panel,
    Target,
    View,
    close_view,
    slice_view,
    target_of,
    views_of,
    whole_slice,
)
from mpmri_monai.report.opened import Opened, open_study
from mpmri_monai.report.wording import without_folders
from mpmri_monai.samples.coverage import lesion_coverage
from mpmri_monai.sequences import DCE
from mpmri_monai.volumes import Stack, read_volume

MOST_LESIONS = 4
"""So many lesions get a column of their own, the largest first (count)."""
MOST_ROWS = 40
"""So many volumes are shown in rows (count)."""
MOST_OTHERS = 24
"""So many volumes without a role are shown (count)."""
DEPTHS = (0.25, 0.5, 0.75)
"""Where a stack is shown when no lesion is known, as parts of its slices."""
WINDOW_PERCENT = (1.0, 99.0)
"""Grey values between these percentiles of the slices shown are told apart."""


@dataclass(frozen=True, eq=False)
class Row:
    """A sequence, or a volume that has no role."""

    name: str
    facts: tuple[str, ...]
    """Short lines about the volume."""
    cautions: tuple[str, ...] = ()
    panels: tuple[Panel | str, ...] = ()
    """In the order of the sheet's columns; a text says why there is no picture. None at all: the facts say why."""
    window: tuple[float, float] = (0.0, 1.0)
    family: str = ""
    """Rows of one dynamic acquisition share this word and one window of grey values; empty for the others."""
    signal: float | None = None
    """Mean signal of the first lesion in its view."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """The contact sheet of one study."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    others: tuple[Row, ...]
    """Volumes without a role, one panel each."""
    lesions: tuple[str, ...]
    """What is known of each lesion, in words."""
    problems: tuple[str, ...]
    failed: bool
    """Whether something of the study cannot be used: a person has to mend it, not only to look."""
    catalogues: tuple[Catalogue, ...]


def study_sheet(manifest: Manifest, scanned: Mapping[str, Catalogue] | None = None) -> Sheet:
    """Look at every sequence of the one study of a manifest.

    Args:
        manifest: of one study; sequences that the study lacks are shown as absent.
        scanned: DICOM folders that need not be scanned again, by their names in the manifest.

    Returns:
        The sheet. What cannot be read or does not fit is said in its rows and ``problems``; nothing is raised for it.
    """
    study, opened = manifest.studies[0], open_study(manifest, scanned)
    volumes = opened.inspection.volumes
    problems = _problems(study, opened)
    targets = sorted((target_of(name, mask) for name, mask in opened.lesions.items()), key=_smallness)
    if len(targets) > MOST_LESIONS:
        problems.append(f"{len(targets) - MOST_LESIONS} more lesions, none larger, have no view of their own")
    views = views_of(targets[:MOST_LESIONS])
    shown = manifest.sequences[:MOST_ROWS]
    if len(manifest.sequences) > MOST_ROWS:
        problems.append(f"{len(manifest.sequences) - MOST_ROWS} more volumes are not shown")
    unread = {name: _nameless(study, why) for name, why in opened.unread.items()}
    rows = [_row(name, opened.stacks.get(name), volumes.get(name), unread.get(name), views) for name in shown]
    catalogues = opened.inspection.catalogues.values()
    used = {record.id for record in volumes.values()} | {str(image) for image in study.images.values()}
    every = [volume for one in catalogues for volume in one.volumes]
    spare = [volume for volume in every if not {volume.id, str(volume.nifti)} & used]
    if len(spare) > MOST_OTHERS:
        problems.append(f"{len(spare) - MOST_OTHERS} more volumes without a role are not shown")
    return Sheet(
        name=study.study,
        columns=tuple(view.title for view in views) or tuple(f"at {depth:.0%} of the slices" for depth in DEPTHS),
        rows=_with_windows(rows),
        others=tuple(_other(record) for record in spare[:MOST_OTHERS]),
        lesions=tuple(_lesion_words(lesion, opened) for lesion in study.lesions) or _study_words(study),
        problems=tuple(problems),
        failed=bool(opened.unread or opened.faults or _errors(opened)),
        catalogues=tuple(catalogues),
    )


def _problems(study: Study, opened: Opened) -> list[str]:
    unread = [f"{name} cannot be read" for name in opened.unread]
    cautions = [f"lesion {name}: {word}" for name, words in opened.cautions.items() for word in words]
    return [_nameless(study, problem) for problem in (*_errors(opened), *unread, *opened.faults, *cautions)]


def _errors(opened: Opened) -> list[str]:
    return [finding.message for finding in opened.inspection.findings if finding.level == "error"]


def _nameless(study: Study, text: str) -> str:
    """Return ``text`` without the names of files and folders, which may hold a patient's name."""
    for name in files_of(study):
        for part in (name, PurePath(name).name):
            text = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "…", text)
    return without_folders(text)


def _lesion_words(lesion: Lesion, opened: Opened) -> str:
    mask = opened.lesions.get(lesion.id)
    size = "not usable" if mask is None else f"{mask.volume_ml:.1f} ml"
    drawn = "" if mask is None or not mask.drawn_on else f", drawn on {mask.drawn_on}"
    return f"{lesion.id}: {', '.join([*lesion.labels.values(), size])}{drawn}"


def _study_words(study: Study) -> tuple[str, ...]:
    """Return what is known of a study as a whole; nothing where that is nothing."""
    return tuple(f"{key}: {name}" for key, name in study.labels.items())


def _smallness(target: Target) -> float:
    return -target.mask.volume_ml


def _row(name: str, stack: Stack | None, record: VolumeRecord | None, unread: str | None, views: Sequence[View]) -> Row:
    facts = _facts(record, stack)
    cautions = tuple(caution.code for caution in record.warnings) if record else ()
    if record is not None and name == record.id:
        name, facts = facts[0], (f"volume {name}", *facts[1:])
    if stack is None:
        return Row(name, ("absent" if unread is None else f"not readable: {unread}",))
    targets = list(dict.fromkeys(view.target for view in views))
    covered = {target.name: lesion_coverage(target.mask, stack.geometry) for target in targets}
    cautions += tuple(f"covers {part:.0%} of {lesion}" for lesion, part in covered.items() if part < COVERED)
    if views:
        panels = [close_view(stack, view, targets) if view.close else whole_slice(stack, targets) for view in views]
    else:
        panels = [slice_view(stack, round(depth * (stack.geometry.shape[2] - 1))) for depth in DEPTHS]
    return Row(
        name,
        facts,
        cautions,
        tuple(panels),
        window=_window([panel.image for panel in panels if isinstance(panel, Panel)]),
        family=_family(name, record),
        signal=_lesion_signal(panels[1]) if views else None,
    )


def _facts(record: VolumeRecord | None, stack: Stack | None) -> tuple[str, ...]:
    lines = []
    if record is not None:
        lines.append(_series(record))
        if record.phase is not None and record.time_s is not None:
            lines.append(f"phase {record.phase}, {record.time_s:.0f} s")
        elif record.echo_time_ms is not None:
            lines.append(f"TE {record.echo_time_ms:g} ms{_kind(record)}")
        lines.append(record.orientation)
    if stack is not None:
        column, row, slices = stack.geometry.spacing_mm
        lines.append(f"{row:.2f} × {column:.2f} × {slices:.2f} mm")
        lines.append(f"{stack.geometry.shape[2]} slices")
    return tuple(lines)


def _kind(record: VolumeRecord) -> str:
    """Return what tells volumes of one echo time apart: the kind of a computed image, else the b-value."""
    header = record.header
    if header is None or (not header.image_kind and header.b_value is None):
        return ""
    return f", {header.image_kind or f'b {header.b_value:g}'}"


def _series(record: VolumeRecord) -> str:
    return "no series number" if record.series_number is None else f"series {record.series_number}"


def _family(name: str, record: VolumeRecord | None) -> str:
    """Return a word that the phases of one dynamic acquisition share."""
    if record is None:
        return "dynamic" if name in DCE else ""
    if record.phase is None:
        return ""
    grid = (record.rows, record.columns, record.slices, np.round(record.affine, 2).tolist(), record.echo_time_ms)
    return digest([*grid, record.component])


def _lesion_signal(panel: Panel | str) -> float | None:
    if isinstance(panel, str) or not panel.outlines[0].inside.any():
        return None
    return float(panel.image[panel.outlines[0].inside].mean())


def _window(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    if not images:
        return 0.0, 1.0
    low, high = np.percentile(np.concatenate([image.ravel() for image in images]), WINDOW_PERCENT)
    return float(low), float(max(high, low + np.finfo(np.float32).tiny))


def _with_windows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Give the phases of one acquisition one window, so that enhancement is seen, and their signals to the first."""
    shared: dict[str, list[Row]] = {}
    for row in rows:
        if row.panels and row.family:
            shared.setdefault(row.family, []).append(row)
    result = []
    for row in rows:
        family = shared.get(row.family, []) if row.panels else []
        if len(family) < 2:
            result.append(row)
            continue
        window = min(other.window[0] for other in family), max(other.window[1] for other in family)
        facts, first = row.facts, family[0].signal
        if row.signal is not None and first:
            facts = (*facts, f"lesion {row.signal / first:.2f} × {family[0].name}")
        result.append(Row(row.name, facts, row.cautions, row.panels, window, row.family, row.signal))
    return tuple(result)


def _other(record: VolumeRecord) -> Row:
    cautions = tuple(caution.code for caution in record.warnings)
    time = "" if record.time_s is None else f", {record.time_s:.0f} s"
    name = f"{_series(record)}{time}"
    try:
        stack = read_volume(record)
    except MpmriError as error:
        return Row(name, (record.orientation,), cautions, (f"cannot be read: {error.found}",))
    panel = slice_view(stack, stack.geometry.shape[2] // 2)
    return Row(name, (record.orientation,), cautions, (panel,), window=_window([panel.image]))
