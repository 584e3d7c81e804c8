"""Putting a run's weights into a bundle, with everything another hospital needs to trust them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.errors import BundleError

CONTENTS = "contents.json"
METADATA = "configs/metadata.json"
PROVENANCE = "provenance.json"
"""Made by packing, from the other files of the bundle."""
TRAVELS = ("model.pt", "reference.json")
LEFT_OUT = ("runs", "__pycache__")
"""Folders of a bundle that do not travel; nor does anything whose name begins with a dot."""


def adopt(run: Path, bundle: Path) -> None:
    """Copy the weights and the reference of a finished ``run`` into ``bundle``, and renew its table of contents.

    What a self-test of the bundle expects is of the weights before: `selftest.renew` comes next.

    Raises:
        BundleError: the run is not finished, its weights are not those of its reference, ``bundle`` is none, or its
            metadata promises other channels, required sequences or classes.
    """
    missing = [name for name in TRAVELS if not (run / name).is_file()]
    if missing:
        raise BundleError(
            expected=f"a finished run with {' and '.join(TRAVELS)}", found=f"no {' and no '.join(missing)} in {run}",
            fix="let the training end first",
        )  # fmt: skip
    reference = read_table(run, "reference.json")
    if not {"fusion", "classes", "weights_sha256"} <= reference.keys():
        raise BundleError(
            expected="a run that trained a classifier of MR sequences", found="one of another kind", where=str(run),
            fix="its weights can start trainings: --pretrained",
        )  # fmt: skip
    refuse_other_channels(reference, read_table(bundle, METADATA))
    if reference["weights_sha256"] != artefacts.file_digest(run / "model.pt"):
        raise BundleError(expected="the weights that the run's reference describes", found="others", where=str(run))
    for name in TRAVELS:
        with artefacts.whole_file(bundle / "models" / name) as part:
            shutil.copyfile(run / name, part)
    (bundle / PROVENANCE).unlink(missing_ok=True)  # of a packed file that it came in; packing makes a new one
    write_contents(bundle)


def read_table(bundle: Path, name: str) -> dict[str, Any]:
    """Return the JSON file ``name`` of a bundle or a run; raise BundleError when there is no table in it."""
    content, found = None, "none that can be read"
    try:
        content = artefacts.read_json(bundle / name)
    except FileNotFoundError:
        found = "none"
    except (OSError, ValueError, RecursionError):
        pass
    if not isinstance(content, dict):
        raise BundleError(expected=f"a folder with {name}", found=found, where=bundle.name)
    return content


def refuse_other_channels(reference: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Raise BundleError unless the metadata names the sequences and classes of ``reference``, in its order.

    The metadata is where others read which sequence is which channel, and where it says so, which a study must have;
    nothing else would notice a wrong order.
    """
    needed, promised = reference.get("required", reference["fusion"].split("-")), metadata.get("required_sequences")
    if promised is not None and promised != needed:
        raise BundleError(
            expected=f"required sequences {' '.join(promised) or 'none'}, as configs/metadata.json says",
            found=" ".join(needed) or "none",
            fix="change required_sequences there first, or train with --required_sequences",
            code="E_CHANNELS",
        )
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


def write_contents(bundle: Path, under: str = "") -> None:
    """Write ``contents.json``: the sha256 of every file of the bundle, or anew of those whose name begins ``under``.

    Raises:
        BundleError: there is no such folder; E_LINK, there is a link or something else that is no plain file.
    """
    if not bundle.is_dir():
        raise BundleError(expected="the folder of a bundle", found="none", where=str(bundle))
    found = contents(bundle)
    if under:
        found = {name: digest for name, digest in found.items() if name.startswith(under)}
        listed = artefacts.read_json(bundle / CONTENTS) if (bundle / CONTENTS).is_file() else {}
        found |= {name: digest for name, digest in listed.items() if not name.startswith(under)}
    artefacts.write_json(bundle / CONTENTS, dict(sorted(found.items())))


def contents(bundle: Path) -> dict[str, str]:
    """Return the sha256 of every file under ``bundle`` by its relative name, in the order of the names.

    Raises:
        BundleError: E_LINK, there is a link or something else that is no plain file.
    """
    return {name: artefacts.file_digest(path) for name, path in travelling_files(bundle).items() if name != CONTENTS}


def travelling_files(bundle: Path) -> dict[str, Path]:
    """Return the files of ``bundle`` by their relative names; hidden ones and runs are left out.

    Raises:
        BundleError: E_LINK, there is a link or something else that is no plain file: what it names may lie anywhere.
    """
    files, odd = {}, []
    for folder, folders, names in os.walk(bundle):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in LEFT_OUT]
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                odd.append(path.relative_to(bundle).as_posix())
            elif name in names and not name.startswith(".") and name not in LEFT_OUT:
                files[path.relative_to(bundle).as_posix()] = path
    if odd:
        raise BundleError(
            expected="plain files and folders only",
            found=f"links or special files: {', '.join(sorted(odd))}",
            where=bundle.name,
            fix="put the files themselves in their place",
            code="E_LINK",
        )
    return dict(sorted(files.items()))


def refuse_unlike_contents(bundle: Path) -> int:
    """Return how many files ``contents.json`` lists, when they are the files of the bundle, byte for byte.

    Raises:
        BundleError: E_CONTENTS, names every file that is changed, missing or not listed; E_LINK.
    """
    fix = f"if the change was on purpose: mpmri bundle contents {bundle}; else get the bundle again"
    try:
        listed = artefacts.read_json(bundle / CONTENTS)
    except (OSError, ValueError) as error:
        found = "none" if isinstance(error, OSError) else "something that is no JSON"
        raise BundleError(expected=CONTENTS, found=found, where=bundle.name, fix=fix, code="E_CONTENTS") from error
    if not isinstance(listed, dict):
        raise BundleError(expected=f"a table in {CONTENTS}", found="something else", fix=fix, code="E_CONTENTS")
    there = contents(bundle)
    differences = {
        "changed": [name for name in there if name in listed and listed[name] != there[name]],
        "missing": [str(name) for name in listed if name not in there],
        "not listed": [name for name in there if name not in listed],
    }
    if any(differences.values()):
        raise BundleError(
            expected=f"the files that {CONTENTS} lists, with their sha256",
            found="; ".join(f"{what}: {', '.join(names)}" for what, names in differences.items() if names),
            where=bundle.name,
            fix=fix,
            code="E_CONTENTS",
        )
    return len(there)
