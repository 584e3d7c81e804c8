"""What `mpmri check` prints: counts, geometry and coverage of each sequence, and findings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpmri_monai.cohort import Manifest, load_manifest
from mpmri_monai.cohort.commands import print_counts, print_findings
from mpmri_monai.report.cohort_check import COVERED, CohortCheck, check_cohort, write_check


def check_command(
    path: Path, output: Path | None = None, cache: Path | None = None, workers: int = 2, console: Console | None = None
) -> int:
    """Print what a manifest holds and every finding about it.

    Args:
        path: of the manifest.
        output: folder for all rows as CSV and JSON; None writes none.
        cache: where the result of each study is kept; None keeps none.
        workers: processes that check studies side by side.
        console: to print on.

    Returns:
        Exit status: 0 when there is no error (warnings are allowed), else 1.
    """
    console = console or Console()
    manifest = load_manifest(path)
    check = check_cohort(manifest, cache, workers, progress=True)
    print_counts(console, manifest)
    if len(check.sequences):
        console.print(_geometry_table(manifest, check.sequences))
    if len(check.lesions):
        console.print(_coverage_table(manifest, check.lesions))
    print_findings(console, check.findings)
    if output is not None:
        names = ", ".join(written.name for written in write_check(check, manifest, output))
        console.print(f"Every row: {names} in {escape(str(output))}", soft_wrap=True)
    return _verdict(console, check, path)


def _verdict(console: Console, check: CohortCheck, path: Path) -> int:
    errors = sum(finding.level == "error" for finding in check.findings)
    warnings = len(check.findings) - errors
    if errors:
        console.print(f"[red]{errors} errors[/red], {warnings} warnings. Mend the errors and check again.")
        return 1
    console.print(f"No errors, {warnings} warnings. Next: mpmri prepare {escape(str(path))}", soft_wrap=True)
    return 0


def _geometry_table(manifest: Manifest, rows: pd.DataFrame) -> Table:
    """One row a sequence: in how many studies, and the range of its grids."""
    names = ("sequence", "studies", "columns", "rows", "slices", "in plane mm", "slice mm", "plane", "time s")
    table = Table(*names, title="Geometry, smallest to largest", padding=(0, 1, 0, 0))  # fits 80 characters
    for sequence in manifest.sequences:
        part = rows[rows["sequence"] == sequence]
        if len(part):
            in_plane = pd.concat([part["column_mm"], part["row_mm"]])
            planes = part["orientation"].dropna().value_counts()
            table.add_row(
                sequence,
                str(part["study"].nunique()),
                *(_span(part[column], "{:.0f}") for column in ("columns", "rows", "slices")),
                _span(in_plane, "{:.2f}"),
                _span(part["slice_mm"], "{:.2f}"),
                ", ".join(str(name) if len(planes) == 1 else f"{name} {count}" for name, count in planes.items()),
                _span(part["time_s"], "{:.0f}"),
            )
    return table


def _coverage_table(manifest: Manifest, lesions: pd.DataFrame) -> Table:
    """One row a sequence: how many lesions it covers wholly, in part, and not at all."""
    table = Table("sequence", "whole", "in part", "not", "no image", "least", title="Lesions covered")
    for sequence in manifest.sequences:
        parts = lesions[f"covered_{sequence}"]
        known = parts.dropna()
        counts = (known >= COVERED).sum(), ((known > 0) & (known < COVERED)).sum(), (known == 0).sum()
        least = f"{known.min():.0%}" if len(known) else ""
        table.add_row(sequence, *map(str, counts), str(len(parts) - len(known)), least)
    return table


def _span(values: pd.Series, form: str) -> str:
    known = pd.to_numeric(values).dropna()
    if not len(known):
        return ""
    low, high = form.format(known.min()), form.format(known.max())
    return low if low == high else f"{low} – {high}"
