"""A new version of a bundle, made at a hospital from an older one: other weights or another calibration, and a history.

The older bundle is never written to.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import CONTENTS, METADATA, PROVENANCE, read_table, write_contents
from mpmri_monai.errors import BundleError, MpmriError

REFERENCE = "models/reference.json"
HISTORY = "history"
"""Key of the reference: how the weights and their calibration came to be, the oldest step first."""
SELF_TEST = "selftest"
LEFT_BEHIND = (CONTENTS, PROVENANCE, SELF_TEST, "runs", "__pycache__", ".*")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")

logger = logging.getLogger(__name__)


def new_version(
    bundle: Path,
    target: Path,
    change: str,
    reference: Mapping[str, Any],
    weights: Path | None = None,
    details: Mapping[str, Any] | None = None,
) -> str:
    """Write ``bundle`` with a changed model to ``target`` as its next minor version; return that version.

    The metadata's changelog and the reference's ``history`` say what was changed, and the history from which weights.
    A self-test is made anew, since the new version answers otherwise.

    Args:
        bundle: folder of the older version.
        target: folder to create.
        change: what was done, in a sentence without identifiers.
        reference: of the new version, complete but for its history.
        weights: new ``model.pt``; None keeps the old one.
        details: further JSON-like content of the history's new entry.

    Raises:
        BundleError: the older bundle lacks its metadata or reference, or its version is no x.y.z.
        OutputError: ``target`` exists, or cannot be written.
    """
    metadata, older = read_table(bundle, METADATA), read_table(bundle, REFERENCE)
    version = next_version(str(metadata.get("version")))
    step = {
        "version": version,
        "from": {"version": metadata["version"], "weights_sha256": older["weights_sha256"]},
        "change": change,
        **(details or {}),
    }
    metadata |= {"version": version, "changelog": {version: change, **metadata.get("changelog", {})}}
    with artefacts.whole_folder(target) as part:
        shutil.copytree(bundle, part, ignore=shutil.ignore_patterns(*LEFT_BEHIND), dirs_exist_ok=True)
        if weights is not None:
            shutil.copyfile(weights, part / "models" / "model.pt")
        history = [*older.get(HISTORY, ()), step]
        artefacts.write_json(part / REFERENCE, {**reference, HISTORY: history})
        artefacts.write_json(part / METADATA, metadata)
        _renew_self_test(bundle, part)
        write_contents(part)
    return version


def _renew_self_test(older: Path, newer: Path) -> None:
    """Write the self-test of the new version, on the study of the old one's; a bundle without one gets none."""
    if not (older / SELF_TEST).is_dir():
        return
    from mpmri_monai.bundle.selftest import read_expected, renew

    try:
        renew(newer, int(read_expected(older)["study"]["number"]))
    except MpmriError as error:  # the new version is whole without it, and `mpmri bundle verify` says that it has none
        logger.warning("the new version has no self-test: %s", error)


def next_version(version: str) -> str:
    """Return the next minor version: 0.3.0 after 0.2.7."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise BundleError(expected="a bundle whose metadata has a version such as 0.2.0", found=repr(version))
    return f"{found[1]}.{int(found[2]) + 1}.0"
