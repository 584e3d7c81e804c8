"""The files of weights in a bundle, and the record beside each: what it was trained on, and which network it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.errors import BundleError, WeightsError

MODEL = Path("models", "model.pt")
"""The weights that answer; others in the same folder are there to start trainings from."""


def weights_files(bundle: Path) -> list[Path]:
    """Return the files of weights in ``bundle``, in the order of their names."""
    return sorted(path for path in (bundle / "models").glob("*.pt") if path.is_file())


def record_of(weights: Path) -> dict[str, Any]:
    """Return the record of a file of weights: reference.json for model.pt, else the JSON file of the same name.

    Raises:
        BundleError: E_ORIGIN, there is none, or it cannot be read, or it does not say of which network and data.
        WeightsError: it is about other weights, or they are not there.
    """
    path = weights.with_name("reference.json") if weights.name == MODEL.name else weights.with_suffix(".json")
    wanted = f"{path.name} that says what {weights.name} was trained on, and which network it fits"
    fix = "put the run's own record beside the weights (mpmri bundle adopt does), or take the weights out"
    try:
        record = artefacts.read_json(path)
    except (OSError, ValueError) as error:
        found = "none" if isinstance(error, OSError) else "something that is no JSON"
        raise BundleError(expected=wanted, found=found, fix=fix, code="E_ORIGIN") from error
    tables = ("network", "trained_on")
    if not isinstance(record, dict) or not all(isinstance(record.get(name), dict) for name in tables):
        raise BundleError(expected=wanted, found="none of that in it", fix=fix, code="E_ORIGIN")
    found = artefacts.file_digest(weights) if weights.is_file() else None
    if found is None or record.get("weights_sha256") != found:
        raise WeightsError(
            expected=f"the weights that {path.name} describes",
            found="none" if found is None else "others",
            where=f"models/{weights.name}",
            fix="take both files from the same run",
            code="E_WEIGHTS",
        )
    return record
