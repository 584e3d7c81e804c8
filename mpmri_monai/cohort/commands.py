"""What `mpmri manifest` and `mpmri check` print."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpmri_monai.cohort.build import Finding, build_manifest
from mpmri_monai.cohort.check import check_manifest
from mpmri_monai.cohort.manifest import Manifest, load_manifest, save_manifest

MAX_FINDINGS_SHOWN = 30


def manifest_command(folder: Path, labels: Path, output: Path, name: str | None = None, workers: int = 2) -> int:
    """Write the manifest of a cohort folder and print what it holds.

    Args:
        folder: the cohort's folder.
        labels: the label table, see `mpmri_monai.cohort.labels.read_labels`.
        output: where the manifest goes.
        name: of the cohort; made from the folder's name when not given.
        workers: processes that scan studies side by side.

    Returns:
        Exit status: 0 when every study of the table is in the manifest, else 1.
    """
    console = Console()
    truth = "truth.csv" if (folder / "truth.csv").is_file() else None
    manifest, failed = build_manifest(
        folder, labels, name or _name_of(folder), truth=truth, workers=workers, progress=True
    )
    save_manifest(manifest, output)
    _print_counts(console, manifest)
    _print_findings(console, failed)
    if failed:
        console.print(f"[red]{len(failed)} studies were left out.[/red]")
    console.print(f"Wrote {escape(str(output))}. Next: mpmri check {escape(str(output))}", soft_wrap=True)
    return 1 if failed else 0


def check_command(path: Path, workers: int = 2) -> int:
    """Print what a manifest holds and every finding about it.

    Args:
        path: of the manifest.
        workers: processes that check studies side by side.

    Returns:
        Exit status: 0 when there is no error (warnings are allowed), else 1.
    """
    console = Console()
    manifest = load_manifest(path)
    findings = check_manifest(manifest, workers=workers, progress=True)
    _print_counts(console, manifest)
    _print_findings(console, findings)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        console.print(
            f"[red]{errors} errors[/red], {len(findings) - errors} warnings. Mend the errors and check again."
        )
        return 1
    console.print(f"No errors, {len(findings)} warnings. Next: mpmri prepare {escape(str(path))}", soft_wrap=True)
    return 0


def _name_of(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", folder.resolve().name).strip("_") or "cohort"


def _print_counts(console: Console, manifest: Manifest) -> None:
    patients = {study.patient for study in manifest.studies}
    console.print(
        f"{manifest.name}: {len(patients)} patients, {len(manifest.studies)} studies, "
        f"{sum(len(study.lesions) for study in manifest.studies)} lesions"
    )
    for key in manifest.classes:
        console.print(_class_table(manifest, key))
    absent = Counter(
        (sequence, study.site)
        for study in manifest.studies
        for sequence in manifest.sequences
        if sequence not in study.images
    )
    if absent:
        table = Table("sequence", "site", "studies without it", title="Missing sequences")
        for (sequence, site), count in sorted(absent.items()):
            table.add_row(sequence, site, str(count))
        console.print(table)


def _class_table(manifest: Manifest, key: str) -> Table:
    """Lesions of each class at each site; studies without lesions count by their own label."""
    counts: Counter[tuple[str, str]] = Counter()
    for study in manifest.studies:
        labelled = [lesion.labels for lesion in study.lesions] or [study.labels]
        counts.update((labels.get(key, ""), study.site) for labels in labelled)
    sites = sorted({study.site for study in manifest.studies})
    table = Table(key, *sites, "all", title=f"Labels: {key}")
    unlabelled = any(counts["", site] for site in sites)
    for name in (*manifest.classes[key], *([""] if unlabelled else [])):
        row = [counts[name, site] for site in sites]
        table.add_row(name or "no label", *map(str, row), str(sum(row)))
    return table


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    if not findings:
        return
    table = Table("", "where", "finding", title="Findings")
    for finding in findings[:MAX_FINDINGS_SHOWN]:
        colour = "red" if finding.level == "error" else "yellow"
        table.add_row(f"[{colour}]{finding.level}[/{colour}]", escape(finding.where), escape(finding.message))
    console.print(table)
    if len(findings) > MAX_FINDINGS_SHOWN:
        console.print(f"and {len(findings) - MAX_FINDINGS_SHOWN} more findings")
