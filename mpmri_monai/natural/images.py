"""MNIST and CIFAR-10 read from the files in which they are distributed; nothing is downloaded, nothing unpickled.

MNIST: the four IDX files (LeCun et al., 1998), plain or gzipped. CIFAR-10 (Krizhevsky, 2009): the Python batches of the
original archive, read without making any object that they name, or a copy of the images as JPEG in one tar
file with an index. The copy is lossy, so that everything made from it carries its name.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import pickle
import pickletools
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track

from mpmri_monai.errors import ConfigError

SIDE = 32
"""Side of the network's input; MNIST's 28 pixels get a black border (pixels)."""
IDX_IMAGES, IDX_LABELS = 2051, 2049
"""Magic numbers of IDX files: unsigned bytes in three dimensions, and in one."""
MAX_FILE_BYTES = 2**28
"""Largest file that is read, uncompressed (bytes); the largest real one, the archive of the JPEG copy, has 94 MB."""
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")
MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
CIFAR_BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
CIFAR_FOLDER = "cifar-10-batches-py"
JPEG_ARCHIVE = "cifar10_jpeg_q75.tar.gz"
JPEG_NAME = "CIFAR-10, JPEG q75 copy"
COUNTS = {"mnist": (60000, 10000), "cifar10": (50000, 10000)}
"""Training and test images of the whole data sets (count)."""


@dataclass(frozen=True, eq=False)
class NaturalImages:
    """A data set of small pictures with its official division.

    Attributes:
        name: what a number made from it is called.
        classes: names in the order of the labels.
        train, test: uint8 (image, channel, row, column), 32 × 32 pixels.
        train_labels, test_labels: int64 (image,).
    """

    name: str
    classes: tuple[str, ...]
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    def digests(self) -> dict[str, str]:
        """Return the sha256 of the images and labels of each part."""
        parts = {"train": (self.train, self.train_labels), "test": (self.test, self.test_labels)}
        return {
            part: hashlib.sha256(np.ascontiguousarray(images).tobytes() + labels.tobytes()).hexdigest()
            for part, (images, labels) in parts.items()
        }


def read_images(dataset: str, folder: Path | str) -> NaturalImages:
    """Read ``mnist`` or ``cifar10`` from ``folder``.

    Raises:
        ConfigError: no such data set, a file is missing (says which are wanted), damaged, or holds another number of
            images.
    """
    if dataset not in DATASETS:
        raise ConfigError(expected=f"--dataset {' or '.join(DATASETS)}", found=repr(dataset), code="E_DATASET")
    if not str(folder):
        raise ConfigError(
            expected=f"--dataset_dir, the folder of {dataset}",
            found="nothing",
            fix=f"name the folder that holds {WANTED[dataset]}; nothing is downloaded",
            code="E_DATASET",
        )
    images = DATASETS[dataset](Path(folder))
    found = len(images.train), len(images.test)
    if found != COUNTS[dataset]:
        expected = "{} training and {} test images".format(*COUNTS[dataset])
        raise _damaged(dataset, expected, "{} and {}".format(*found))
    return images


def _mnist(folder: Path) -> NaturalImages:
    parts: dict[str, tuple[NDArray, NDArray]] = {}
    for part, (images_file, labels_file) in MNIST_FILES.items():
        images = _idx(_one_of(folder, images_file, "mnist"), IDX_IMAGES)
        labels = _idx(_one_of(folder, labels_file, "mnist"), IDX_LABELS)
        if len(images) != len(labels) or images.shape[1:] != (28, 28) or labels.max(initial=0) > 9:
            raise _damaged("mnist", "as many labels as images of 28 x 28 pixels", f"{images.shape} and {labels.shape}")
        border = (SIDE - 28) // 2
        padded = np.pad(images, ((0, 0), (border, border), (border, border)))
        parts[part] = padded[:, None], labels.astype(np.int64)
    return NaturalImages("MNIST", DIGITS, *parts["train"], *parts["test"])


def _idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """Read an IDX file: magic number, sizes as big-endian 32-bit integers, then bytes."""
    content = _content(path)
    dimensions = 3 if magic == IDX_IMAGES else 1
    header = 4 * (1 + dimensions)
    numbers = np.frombuffer(content[:header], ">u4") if len(content) >= header else np.zeros(1)
    shape = tuple(int(number) for number in numbers[1:])
    if numbers[0] != magic or len(content) != header + math.prod(shape):
        raise _damaged("mnist", f"an IDX file with the magic number {magic}", path.name)
    return np.frombuffer(content[header:], np.uint8).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path.parent.name, "a file that can be read", path.name) from error
    if len(content) > MAX_FILE_BYTES:
        raise _damaged(path.parent.name, f"a file of at most {MAX_FILE_BYTES >> 20} MiB", path.name)
    return content


def _one_of(folder: Path, name: str, dataset: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise _missing(dataset, folder, name)


def _cifar10(folder: Path) -> NaturalImages:
    batches = next((place for place in (folder, folder / CIFAR_FOLDER) if (place / "test_batch").is_file()), None)
    if batches is not None:
        return _cifar_batches(batches)
    if (folder / JPEG_ARCHIVE).is_file():
        return _cifar_jpeg(folder / JPEG_ARCHIVE)
    raise _missing("cifar10", folder, "test_batch")


def _cifar_batches(folder: Path) -> NaturalImages:
    parts: dict[str, tuple[NDArray, NDArray]] = {}
    for part, names in CIFAR_BATCHES.items():
        read = [read_batch(_one_of(folder, name, "cifar10")) for name in names]
        parts[part] = tuple(np.concatenate(arrays) for arrays in zip(*read, strict=True))
    return NaturalImages("CIFAR-10", CIFAR_CLASSES, *parts["train"], *parts["test"])


class _PickledArray:
    """Stands for an array while a batch is read: keeps what the pickle says of it and makes nothing of it."""

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def bytes_in_rows(self) -> NDArray[np.uint8]:
        """Return the array, whose elements must be bytes; raise ValueError when its shape and content disagree."""
        _, shape, dtype, by_columns, content = self.state
        if dtype.name not in ("u1", b"u1"):
            raise ValueError(dtype.name)
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_columns else "C")


class _PickledDtype:
    """Stands for the type of an array's elements."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        """Take no byte order: a byte has none."""


