"""A catalogue as a table to read, or as JSON: what `mpmri scan` prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpmri_monai.catalogue.protocol import protocol as protocol_named
from mpmri_monai.catalogue.record import Catalogue, VolumeRecord
from mpmri_monai.catalogue.scan import scan

PIPE_COLUMNS = 160
"""Width when the output is no terminal (characters)."""


def scan_command(study: Path, as_json: bool = False, protocol: str = "liver") -> int:
    """Scan a study and print what was found.

    Returns:
        Exit status: 0 when every role of the protocol is filled and nothing is wrong, else 1; 0 for protocol "none",
        which only lists.

    Raises:
        CatalogueError: as ``scan`` does.
    """
    catalogue = scan(Path(study), protocol, progress=not as_json and sys.stderr.isatty())
    if as_json:
        sys.stdout.write(json.dumps(catalogue.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        print_catalogue(catalogue, Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS))
    return 0 if catalogue.ok or not protocol_named(protocol).sequences else 1


def print_catalogue(catalogue: Catalogue, console: Console) -> None:
    """Print volumes, what was set aside, open roles and problems. Nothing identifies the patient."""
    names = ("role", "series", "volume", "columns x rows x slices", "spacing mm", "plane", "TE ms", "component")
    table = Table(*names, "phase", "time s", "split by", "warnings", title=f"protocol {catalogue.protocol}")
    for volume in catalogue.volumes:
        table.add_row(*_row(volume))
    console.print(table)
    for entry in catalogue.set_aside:
        console.print(f"set aside  {_series(entry.series_number)}: {entry.why}", markup=False, highlight=False)
    for volume in catalogue.volumes:
        for caution in volume.warnings:
            where = f"{_series(volume.series_number)}, volume {volume.id}"
            console.print(f"{caution.code}  {where}: {caution.message}", markup=False, highlight=False)
    for problem in catalogue.problems:
        text = f"{problem.code}  {_series(problem.series_number)}: {problem.message}"
        console.print(text, style="red", markup=False, highlight=False)
    if catalogue.missing:
        text = f"no volume for {' '.join(catalogue.missing)}; --json lists for each volume which rule it does not fit"
        console.print(text, style="red", markup=False, highlight=False)
    elif catalogue.ok and catalogue.roles:
        console.print("every sequence of the protocol was found, and nothing is wrong", style="green")


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
