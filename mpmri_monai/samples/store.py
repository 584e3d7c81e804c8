"""The store: samples on disk, one file a study, read by fusion."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mpmri_monai.artefacts import digest, whole_file
from mpmri_monai.errors import StoreError
from mpmri_monai.samples.sample import Sample
from mpmri_monai.samples.settings import Settings

SCHEMA = "mpmri-monai/store/2"
"""Goes into every key: a new number when the same settings would give other samples."""

TEXT = ("patient", "study", "site", "lesion", "sample", "kind")
NUMBERS = ("extent_mm", "pitch_mm", "x_mm", "y_mm", "z_mm")
BY_SEQUENCE = ("present", "offset", "signal", "level")
UNREADABLE = (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError)
"""What numpy raises of a file that is empty, cut off, damaged or something else."""
SHIFT = "shift"
"""One more by sequence, where sequences were aligned."""


@dataclass(frozen=True, eq=False)
class Store:
    """The samples of a cohort.

    ``table`` has one row a sample, in the order of the manifest: patient, study, site, lesion, sample, kind
    (``lesion``, ``background``; with a grid also ``study`` or ``patch``), extent_mm, pitch_mm, x_mm, y_mm, z_mm,
    ``label_<key>`` ("" when there is none), ``present_<sequence>``, ``offset_<sequence>`` in mm, ``signal_<sequence>``
    and ``level_<sequence>`` (mean in the lesion before and after normalisation; NaN when absent), and flags. Where
    sequences were aligned, also ``shift_<sequence>`` in mm.
    """

    folder: Path
    settings: Settings
    sequences: tuple[str, ...]
    table: pd.DataFrame
    failed: Mapping[str, str]
    """Why a study has no samples, by study."""
    contents: Mapping[str, str]
    """Digest of the samples of each study."""
    voxels: Mapping[str, Mapping[str, str]]
    """sha256 of the voxels of each sequence, by study: the same images have the same, under whatever name."""

    def images(self, rows: ArrayLike, sequences: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return the crops of the given rows of ``table``, in [0, 1]: (sample, sequence, row, column), or with a grid
        (sample, sequence, depth, row, column).

        Args:
            rows: positions in ``table``, in any order.
            sequences: the channels; all sequences of the store by default.

        Raises:
            StoreError: a sequence is not in the store, or a file was damaged.
        """
        sequences = self.sequences if sequences is None else tuple(sequences)
        if unknown := set(sequences) - set(self.sequences):
            raise StoreError(expected=f"sequences among {' '.join(self.sequences)}", found=", ".join(sorted(unknown)))
        rows = np.asarray(rows, int)
        result = np.empty((len(rows), len(sequences), *self.settings.stored_shape), np.float32)
        for arrays, places, inside in self._by_study(rows):
            for channel, sequence in enumerate(sequences):
                result[places, channel] = arrays[_image(sequence)][inside]
        return result

    def masks(self, rows: ArrayLike) -> NDArray[np.bool_]:
        """Return where the lesion (or what stands for it) is, (sample, row, column) or (sample, depth, row, column)."""
        rows = np.asarray(rows, int)
        result = np.empty((len(rows), *self.settings.stored_shape), bool)
        for arrays, places, inside in self._by_study(rows):
            result[places] = arrays["mask"][inside]
        return result

    def digest(self) -> str:
        """Return the sha256 of the samples and their settings; file names and times do not enter it."""
        return digest([self.settings.model_dump(), self.sequences, self.contents])

    def bytes_for(self, rows: ArrayLike, sequences: Sequence[str]) -> int:
        """Return the memory that ``images(rows, sequences)`` takes."""
        voxels = len(np.asarray(rows)) * len(sequences) * math.prod(self.settings.stored_shape)
        return voxels * np.dtype(np.float32).itemsize

    def _by_study(self, rows: NDArray[np.int_]) -> Iterator[tuple[Any, NDArray, NDArray]]:
        """Yield for each study among ``rows``: its arrays, places in ``rows``, and indices in the study's file."""
        studies = self.table["study"].to_numpy()
        number = self.table.groupby("study").cumcount().to_numpy()
        for study in pd.unique(studies[rows]):
            places = np.flatnonzero(studies[rows] == study)
            path = study_file(self.folder, study)
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    if _record(arrays)["content"] != self.contents[study]:
                        raise StoreError(
                            expected="the samples that the store was opened with",
                            found="others: the store has been built anew since",
                            where=str(path),
                            fix="run the same command again",
                        )
                    yield arrays, places, number[rows[places]]
            except UNREADABLE as error:
                raise StoreError(
                    expected="a whole file of samples",
                    found=f"one that cannot be read ({type(error).__name__})",
                    where=str(path),
                    fix="delete the file and run `mpmri prepare` again",
                ) from error


