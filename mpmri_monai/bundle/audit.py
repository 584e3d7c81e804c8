"""`mpmri audit`: whether anything in a run made its test patients' score flatter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpmri_monai import artefacts
from mpmri_monai.bundle.provenance import SCRATCH, count_seen, seen_by
from mpmri_monai.bundle.run_folder import IMAGES
from mpmri_monai.cohort import OUTER_FIT, SplitSettings, audit, read_splits
from mpmri_monai.errors import BundleError, MpmriError
from mpmri_monai.evaluation import read_predictions

NORMALISATION = "each volume is normalised by itself"
"""How every store is made (samples.intensity): nothing is fitted over patients."""
COLOURS = {audit.PASSED: "green", audit.LEAK: "bold red", audit.UNKNOWN: "yellow"}


def audit_run(folder: Path) -> list[dict[str, str]]:
    """Return the leak audit of a run, or of all runs of an experiment, as rows ``check, outcome, found``.

    ``outcome`` is ``passed``, ``LEAK`` or ``cannot tell``; ``found`` says why, with counts and, for a leak, its code.

    Raises:
        BundleError: ``folder`` is neither a run's nor an experiment's, or its record cannot be read.
    """
    folder = Path(folder)
    if (folder / "config.json").is_file():
        return [check.as_row() for check in _checks(folder)]
    runs = sorted(path.parent for path in (folder / "runs").rglob("config.json"))
    if not runs:
        raise BundleError(
            expected="the folder of a training run, or of an experiment with runs",
            found=f"neither in {folder}",
            fix="give the --output_dir of the training, or the --out of the experiment",
        )
    return [check.as_row() for check in audit.merged([_checks(run) for run in runs])]


def audit_command(folder: Path) -> int:
    """Print the leak audit of ``folder``; return the exit status: 1 when there is a leak, else 0."""
    rows = audit_run(folder)
    table = Table("check", "outcome", "found", title="Leak audit")
    for row in rows:
        colour = COLOURS[row["outcome"]]
        table.add_row(row["check"], f"[{colour}]{row['outcome']}[/{colour}]", escape(row["found"]))
    Console().print(table)
    leaks = sum(row["outcome"] == audit.LEAK for row in rows)
    unknown = sum(row["outcome"] == audit.UNKNOWN for row in rows)
    print(f"{len(rows)} checks: {leaks} leaks, {unknown} that cannot be told.")
    return 1 if leaks else 0


def _checks(run: Path) -> list[audit.Check]:
    config, splits = _record(run), read_splits(run / "splits.csv")
    split = SplitSettings(**config.get("split", {}))
    fit = audit.Fit(split.repeat, split.fold, split.inner_name)
    predictions = _if_there(run / "predictions.csv", read_predictions)
    parts = {name: config.get(name, {}).get("dataset", {}).get("data") for name in ("train", "validate")}
    outer = (splits["repeat"] == fit.repeat) & (splits["outer"] == fit.outer) & (splits["inner"] == OUTER_FIT)
    tested = sorted(set(splits.loc[outer & (splits["role"] == "test"), "patient"]))
    recorded = _if_there(run / "environment.json", artefacts.read_json) or {}
    return [
        audit.check_unit(splits),
        audit.check_roles(splits),
        audit.check_images(_if_there(run / IMAGES, _text_table), splits, fit),
        audit.check_copies(predictions),
        audit.check_recorded_splits(splits, recorded.get("data", {}).get("splits")),
        audit.check_predicted_roles(predictions, splits, fit),
        audit.check_parts(parts, NORMALISATION),
        audit.check_epoch(parts, splits, fit, _validated(run)),
        audit.check_fitted(_fitted(run, tested), len(tested)),
        _pretraining(str(config.get("pretrained", SCRATCH)), tested),
    ]


def _record(run: Path) -> dict[str, Any]:
    try:
        return artefacts.read_json(run / "config.json")
    except (OSError, ValueError) as error:
        raise BundleError(expected="the record of a run", found="one that cannot be read", where=str(run)) from error


def _if_there(path: Path, read: Any) -> Any:
    """Return what ``read`` makes of a file, or None when there is none or it is damaged."""
    try:
        return read(path) if path.is_file() else None
    except (OSError, ValueError, MpmriError):
        return None


def _text_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _validated(run: Path) -> bool | None:
    """Return whether the learning curves hold validation metrics; None when there are none to look at."""
    history = _if_there(run / "history.csv", pd.read_csv)
    return None if history is None else bool(history.filter(like="val_").notna().any(axis=None))


def _fitted(run: Path, tested: list[str]) -> dict[str, int]:
    """Return how many test patients each fitted thing of the run's reference saw."""
    reference = _if_there(run / "reference.json", artefacts.read_json) or {}
    return {str(entry["kind"]): count_seen([entry], tested) for entry in reference.get("fitted", ())}


def _pretraining(pretrained: str, tested: list[str]) -> audit.Check:
    """Look for test patients among those whom the weights that training started from have seen."""
    seen = seen_by(pretrained)
    if seen is None:
        why = "no reference.json beside the pretrained weights says which patients they have seen"
        return audit.check_pretraining(None, len(tested), why)
    why = f"they have seen {sum(len(one['patients']) for one in seen)} patients" if seen else "trained from scratch"
    return audit.check_pretraining(count_seen(seen, tested), len(tested), why)
