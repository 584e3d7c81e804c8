"""`mpmri audit`: whether anything in a run made its test patients' score flatter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpmri_monai import artefacts
from mpmri_monai.bundle.provenance import SCRATCH, WEIGHTS, count_seen, seen_by, weights_digest
from mpmri_monai.bundle.run_folder import IMAGES
from mpmri_monai.cohort import SplitSettings, audit, read_splits
from mpmri_monai.errors import BundleError, MpmriError
from mpmri_monai.evaluation import read_predictions
from mpmri_monai.sequences import SEQUENCES, fusion
from mpmri_monai.training.classical import NETWORK_HEAD

NORMALISATION = "each volume is normalised by itself"
"""How every store is made (samples.intensity): nothing is fitted over patients."""
STANDARDISATION = "the mean and the range that the network standardises by are those of these samples"
STANDARDISED = "standardised("
"""What a configuration's network fits mean and range with (`bundle.recipes`)."""
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
    config, fit, splits = _record(run)
    predictions = _if_there(run / "predictions.csv", read_predictions)
    images = _if_there(run / IMAGES, _image_table)
    data = _if_there(run / "environment.json", _recorded_data) or {}
    parts = {"train": _data_of(config, "train", "trainer"), "validate": _data_of(config, "validate", "evaluator")}
    normalisation, network = NORMALISATION, str(config.get("network")).replace("::", "#")
    if STANDARDISED in network:
        normalisation += f"; {STANDARDISATION}"
        parts["train"] = parts["train"] if ", @train#dataset, @size)" in network else network
    outer = audit.rows_of(splits, audit.Fit(fit.repeat, fit.outer))
    tested = sorted(set(outer.loc[outer["role"] == "test", "patient"]))
    return [
        audit.check_unit(splits),
        audit.check_roles(splits),
        audit.check_images(images, splits, fit),
        audit.check_copies(predictions),
        audit.check_recorded_splits(splits, data.get("splits")),
        audit.check_predicted_roles(predictions, splits, fit, _imaged(images, config)),
        audit.check_parts(parts, normalisation),
        audit.check_epoch(parts, splits, fit, _validated(run, config)),
        audit.check_fitted(_fitted(run, config, tested), len(tested)),
        _pretraining(str(config.get("pretrained", SCRATCH)), data.get(WEIGHTS), tested),
    ]


def _record(run: Path) -> tuple[dict[str, Any], audit.Fit, pd.DataFrame]:
    """Return the configuration of a run, the fit that it trained, and its splits."""
    try:
        config = dict(artefacts.read_json(run / "config.json"))
        split = SplitSettings(**config.get("split", {}))
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(expected="the record of a run", found="one that cannot be read", where=str(run)) from error
    fit, splits = audit.Fit(split.repeat, split.fold, split.inner_name), read_splits(run / "splits.csv")
    if audit.rows_of(splits, fit).empty:
        raise BundleError(
            expected="the fit of the configuration in splits.csv",
            found="none of its rows",
            where=str(run),
            fix="put the splits.csv back that the run was started with",
        )
    return config, fit, splits


def _data_of(config: dict[str, Any], part: str, engine: str) -> str:
    """Return the samples that an engine reads; everything about its part when that is put together in another way."""
    group = config.get(part)
    try:
        loader = group[engine]["train_data_loader" if part == "train" else "val_data_loader"]
        read = [str(name).replace("::", "#") for name in (loader, group["dataloader"]["dataset"])]  # MONAI knows both
        if read == [f"@{part}#dataloader", f"@{part}#dataset"]:
            return str(group["dataset"]["data"])
    except (KeyError, TypeError):
        pass
    return str(group)


def _if_there(path: Path, read: Any) -> Any:
    """Return what ``read`` makes of a file, or None when there is none or it is damaged."""
    try:
        return read(path) if path.is_file() else None
    except (OSError, ValueError, KeyError, TypeError, MpmriError):
        return None


def _image_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)[["patient", "study", "sequence", "voxels"]]


def _recorded_data(path: Path) -> dict[str, str]:
    """Return the hashes of what the run was started with."""
    return dict(artefacts.read_json(path)["data"])


def _imaged(images: pd.DataFrame | None, config: dict[str, Any]) -> set[str] | None:
    """Return the patients with an image of the fusion; None when that cannot be said."""
    if images is None or "fusion" not in config:
        return None
    known = sorted({*SEQUENCES, *images["sequence"]})
    shown = images["sequence"].isin(fusion(config["fusion"], known))
    return set(images.loc[shown, "patient"])


def _validated(run: Path, config: dict[str, Any]) -> bool | None:
    """Return whether the learning curves hold validation metrics; None when there are none to look at.

    With a classical head there are no epochs to choose from.
    """
    if config.get("head", NETWORK_HEAD) != NETWORK_HEAD:
        return False
    history = _if_there(run / "history.csv", pd.read_csv)
    return None if history is None else bool(history.filter(like="val_").notna().any(axis=None))


def _fitted(run: Path, config: dict[str, Any], tested: list[str]) -> dict[str, int] | None:
    """Return how many test patients each fitted thing of the run's reference saw; None when that is not known."""
    path = run / "reference.json"
    if not path.is_file() and config.get("results") == "predictions":
        return {}
    try:
        entries = artefacts.read_json(path)["fitted"]
        return {str(entry["kind"]): count_seen([entry], tested) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _pretraining(pretrained: str, began_with: str | None, tested: list[str]) -> audit.Check:
    """Look for test patients among those whom the weights that training started from have seen."""
    seen = seen_by(pretrained)
    if seen is None:
        why = "no reference.json beside the pretrained weights says which patients they have seen"
        return audit.check_pretraining(None, len(tested), why)
    if weights_digest(pretrained) != began_with:
        why = "the pretrained weights are not, or not known to be, those that training began with"
        return audit.check_pretraining(None, len(tested), why)
    patients = sum(len(one["patients"]) for one in seen)
    why = f"they have seen {patients} patients, told apart by their codes" if seen else "they have seen no patients"
    if pretrained == SCRATCH:
        why = "trained from scratch"
    return audit.check_pretraining(count_seen(seen, tested), len(tested), why)
