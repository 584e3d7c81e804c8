"""The report of a run: one HTML file with everything inside, made from the run folder, the samples and the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpmri_monai import sequences as vocabulary
from mpmri_monai.artefacts import whole_file, write_text
from mpmri_monai.evaluation import coverage
from mpmri_monai.report import tables, wording
from mpmri_monai.report.calibrated import calibrated
from mpmri_monai.report.levels import level_names
from mpmri_monai.report.pictures import (
    error_pictures,
    example_pictures,
    interval_pictures,
    performance_pictures,
    signal_picture,
)
from mpmri_monai.report.run_folder import RunFolder, read_run
from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.report.template import template
from mpmri_monai.report.tsic import curve_rows, tsic_curves
from mpmri_monai.sequences import DCE, Task

if TYPE_CHECKING:
    from mpmri_monai.cohort import Manifest
    from mpmri_monai.samples import Store

FEW_LESIONS = 10
"""Below this many test lesions of a class, the report says that the class rests on few."""


def write_report(
    run: Path,
    store: Store,
    manifest: Manifest,
    task: Task,
    fusion: str | Sequence[str],
    audit: Sequence[Mapping[str, str]] = (),
) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into a run folder from what lies there.

    Args:
        run: the run folder with ``metrics.json``, ``predictions.csv`` and ``splits.csv``; of ``history.csv``,
            ``config.json`` and ``environment.json`` those are used that are there.
        store: the samples (a ``samples.Store``) that the run used.
        manifest: the cohort (a ``cohort.Manifest``); one with ``truth`` is synthetic, and the report says so.
        task: the question that was asked.
        fusion: the sequences that the network saw.
        audit: the leak audit of the run as rows of ``check, outcome, found``; none when it was not made.

    Returns:
        The path of the report. The same run gives the same bytes.

    Raises:
        EvaluationError: the run folder is not finished.
        OutputError: a file cannot be written.
    """
    run = Path(run)
    folder = read_run(run)
    names = vocabulary.fusion(fusion, manifest.sequences)
    roles = tables.sample_roles(store.table, folder.splits, tables.fold(folder.predictions))
    results = tables.lesion_results(folder.predictions, store.table, task, folder.metrics["role"])
    curves = tsic_curves(store.table, tables.sample_classes(store.table, task), task.classes)
    nouns = level_names(store.table, store.settings.size)
    calibration = calibrated(folder.metrics.get("calibration"), nouns["lesion"])
    pictures = {
        "intervals": interval_pictures(folder, nouns),
        "performance": performance_pictures(folder, nouns),
        "signal": [signal_picture(curves, task)] if set(DCE) & set(manifest.sequences) else [],
        "lesions": [
            *example_pictures(store, manifest.sequences, task, names, roles),
            *error_pictures(store, task, names, results, nouns),
        ],
        "calibration": calibration.pictures if calibration else (),
    }
    for picture in (picture for group in pictures.values() for picture in group):
        with whole_file(run / "figures" / f"{picture.key}.png") as part:
            part.write_bytes(picture.content)
    content = _content(folder, store, manifest, task, names, nouns) | {
        "cohort": {"header": tables.cohort_header(roles), "rows": tables.cohort_rows(store.table, task, roles)},
        "lesions": tables.lesion_rows(results, task, nouns["lesion"]),
        "pictures": pictures,
        "calibration": calibration,
        "audit": [[row["check"], row["outcome"], row["found"]] for row in audit],
        "leaks": [f"{row['check']} ({row['found']})" for row in audit if row["outcome"] == "LEAK"],
        "tsic": [] if curves is None else curve_rows(curves),
    }
    write_text(run / "report.html", template("run.html").render(content))
    return run / "report.html"


def _content(
    folder: RunFolder,
    store: Store,
    manifest: Manifest,
    task: Task,
    names: Sequence[str],
    nouns: Mapping[str, str],
) -> dict[str, Any]:
    metrics, noun = folder.metrics, nouns["lesion"]
    levels = [name for name in nouns if name in metrics["levels"]]
    units = set(folder.splits["unit"])
    missing = tables.missing_rows(store.table, manifest.sequences)
    return {
        "research_only": RESEARCH_ONLY,
        "task": task,
        "fusion": vocabulary.fusion_name(names),
        "cohort_name": manifest.name,
        "synthetic": manifest.truth is not None,
        "split_units": sorted(units - {"patient"}),
        "noun": noun,
        "cases": wording.several(noun),
        "by_slice": "slice" in nouns,
        "answer": wording.answer_sentences(metrics, noun),
        "headline": tables.headline_rows(metrics, noun),
        "levels": [{"name": nouns[name], **metrics["levels"][name]} for name in levels],
        "metrics": tables.metric_rows(metrics, nouns),
        "operating": {"header": tables.operating_header(metrics), "rows": tables.operating_rows(metrics)},
        "percent": wording.percent(metrics),
        "bootstraps": metrics["bootstraps"],
        "confusion": metrics["levels"]["lesion"]["confusion"],
        "classes": metrics["classes"],
        "sites": sorted({study.site for study in manifest.studies}),
        "cross_validated": tables.fold(folder.predictions) is None,
        "unlabelled": metrics["unlabelled"],
        "few": _few(metrics, noun),
        "coverage": wording.coverage_sentence(metrics["levels"]["lesion"], coverage),
        "interval_method": metrics.get("intervals", {}).get("method", ""),
        "pooling": tables.pooling_rows(metrics),
        "repeats": tables.repeat_rows(metrics, nouns),
        "missing": missing,
        "missing_used": [row[0] for row in missing if row[0] in names],
        "failed": [[study, wording.without_folders(str(why))] for study, why in sorted(store.failed.items())],
        "made": _made(folder, store, manifest, names),
        "settings": tables.setting_rows(folder.config),
        "has_ceiling": bool(metrics.get("ceiling")),
        "has_baseline": bool(metrics.get("baseline")),
        "has_history": not folder.history.empty,
    }


def _few(metrics: dict[str, Any], noun: str) -> list[str]:
    counts = wording.class_counts(metrics["levels"]["lesion"], metrics["classes"])
    return [f"{name} ({wording.plural(count, noun)})" for name, count in counts.items() if count < FEW_LESIONS]


def _made(folder: RunFolder, store: Store, manifest: Manifest, names: Sequence[str]) -> list[list[str]]:
    command = folder.environment.get("command")
    epochs = "not recorded" if folder.history.empty else f"{int(folder.history['epoch'].iloc[-1])}"
    return [
        ["command", tables.shown(command) if command else "not recorded"],
        ["fusion", vocabulary.fusion_name(names)],
        ["seed", str(folder.config.get("seed", "not recorded"))],
        ["epochs trained", epochs],
        *tables.environment_rows(folder.environment),
        ["manifest content (sha256)", manifest.digest()],
        ["samples store (sha256)", store.digest()],
        *([f"{name} (sha256)", value] for name, value in folder.digests.items()),
    ]
