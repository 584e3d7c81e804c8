"""Make a manifest from a folder of DICOM studies and a label table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmri_monai.catalogue import scan
from mpmri_monai.cohort.labels import read_labels
from mpmri_monai.cohort.manifest import SCHEMA, Manifest, parse_manifest
from mpmri_monai.errors import ManifestError, MpmriError
from mpmri_monai.processes import in_processes
from mpmri_monai.sequences import GRADES, SEQUENCES

DEFAULT_CLASSES: Mapping[str, Sequence[str]] = {"grade": GRADES}


PROTOCOL = "liver"
"""The catalogue's rules that fill the nine sequences."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a study (``level`` "error") or worth knowing about it ("warning")."""

    level: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def build_manifest(
    folder: Path,
    labels_csv: Path,
    name: str,
    *,
    classes: Mapping[str, Sequence[str]] = DEFAULT_CLASSES,
    truth: str | None = None,
    workers: int = 0,
    progress: bool = False,
) -> tuple[Manifest, list[Finding]]:
    """Scan every study that ``labels_csv`` names and return the cohort, without the studies that failed.

    A study may lack sequences. It fails when its folder or a mask is missing, or when the catalogue meets a problem
    that leaves a role in doubt; it is then left out as a whole.

    Args:
        folder: the cohort's folder; paths of the table and of the manifest are relative to it.
        labels_csv: the label table, see `read_labels`.
        name: of the cohort.
        classes: the classes of each label column, in order.
        truth: path of a generated cohort's truth table, relative to ``folder``.
        workers: processes that scan studies side by side; 0 or 1 scans in this process.
        progress: show a bar.

    Returns:
        The manifest and one error for each study left out.

    Raises:
        ManifestError: the table is faulty (nothing is scanned then), or no study at all is usable.
    """
    folder = Path(folder)
    table = read_labels(labels_csv, classes, SEQUENCES)
    jobs = [(folder, rows.to_dict("records"), tuple(classes)) for _, rows in table.groupby("study", sort=True)]
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "name": name,
        "sequences": list(SEQUENCES),
        "classes": {key: list(values) for key, values in classes.items()},
        "studies": [],
    }
    if truth is not None:
        content["truth"] = truth
    failed = []
    for result in in_processes(_study, jobs, workers, "Scanning studies" if progress else None):
        if isinstance(result, Finding):
            failed.append(result)
        else:
            content["studies"].append(result)
    if not content["studies"]:
        raise ManifestError(
            expected="at least one usable study",
            found=f"{len(failed)} that failed, the first: {failed[0]}",
            where=str(labels_csv),
        )
    return parse_manifest(content, folder, where=str(labels_csv)), failed


def _study(job: tuple[Path, list[dict[str, str]], tuple[str, ...]]) -> dict[str, Any] | Finding:
    """Return one study as the manifest holds it, or why it cannot be used."""
    folder, rows, label_keys = job
    first = rows[0]
    needed = {name for row in rows for name in (row["mask"], row["liver"]) if name}
    absent = sorted(name for name in needed if not (folder / name).is_file())
    if absent:
        return Finding("error", first["study"], f"no file {', '.join(absent)}")
    try:
        catalogue = scan(folder / first["folder"], protocol=PROTOCOL)
        catalogue.require(())  # a missing sequence is no problem, anything that leaves a role in doubt is
    except MpmriError as error:
        return Finding("error", first["study"], str(error))
    if not catalogue.roles:
        return Finding("error", first["study"], f"none of its series is a sequence of the protocol {PROTOCOL}")
    return {
        "patient": first["patient"],
        "study": first["study"],
        "site": first["site"],
        "labels": {} if first["lesion"] else _labels(first, label_keys),
        "images": {
            sequence: {"dicom": first["folder"], "volume": catalogue.roles[sequence]}
            for sequence in SEQUENCES
            if sequence in catalogue.roles
        },
        "organs": {"liver": first["liver"]} if first["liver"] else {},
        "lesions": [_lesion(row, label_keys) for row in rows if row["lesion"]],
    }


def _lesion(row: Mapping[str, str], label_keys: Sequence[str]) -> dict[str, Any]:
    form = "value" if row["value"] else "segment"
    lesion = {
        "id": row["lesion"],
        "region": {"mask": row["mask"], form: int(row[form])},
        "labels": _labels(row, label_keys),
    }
    return {**lesion, "drawn_on": row["drawn_on"]} if row["drawn_on"] else lesion


def _labels(row: Mapping[str, str], label_keys: Sequence[str]) -> dict[str, str]:
    return {key: row[key] for key in label_keys if row[key]}