@dataclass(frozen=True)
class StudyRecord:
    """What a study's file says beside the images."""

    key: str
    """Digest of what they were made from: settings, manifest entry, names, sizes and times of the files."""
    content: str
    """Digest of the samples themselves."""
    voxels: Mapping[str, str]
    """Digest of the voxels of each sequence that was read."""
    rows: Sequence[Mapping[str, Any]]
    """Table rows, one a sample."""


def study_file(folder: Path, study: str) -> Path:
    """Return where the samples of a study lie in a store's folder."""
    return folder / f"{study}.npz"


def write_study(path: Path, key: str, samples: Sequence[Sample], sequences: Sequence[str], settings: Settings) -> None:
    """Write the samples of a study, whole or not at all.

    Raises:
        OutputError: the disk is full or the place cannot be written.
    """
    shape = settings.stored_shape
    images = np.stack([sample.image for sample in samples]) if samples else np.empty((0, len(sequences), *shape))
    arrays: dict[str, Any] = {_image(sequence): images[:, i].astype(np.float32) for i, sequence in enumerate(sequences)}
    arrays["mask"] = np.stack([sample.mask for sample in samples]) if samples else np.empty((0, *shape), bool)
    rows = [_row(sample) for sample in samples]
    content = hashlib.sha256(json.dumps(rows).encode())
    for name in sorted(arrays):
        content.update(np.ascontiguousarray(arrays[name]).tobytes())
    record = {
        "schema": SCHEMA,
        "key": key,
        "content": content.hexdigest(),
        "voxels": dict(samples[0].voxels) if samples else {},
        "rows": rows,
    }
    buffer = io.BytesIO()
    np.savez(buffer, record=np.array(json.dumps(record)), **arrays)
    with whole_file(path) as part:
        part.write_bytes(buffer.getbuffer())


def read_record(path: Path, key: str) -> StudyRecord | None:
    """Return what a study's file says, or None when there is no readable file made with this ``key``."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            record = _record(arrays)
        if record["schema"] != SCHEMA or record["key"] != key:
            return None
        return StudyRecord(record["key"], record["content"], record["voxels"], record["rows"])
    except UNREADABLE:
        return None


def _record(arrays: Mapping[str, NDArray]) -> dict[str, Any]:
    return json.loads(str(arrays["record"]))


def make_table(rows: Sequence[Mapping[str, Any]], sequences: Sequence[str], label_keys: Sequence[str]) -> pd.DataFrame:
    """Return the table of a store from the rows of its studies."""
    table = pd.DataFrame({name: [row[name] for row in rows] for name in TEXT}, dtype=object)
    for name in NUMBERS:
        table[name] = np.array([row[name] for row in rows], float)
    for key in label_keys:
        table[f"label_{key}"] = np.array([row["labels"].get(key, "") for row in rows], object)
    aligned = any(SHIFT in row for row in rows)
    for name in (*BY_SEQUENCE, SHIFT) if aligned else BY_SEQUENCE:
        for i, sequence in enumerate(sequences):
            table[f"{name}_{sequence}"] = np.array([row[name][i] for row in rows], bool if name == "present" else float)
    table["flags"] = np.array([row["flags"] for row in rows], object)
    return table


def _row(sample: Sample) -> dict[str, Any]:
    """Return a sample without its pictures, as JSON (NaN kept)."""
    return {
        **{name: getattr(sample, name) for name in TEXT},
        "extent_mm": float(sample.extent_mm),
        "pitch_mm": float(sample.pitch_mm),
        **dict(zip(("x_mm", "y_mm", "z_mm"), map(float, sample.position_mm), strict=True)),
        "labels": dict(sample.labels),
        "present": sample.present.tolist(),
        "offset": sample.offset_mm.tolist(),
        "signal": sample.signal.tolist(),
        "level": sample.level.tolist(),
        **({} if sample.shift_mm is None else {SHIFT: sample.shift_mm.tolist()}),
        "flags": ";".join(sample.flags),
    }


def _image(sequence: str) -> str:
    return f"image_{sequence}"
