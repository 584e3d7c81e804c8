"""A cohort checked study by study: headers, images, masks, and how much of each lesion every sequence covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpmri_monai.artefacts import whole_file, write_json
from mpmri_monai.cohort import Finding, Manifest
from mpmri_monai.cohort.check import by_severity, cohort_findings, single_studies
from mpmri_monai.cohort.kept import kept_results
from mpmri_monai.report.opened import Opened, facts, open_study, study_key
from mpmri_monai.samples.coverage import coverage_table

SCHEMA = "mpmri-monai/check/1"
COVERED = 0.99
"""A sequence that covers less of a lesion is reported (part of its volume)."""

SEQUENCE_COLUMNS = (
    *("patient", "study", "site", "sequence", "series_number", "volume", "orientation", "echo_time_ms"),
    *("phase", "time_s", "columns", "rows", "slices", "column_mm", "row_mm", "slice_mm", "covered"),
)
"""A row a study and sequence; ``covered`` is the smallest covered part of any lesion."""
LESION_COLUMNS = ("patient", "study", "site", "lesion", "drawn_on", "volume_ml", "warnings")
"""A row a lesion; then its labels, and ``covered_<sequence>``."""


@dataclass(frozen=True)
class CohortCheck:
    """What was found in a cohort."""

    findings: tuple[Finding, ...]
    """Errors before warnings."""
    sequences: pd.DataFrame
    """Columns `SEQUENCE_COLUMNS`."""
    lesions: pd.DataFrame
    """Columns `LESION_COLUMNS`, the label keys, and ``covered_<sequence>`` (0…1, empty where there is no image)."""


def check_cohort(
    manifest: Manifest, cache: Path | None = None, workers: int = 0, progress: bool = False
) -> CohortCheck:
    """Check every study of a manifest; a study that has not changed since it was checked is not read again.

    Args:
        manifest: the cohort.
        cache: where the result of each study is kept; None keeps none.
        workers: processes that check studies side by side; each holds one study. 0 or 1 checks in this process.
        progress: show a bar.
    """
    jobs = single_studies(manifest)
    keys = [""] * len(jobs) if cache is None else [study_key(job) for job in jobs]
    kept = None if cache is None else Path(cache) / "checks"
    description = "Checking studies" if progress else None
    results = list(kept_results(_check_study, jobs, keys, kept, workers, description))
    findings = [*cohort_findings(manifest), *(Finding(**entry) for result in results for entry in result["findings"])]
    covered = [f"covered_{sequence}" for sequence in manifest.sequences]
    lesions = [row for result in results for row in result["lesions"]]
    return CohortCheck(
        tuple(by_severity(findings)),
        pd.DataFrame([row for result in results for row in result["sequences"]], columns=list(SEQUENCE_COLUMNS)),
        pd.DataFrame(lesions, columns=[*LESION_COLUMNS, *manifest.classes, *covered]),
    )


def write_check(check: CohortCheck, manifest: Manifest, folder: Path) -> list[Path]:
    """Write ``check.json``, ``sequences.csv`` and ``lesions.csv`` into a folder and return their paths."""
    content = {
        "schema": SCHEMA,
        "cohort": manifest.name,
        "findings": [asdict(finding) for finding in check.findings],
        "sequences": _records(check.sequences),
        "lesions": _records(check.lesions),
    }
    paths = [folder / name for name in ("check.json", "sequences.csv", "lesions.csv")]
    write_json(paths[0], content)
    for path, table in zip(paths[1:], (check.sequences, check.lesions), strict=True):
        with whole_file(path) as part:
            table.to_csv(part, index=False, lineterminator="\n")
    return paths


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(column): value for column, value in row.items()} for row in rows]


def _check_study(manifest: Manifest) -> dict[str, Any]:
    """Return findings and table rows of the one study of a manifest, as JSON-like data."""
    opened, study = open_study(manifest), manifest.studies[0]
    grids = {sequence: stack.geometry for sequence, stack in opened.stacks.items()}
    covered = coverage_table(opened.lesions, grids)
    who = {"patient": study.patient, "study": study.study, "site": study.site}
    lesions = []
    for lesion in study.lesions:
        if lesion.id in opened.lesions:
            mask = opened.lesions[lesion.id]
            row = {"lesion": lesion.id, "drawn_on": mask.drawn_on, "volume_ml": round(mask.volume_ml, 4)}
            row["warnings"] = "; ".join(opened.cautions.get(lesion.id, ()))
            parts = {f"covered_{name}": round(part, 4) for name, part in covered[lesion.id].items()}
            lesions.append({**who, **row, **lesion.labels, **parts})
    findings = [
        *opened.inspection.findings,
        *(Finding("error", study.study, f"{name}: {why}") for name, why in opened.unread.items()),
        *(Finding("error", study.study, why) for why in opened.faults),
        *(Finding("warning", study.study, message) for message in _mask_warnings(opened, covered)),
    ]
    return {
        "findings": [asdict(finding) for finding in findings],
        "sequences": [{**who, **row} for row in _sequence_rows(opened, covered)],
        "lesions": lesions,
    }


def _sequence_rows(opened: Opened, covered: dict[str, dict[str, float]]) -> Iterator[dict[str, Any]]:
    for sequence, stack in opened.stacks.items():
        columns, rows, slices = stack.geometry.shape
        column_mm, row_mm, slice_mm = (round(value, 4) for value in stack.geometry.spacing_mm)
        volume = opened.inspection.volumes.get(sequence)
        parts = [of[sequence] for of in covered.values()]
        yield {
            "sequence": sequence,
            **(facts(volume) if volume is not None else {}),
            **{"columns": columns, "rows": rows, "slices": slices},
            **{"column_mm": column_mm, "row_mm": row_mm, "slice_mm": slice_mm},
            "covered": round(min(parts), 4) if parts else None,
        }


def _mask_warnings(opened: Opened, covered: dict[str, dict[str, float]]) -> Iterator[str]:
    for lesion, cautions in opened.cautions.items():
        for caution in cautions:
            yield f"lesion {lesion}: {caution}"
    for lesion, parts in covered.items():
        for part in sorted({round(part, 2) for part in parts.values() if part < COVERED}):
            names = [sequence for sequence, value in parts.items() if round(value, 2) == part]
            yield f"W_COVER: {_together(names)} {part:.0%} of lesion {lesion}"


def _together(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'covers' if len(names) == 1 else 'cover'}"
