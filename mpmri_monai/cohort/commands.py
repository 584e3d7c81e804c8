"""What `mpmri manifest` prints, and the tables that other commands print of a cohort."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpmri_monai.cohort.build import Finding, build_manifest
from mpmri_monai.cohort.labels import label_classes
from mpmri_monai.cohort.manifest import PROTOCOL, Manifest, save_manifest

MAX_FINDINGS_SHOWN = 30


def manifest_command(
    folder: Path,
    labels: Path,
    output: Path,
    name: str | None = None,
    *,
    classes: Sequence[str] = (),
    protocol: str = PROTOCOL,
    site_rules: Path | None = None,
    cache: Path | None = None,
    workers: int = 2,
) -> int:
    """Write the manifest of a cohort folder and print what it holds.

    Args:
        folder: the cohort's folder.
        labels: the label table, see `mpmri_monai.cohort.labels.read_labels`.
        output: where the manifest goes.
        name: of the cohort; made from the folder's name when not given.
        classes: for each label column ``column=first,second,…``; the grade when none is given.
        protocol: name of the protocol, or the path of its file.
        site_rules: file with the rules of all sites, or folder with ``<site>.yaml`` for each.
        cache: where the result of each study is kept; None keeps none.
        workers: processes that scan studies side by side.

    Returns:
        Exit status: 0 when every study of the table is in the manifest, else 1.
    """
    console = Console()
    manifest, findings = build_manifest(
        folder,
        labels,
        name or _name_of(folder),
        classes=label_classes(classes),
        truth="truth.csv" if (folder / "truth.csv").is_file() else None,
        protocol=protocol,
        site_rules=site_rules,
        cache=cache,
        workers=workers,
        progress=True,
    )
    save_manifest(manifest, output)
    print_counts(console, manifest)
    print_findings(console, findings)
    failed = sum(finding.level == "error" for finding in findings)
    if failed:
        console.print(f"[red]{failed} studies were left out.[/red]")
    console.print(f"Wrote {escape(str(output))}. Next: mpmri check {escape(str(output))}", soft_wrap=True)
    return 1 if failed else 0


def print_counts(console: Console, manifest: Manifest) -> None:
    """Print how many patients, studies and lesions there are, by class and site, and which sequences are missing."""
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


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print findings as a table, the first of many."""
    if not findings:
        return
    table = Table("", "where", "finding", title="Findings")
    for finding in findings[:MAX_FINDINGS_SHOWN]:
        colour = "red" if finding.level == "error" else "yellow"
        table.add_row(f"[{colour}]{finding.level}[/{colour}]", escape(finding.where), escape(finding.message))
    console.print(table)
    if len(findings) > MAX_FINDINGS_SHOWN:
        console.print(f"and {len(findings) - MAX_FINDINGS_SHOWN} more findings")


def _name_of(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", folder.resolve().name).strip("_")[:64] or "cohort"


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
