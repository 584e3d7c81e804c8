"""A catalogue as a table to read, or as JSON: what `mpmri scan` prints."""

from __future__ import annotations

import json
import sys
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
    names = ("role", "series", "volume", "columns x rows x slices", "spacing mm", "plane", "TE ms", "component")
    table = Table(*names, "phase", "time s", "split by", "warnings", title=f"protocol {catalogue.protocol}")
    for volume in catalogue.volumes:
        table.add_row(*_row(volume))
    console.print(table)
    if catalogue.decisions:
        console.print(_reasons(catalogue))
    for entry in catalogue.set_aside:
        console.print(f"set aside  {_series(entry.series_number)}: {entry.why}", markup=False, highlight=False)
    for volume in catalogue.volumes:
        for caution in volume.warnings:
            where = f"{_series(volume.series_number)}, volume {volume.id}"
            console.print(f"{caution.code}  {where}: {caution.message}", markup=False, highlight=False)
    for problem in catalogue.problems:
        text = f"{problem.code}  {_series(problem.series_number)}: {problem.message}"
        console.print(text, style="red", markup=False, highlight=False)
    for why, entries in _unresolved(catalogue).items():
        text = f"open  {' '.join(entries)}: {why}; a rules file (--site-rules) can decide, see docs/site-rules.md"
        console.print(text, style="red", markup=False, highlight=False)
    if catalogue.missing:
        text = f"no volume for {' '.join(catalogue.missing)}; --json lists for each volume which rule it does not fit"
        console.print(text, style="red", markup=False, highlight=False)
    elif catalogue.ok and catalogue.roles:
        console.print("every sequence of the protocol was found, and nothing is wrong", style="green")


def _reasons(catalogue: Catalogue) -> Table:
    """For each role what was asked, what its volume met, and which other volumes came near."""
    table = Table("role", "series", "volume", "asked for", "found", "not chosen", title="why")
    numbers = {volume.id: volume.series_number for volume in catalogue.volumes}
    for decision in catalogue.decisions:
        rivals = "; ".join(f"{_series(rival.series_number)}: {rival.why}" for rival in decision.rivals)
        number = numbers[decision.volume]
        table.add_row(
            *map(Text, (decision.role, "" if number is None else str(number), decision.volume)),
            *map(Text, (decision.rule, decision.value, rivals)),
        )
    return table


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
        f"{volume.columns} x {volume.rows} x {volume.slices}",
        f"{columns:.2f} x {rows:.2f} x {slices:.2f}",
        volume.orientation,
        "" if volume.echo_time_ms is None else f"{volume.echo_time_ms:g}",
        volume.component,
        "" if volume.phase is None else str(volume.phase),
        "" if volume.time_s is None else f"{volume.time_s:.1f}",
        " ".join(volume.split_by),
        " ".join(caution.code for caution in volume.warnings),
    )


def _series(number: int | None) -> str:
    return "study" if number is None else f"series {number}"
