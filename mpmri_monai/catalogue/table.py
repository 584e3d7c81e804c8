"""A catalogue as a table to read, or as JSON: what `mpmri scan` prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpmri_monai.catalogue.record import Catalogue, VolumeRecord
from mpmri_monai.catalogue.scan import scan

PIPE_COLUMNS = 160
"""Width when the output is no terminal (characters)."""


def scan_command(
    study: Path,
    as_json: bool = False,
    protocol: str = "liver",
    site_rules: Path | None = None,
    study_number: int | None = None,
) -> int:
    """Scan a study and print what was found.

    Returns:
        Exit status: 0 when every role of the protocol is filled and nothing is wrong, else 1; 0 for protocol "none",
        which only lists.

    Raises:
        CatalogueError: as ``scan`` does.
        ConfigError: as ``scan`` does.
    """
    progress = not as_json and sys.stderr.isatty()
    catalogue = scan(Path(study), protocol, site_rules, progress, study_number)
    if as_json:
        sys.stdout.write(json.dumps(catalogue.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        print_catalogue(catalogue, Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS))
    return 0 if catalogue.ok or not catalogue.sequences else 1


def print_catalogue(catalogue: Catalogue, console: Console) -> None:
    """Print volumes, why each role went where, what was set aside, open roles and problems; nothing identifying."""
    names = ("role", "series", "volume", "matrix", "spacing mm", "plane", "TE ms", "phase", "component", "warnings")
    console.print(_table(f"protocol {catalogue.protocol}", names, [_row(volume) for volume in catalogue.volumes]))
    if catalogue.decisions:
        names = ("role", "series", "asked for", "found", "not chosen")
        console.print(_table("why", names, _reasons(catalogue)))
    for entry in catalogue.set_aside:
        console.print(f"set aside  {_series(entry.series_number)}: {entry.why}", markup=False, highlight=False)
    for (code, series, message), ids in _cautions(catalogue).items():
        volumes = f"volume {ids[0]}" if len(ids) == 1 else f"{len(ids)} volumes"
        console.print(f"{code}  {_series(series)}, {volumes}: {message}", markup=False, highlight=False)
    for problem in catalogue.problems:
        text = f"{problem.code}  {_series(problem.series_number)}: {problem.message}"
        console.print(text, style="red", markup=False, highlight=False)
    for why, entries in _unresolved(catalogue).items():
        text = f"open  {' '.join(entries)}: {why}; a rules file (--site-rules) can decide, see docs/site-rules.md"
        console.print(text, style="red", markup=False, highlight=False)
    if catalogue.missing:
        hint = "--json lists for each volume which rule it does not fit"
        if any(volume.nifti for volume in catalogue.volumes):
            hint = "NIfTI files are known by their names, see `nifti` in docs/site-rules.md"
        text = f"no volume for {' '.join(catalogue.missing)}; {hint}"
        console.print(text, style="red", markup=False, highlight=False)
    elif catalogue.ok and catalogue.roles:
        console.print("every sequence of the protocol was found, and nothing is wrong", style="green")


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table that fits 80 characters as a rule; columns that say nothing here are left out."""
    shown = [column for column in range(len(names)) if any(row[column] for row in rows)] or list(range(len(names)))
    table = Table(title=title, padding=(0, 1, 0, 0), show_edge=False)
    for column in shown:
        table.add_column(names[column], overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[column]) for column in shown))
    return table


def _reasons(catalogue: Catalogue) -> list[tuple[str, ...]]:
    """For each role what was asked, what its volume met, and which other volumes came near."""
    numbers = {volume.id: volume.series_number for volume in catalogue.volumes}
    rows = []
    for decision in catalogue.decisions:
        rivals = "; ".join(f"{_series(rival.series_number)}: {rival.why}" for rival in decision.rivals)
        number = numbers[decision.volume]
        rows.append((decision.role, "" if number is None else str(number), decision.rule, decision.value, rivals))
    return rows


def _cautions(catalogue: Catalogue) -> dict[tuple[str, int | None, str], list[str]]:
    """Cautions by code, series and message, with the ids of the volumes that they are about."""
    found: dict[tuple[str, int | None, str], list[str]] = {}
    for volume in catalogue.volumes:
        for caution in volume.warnings:
            found.setdefault((caution.code, volume.series_number, caution.message), []).append(volume.id)
    return found


def _unresolved(catalogue: Catalogue) -> dict[str, list[str]]:
    """Roles that are open for the same reason, with the candidates in words."""
    found: dict[str, list[str]] = {}
    for entry in catalogue.unresolved:
        candidates = f"{len(entry.candidates)} candidates ({' '.join(entry.candidates)})"
        found.setdefault(candidates, []).append(entry.role)
    return found


def _row(volume: VolumeRecord) -> tuple[str, ...]:
    rows, columns, slices = volume.spacing_mm
    return (
        volume.role or "",
        "" if volume.series_number is None else str(volume.series_number),
        volume.id,
        f"{volume.columns}×{volume.rows}×{volume.slices}",
        f"{columns:.2f}×{rows:.2f} ×{slices:.2f}",
        volume.orientation,
        "" if volume.echo_time_ms is None else f"{volume.echo_time_ms:g}",
        _phase(volume),
        "" if volume.component == "magnitude" else volume.component,
        " ".join(sorted({caution.code for caution in volume.warnings})),
    )


def _phase(volume: VolumeRecord) -> str:
    if volume.phase is None:
        return ""
    return str(volume.phase) if volume.time_s is None else f"{volume.phase}: {volume.time_s:.0f} s"


def _series(number: int | None) -> str:
    return "study" if number is None else f"series {number}"
