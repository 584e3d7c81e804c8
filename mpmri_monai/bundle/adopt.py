"""Putting a run's weights into a bundle, with everything another hospital needs to trust them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.errors import BundleError

CONTENTS = "contents.json"
TRAVELS = ("model.pt", "reference.json")


def adopt(run: Path, bundle: Path) -> None:
    """Copy the weights and the reference of a finished ``run`` into ``bundle``, and renew its table of contents.

    Raises:
        BundleError: the run is not finished, its weights are not those of its reference, ``bundle`` is none, or its
            metadata promises other channels or classes.
    """
    missing = [name for name in TRAVELS if not (run / name).is_file()]
    if missing:
        raise BundleError(
            expected=f"a finished run with {' and '.join(TRAVELS)}", found=f"no {' and no '.join(missing)} in {run}",
            fix="let the training end first",
        )  # fmt: skip
    if not (bundle / "configs" / "metadata.json").is_file():
        raise BundleError(expected="a bundle with configs/metadata.json", found=f"none in {bundle}")
    reference = artefacts.read_json(run / "reference.json")
    _refuse_other_channels(reference, artefacts.read_json(bundle / "configs" / "metadata.json"))
    if reference["weights_sha256"] != artefacts.file_digest(run / "model.pt"):
        raise BundleError(expected="the weights that the run's reference describes", found="others", where=str(run))
    for name in TRAVELS:
        with artefacts.whole_file(bundle / "models" / name) as part:
            shutil.copyfile(run / name, part)
    write_contents(bundle)


def _refuse_other_channels(reference: dict[str, Any], metadata: dict[str, Any]) -> None:
    """The metadata is where others read which sequence is which channel; nothing else would notice a wrong order."""
    data = metadata.get("network_data_format", {})
    made = {"inputs": reference["fusion"].split("-"), "outputs": reference["classes"]}
    for side, names in made.items():
        for spec in data.get(side, {}).values():
            promised = [name for _, name in sorted(spec["channel_def"].items(), key=lambda item: int(item[0]))]
            if promised != names:
                raise BundleError(
                    expected=f"{side} {' '.join(promised)}, as configs/metadata.json says",
                    found=" ".join(names),
                    fix="change channel_def, num_channels and the descriptions there first, or adopt another run",
                    code="E_CHANNELS",
                )


def write_contents(bundle: Path) -> None:
    """Write ``contents.json``: the sha256 of every file of the bundle."""
    artefacts.write_json(bundle / CONTENTS, contents(bundle))


def contents(bundle: Path) -> dict[str, str]:
    """Return the sha256 of every file under ``bundle`` by its relative name; hidden files and runs are left out."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file())
    relative = {path: path.relative_to(bundle) for path in files}
    return {
        name.as_posix(): artefacts.file_digest(path)
        for path, name in relative.items()
        if name.as_posix() != CONTENTS
        and not any(part.startswith(".") or part in ("runs", "__pycache__") for part in name.parts)
    }