def _new_array(*_: object) -> _PickledArray:
    return _PickledArray()


class _StandIns(pickle.Unpickler):
    """Puts a stand-in where an original batch has an array, and refuses every other class or function.

    numpy's own functions are not called: a hostile pickle makes them reserve memory or misread it.
    """

    ALLOWED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _new_array,
        ("numpy._core.multiarray", "_reconstruct"): _new_array,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
    }

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError("a class that no CIFAR-10 batch holds")
        return self.ALLOWED[module, name]


def _unpickled(content: bytes) -> dict[bytes, Any]:
    """Return the dictionary in an original batch, with stand-ins for its arrays."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(content):
            raise pickle.UnpicklingError("a place in a memo far larger than the file")
    return _StandIns(io.BytesIO(content), encoding="bytes").load()


def read_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (image, channel, row, column) and labels (image,) of one original Python batch of CIFAR-10.

    Raises:
        ConfigError: the file is damaged or holds anything but such a batch; nothing in it is run.
    """
    content = _content(path)
    try:
        batch = _unpickled(content)
        images, labels = batch[b"data"].bytes_in_rows(), batch[b"labels"]
        fits = images.shape == (len(labels), 3 * SIDE * SIDE) and _are_classes(labels)
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise _damaged("cifar10", "a batch of the original archive", path.name) from error
    if not fits:
        raise _damaged("cifar10", "rows of 3 x 32 x 32 bytes and labels from 0 to 9", path.name)
    return images.reshape(-1, 3, SIDE, SIDE), np.array(labels, np.int64)


def _are_classes(labels: list[int]) -> bool:
    known = range(len(CIFAR_CLASSES))
    return len(labels) > 0 and all(type(label) is int and label in known for label in labels)


def _cifar_jpeg(path: Path) -> NaturalImages:
    """Read the JPEG copy: ``index_train.csv`` and ``index_test.csv`` (index, file, label) beside the images."""
    content = _content(path)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            plain = [member for member in archive if member.isreg() and not member.issparse()]
            members = {member.name: archive.extractfile(member).read() for member in plain}
        parts = {part: _from_index(members, f"index_{part}.csv", part) for part in ("train", "test")}
    except Exception as error:  # a damaged archive, index or picture raises whatever its bytes lead to
        raise _damaged("cifar10", "the images as JPEG with an index of each part", path.name) from error
    return NaturalImages(JPEG_NAME, CIFAR_CLASSES, *parts["train"], *parts["test"])


def _from_index(members: dict[str, bytes], index: str, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rows = list(csv.DictReader(io.StringIO(members[index].decode())))
    rows.sort(key=_original_place)
    labels = [int(row["label"]) for row in rows]
    if [_original_place(row) for row in rows] != list(range(len(rows))) or not _are_classes(labels):
        raise ValueError(index)
    images = np.empty((len(rows), 3, SIDE, SIDE), np.uint8)
    for image, row in zip(images, _shown(rows, f"decoding CIFAR-10, {part}"), strict=True):
        with Image.open(io.BytesIO(members[row["file"]]), formats=["JPEG"]) as picture:
            if picture.size != (SIDE, SIDE):
                raise ValueError(row["file"])
            image[...] = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    return images, np.array(labels, np.int64)


def _original_place(row: dict[str, str]) -> int:
    return int(row["index"])


def _shown(rows: list[dict[str, str]], description: str) -> Iterator[dict[str, str]]:
    console = Console(stderr=True)
    yield from track(rows, description, console=console, transient=True, disable=not console.is_terminal)


DATASETS: dict[str, Callable[[Path], NaturalImages]] = {"mnist": _mnist, "cifar10": _cifar10}
WANTED = {
    "mnist": ", ".join(f"{name}[.gz]" for names in MNIST_FILES.values() for name in names),
    "cifar10": f"{CIFAR_FOLDER}/ with its data_batch_1…5 and test_batch, or {JPEG_ARCHIVE}",
}


def _missing(dataset: str, folder: Path, name: str) -> ConfigError:
    return ConfigError(
        expected=f"{WANTED[dataset]} in {folder}",
        found="no such folder" if not folder.is_dir() else f"no {name}",
        fix="put the files there or name their folder by --dataset_dir; nothing is downloaded",
        code="E_DATASET",
    )


def _damaged(dataset: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        expected=expected, found=found, where=dataset, fix="copy the original files again", code="E_DATASET"
    )
