"""A bundle as one file that travels: equal files make equal archives, byte for byte, that say where they come from."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import (
    CONTENTS,
    METADATA,
    PROVENANCE,
    read_table,
    refuse_unlike_contents,
    travelling_files,
)
from mpmri_monai.bundle.unpack import MAX_BUNDLE_BYTES, MAX_MEMBERS, PLAIN_NAME, unpack
from mpmri_monai.bundle.weights_record import record_of, weights_files
from mpmri_monai.catalogue.containers.private_folder import PrivateFolder
from mpmri_monai.errors import BundleError

PROVENANCE_SCHEMA = "mpmri-monai/provenance/1"
TERMS = ("license", "intended_use")
"""Keys of metadata.json without which a bundle does not travel."""
VERSIONS = ("monai_version", "pytorch_version", "numpy_version", "required_packages_version")
TOLD_OF_WEIGHTS = ("trained_on", "recipe", "results", "test", "ceiling", "history", "command")
"""What provenance.json repeats of the record beside weights, as far as the record has it."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member: the first that a zip archive knows."""
PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
UNIX = 3


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yield the folder of a bundle: ``path`` itself, or what the packed file ``path`` holds, for as long as needed.

    A packed file is unpacked into a private folder in the cache, which is removed afterwards.

    Raises:
        BundleError: there is no such folder or file, or as `unpack.unpack`.
        OutputError: the cache cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise BundleError(expected="a bundle: a folder or a packed file", found="neither", where=str(path))
    private = PrivateFolder("bundles")
    try:
        with artefacts.clear_error(private.path):
            folder = unpack(path, private.path / "unpacked")
        yield folder
    finally:
        private.remove()


def pack(bundle: Path, out: Path) -> str:
    """Pack ``bundle`` into the zip archive ``out``; return the archive's sha256.

    Members are sorted, have one fixed time and are stored as they are: weights hardly compress, and what a compression
    gives differs between versions of its library. ``provenance.json`` is made anew, and ``contents.json`` lists it.

    Raises:
        BundleError: there is no such folder; the bundle's files are not those of its contents.json; there are links,
            or names that do not travel; the metadata tell no licence or no intended use; nothing tells where weights
            come from; ``out`` lies within the bundle.
        OutputError: the archive cannot be written.
    """
    bundle, out = Path(bundle).resolve(), Path(out)
    if not bundle.is_dir():
        raise BundleError(expected="the folder of a bundle", found=f"none at {bundle}", fix="name another")
    if out.resolve().is_relative_to(bundle):
        raise BundleError(expected="a place outside of the bundle", found=str(out), fix="name another file with -o")
    refuse_unlike_contents(bundle)
    files = {name: path for name, path in travelling_files(bundle).items() if name not in (CONTENTS, PROVENANCE)}
    _refuse_untravelled(bundle.name, files)
    record = _text(provenance(bundle))
    listed = artefacts.read_json(bundle / CONTENTS) | {PROVENANCE: hashlib.sha256(record).hexdigest()}
    made = {PROVENANCE: record, CONTENTS: _text(dict(sorted(listed.items())))}
    with artefacts.whole_file(out) as part, zipfile.ZipFile(part, "w") as archive:
        for name in sorted((*files, *made)):
            member = _member(f"{bundle.name}/{name}")
            if name in made:
                archive.writestr(member, made[name])
                continue
            member.file_size = files[name].stat().st_size
            with files[name].open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)
    return artefacts.file_digest(out)


def provenance(bundle: Path) -> dict[str, Any]:
    """Return what ``provenance.json`` says: terms, versions, and of each file of weights where it comes from.

    Raises:
        BundleError: there are no metadata; E_TERMS, they tell no licence or no intended use; E_ORIGIN, nothing tells
            where weights come from.
    """
    metadata = read_table(bundle, METADATA)
    refuse_without_terms(metadata)
    return {
        "schema": PROVENANCE_SCHEMA,
        "research_use_only": True,
        "name": bundle.name,
        "title": metadata.get("name"),
        "version": metadata.get("version"),
        **{term: metadata[term] for term in TERMS},
        "data_source": metadata.get("data_source"),
        "versions": {name: metadata.get(name) for name in VERSIONS},
        "weights": {path.relative_to(bundle).as_posix(): _origin(path) for path in weights_files(bundle)},
    }


def refuse_without_terms(metadata: dict[str, Any]) -> None:
    """Raise BundleError E_TERMS unless the metadata tell under which licence, and for what, the bundle is given."""
    missing = [term for term in TERMS if not str(metadata.get(term) or "").strip()]
    if missing:
        raise BundleError(
            expected=f"{' and '.join(TERMS)} in configs/metadata.json",
            found=f"no {' and no '.join(missing)}",
            fix='write them there (license as an SPDX name such as "Apache-2.0"), then: mpmri bundle contents BUNDLE',
            code="E_TERMS",
        )


def _origin(weights: Path) -> dict[str, Any]:
    """Return what is known of a file of weights; the hashed patients, which are many, stay in the record beside it."""
    record = record_of(weights)
    told = {key: record[key] for key in TOLD_OF_WEIGHTS if key in record}
    trained_on = {key: value for key, value in told.get("trained_on", {}).items() if key != "seen"}
    return {"sha256": record["weights_sha256"], **told, "trained_on": trained_on}


def _refuse_untravelled(top: str, files: dict[str, Path]) -> None:
    """Refuse what `unpack` would refuse at the other end."""
    odd = [name for name in (top, *files) if not all(PLAIN_NAME.fullmatch(part) for part in name.split("/"))]
    if odd:
        raise BundleError(
            expected="names of letters, digits and . _ + -", found=", ".join(map(ascii, odd)), fix="rename them",
            code="E_NAME",
        )  # fmt: skip
    folded = [name.lower() for name in files]
    twice = sorted({name for name in files if folded.count(name.lower()) > 1})
    if twice:
        raise BundleError(
            expected="names that differ in more than capitals", found=", ".join(twice), fix="rename them", code="E_NAME"
        )
    size = sum(path.stat().st_size for path in files.values())
    if size > MAX_BUNDLE_BYTES - 2**20 or len(files) > MAX_MEMBERS - 2:  # what packing adds fits too
        raise BundleError(
            expected=f"at most {MAX_MEMBERS} files of {MAX_BUNDLE_BYTES >> 20} MiB together",
            found=f"{len(files)} files of {size >> 20} MiB",
            code="E_LIMIT",
        )


def _text(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, EPOCH)
    member.create_system, member.external_attr = UNIX, PLAIN_FILE
    return member
