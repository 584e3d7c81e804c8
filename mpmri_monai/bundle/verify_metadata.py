"""Checks of metadata.json: its schema, its terms, the versions that it names, and the channels that it promises."""

from __future__ import annotations

from importlib import metadata as installed
from pathlib import Path
from typing import Any

import jsonschema

from mpmri_monai import artefacts, sequences
from mpmri_monai.bundle.adopt import METADATA, read_table, refuse_other_channels
from mpmri_monai.bundle.pack import refuse_without_terms
from mpmri_monai.bundle.verify_outcome import DoesNotApply
from mpmri_monai.bundle.weights_record import MODEL, record_of
from mpmri_monai.errors import BundleError

SCHEMA = Path(__file__).with_name("meta_schema_20240725.json")
NAMED_ALONE = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
"""Keys of metadata.json for one package each."""
LONGEST = 120
"""Characters of a complaint of the schema that are repeated."""


def check_metadata(bundle: Path) -> str:
    """Return which schema the metadata follow; raise BundleError with every complaint at once."""
    content = read_table(bundle, METADATA)
    schema = jsonschema.Draft202012Validator(artefacts.read_json(SCHEMA))
    complaints = [
        f"{'.'.join(map(str, error.absolute_path)) or 'metadata'}: {error.message[:LONGEST]}"
        for error in sorted(schema.iter_errors(content), key=_place)
    ]
    if content.get("version") not in content.get("changelog", {}):
        complaints.append(f"changelog: says nothing of version {content.get('version')}")
    if complaints:
        raise BundleError(
            expected=f"metadata by {SCHEMA.stem}", found="; ".join(complaints), fix="correct configs/metadata.json"
        )
    return f"version {content['version']}, schema {SCHEMA.stem}"


def _place(error: jsonschema.ValidationError) -> list[str]:
    return [*map(str, error.absolute_path), error.message]


def check_terms(bundle: Path) -> str:
    """Return licence and intended use; raise BundleError when the metadata do not tell both."""
    content = read_table(bundle, METADATA)
    refuse_without_terms(content)
    return f"{content['license']}; {content['intended_use']}"


def check_versions(bundle: Path) -> str:
    """Return where the versions here are others than those the bundle was made with.

    Raises:
        BundleError: a package is missing, or of another major version.
    """
    content = read_table(bundle, METADATA)
    wanted = {package: content[key] for key, package in NAMED_ALONE.items() if key in content}
    wanted |= content.get("required_packages_version", {})
    here = {package: _version(package) for package in wanted}
    unfit = [
        f"{package} {here[package] or 'is not installed'} (bundle: {version})"
        for package, version in wanted.items()
        if (here[package] or "").split(".")[0] != str(version).split(".")[0]
    ]
    if unfit:
        raise BundleError(
            expected="the packages that the bundle was made with, in the same major version",
            found="; ".join(unfit),
            fix="install those versions, in an environment of their own",
        )
    others = [
        f"{package} {here[package]} for {version}" for package, version in wanted.items() if here[package] != version
    ]
    return f"others than the bundle's: {', '.join(others)}" if others else f"the bundle's own, {len(wanted)} packages"


def _version(package: str) -> str | None:
    """Return the installed version of a package, without what a build adds to it (2.13.0+cpu), or None."""
    try:
        return installed.version(package).partition("+")[0]
    except installed.PackageNotFoundError:
        return None


def check_channels(bundle: Path) -> str:
    """Return which sequences are the channels; raise BundleError where metadata, training and weights disagree."""
    content, train = read_table(bundle, METADATA), artefacts.read_json(bundle / "configs" / "train.json")
    data = content.get("network_data_format", {})
    _refuse_miscounted(data)
    if "fusion" not in train:
        raise DoesNotApply("its channels are no MR sequences")
    promised = _names(data["inputs"]["image"])
    if list(sequences.fusion(train["fusion"], promised)) != promised:
        raise BundleError(
            expected=f"the channels of configs/metadata.json, {' '.join(promised)}",
            found=f"fusion {train['fusion']} in configs/train.json",
            fix="write the same sequences into both, in the same order",
            code="E_CHANNELS",
        )
    if (bundle / MODEL).is_file():
        refuse_other_channels(record_of(bundle / MODEL), content)
    return "-".join(promised)


def _refuse_miscounted(data: dict[str, Any]) -> None:
    wrong = [
        f"{side}.{name}: {spec['num_channels']} channels, {len(spec['channel_def'])} described"
        for side, specs in data.items()
        for name, spec in specs.items()
        if "channel_def" in spec and sorted(map(int, spec["channel_def"])) != list(range(spec["num_channels"]))
    ]
    if wrong:
        raise BundleError(
            expected="a channel_def of every channel, counted from 0", found="; ".join(wrong),
            fix="correct configs/metadata.json", code="E_CHANNELS",
        )  # fmt: skip


def _names(spec: dict[str, Any]) -> list[str]:
    return [name for _, name in sorted(spec["channel_def"].items(), key=lambda item: int(item[0]))]
