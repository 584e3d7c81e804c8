"""The readers against files written here in the original formats, and against the real sets where they are."""

import dataclasses
import gzip
import os
import pickle
import struct
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpmri_monai.errors import ConfigError
from mpmri_monai.natural import images as module
from mpmri_monai.natural import read_images
from mpmri_monai.natural.images import JPEG_ARCHIVE, JPEG_NAME, MNIST_FILES, read_batch

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
COUNT = 4


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "COUNTS", {"mnist": (COUNT, COUNT), "cifar10": (5 * COUNT, COUNT)})


def write_idx(path: Path, values: np.ndarray) -> None:
    magic = 0x0800 | values.ndim
    header = np.array([magic, *values.shape], ">u4").tobytes()
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(folder: Path, suffix: str = "") -> np.ndarray:
    pictures = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28))
    for images, labels in MNIST_FILES.values():
        write_idx(folder / (images + suffix), pictures)
        write_idx(folder / (labels + suffix), np.arange(COUNT))
    return pictures


def write_cifar(folder: Path) -> dict[str, np.ndarray]:
    written = {}
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        rows = np.random.default_rng(number).integers(0, 256, (COUNT, 3072)).astype(np.uint8)
        content = {b"data": rows, b"labels": [number % 10] * COUNT, b"batch_label": name.encode()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=4))
        written[name] = rows
    return written


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_is_read_with_a_black_border(tmp_path, suffix):
    pictures = write_mnist(tmp_path, suffix)
    read = read_images("mnist", tmp_path)
    np.testing.assert_array_equal(read.train[:, 0, 2:30, 2:30], pictures)
    assert read.train.shape == (COUNT, 1, 32, 32) and read.train[:, :, :2].max() == 0
    assert read.train_labels.tolist() == [0, 1, 2, 3] and read.name == "MNIST"


def test_cifar_batches_are_read_in_order(tmp_path):
    written = write_cifar(tmp_path)
    read = read_images("cifar10", tmp_path)
    np.testing.assert_array_equal(read.train[COUNT].reshape(-1), written["data_batch_2"][0])
    np.testing.assert_array_equal(read.test.reshape(COUNT, -1), written["test_batch"])
    assert read.train_labels.tolist() == [i // COUNT for i in range(5 * COUNT)] and read.name == "CIFAR-10"


def test_a_batch_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({b"data": Evil(), b"labels": [0]}))
    with pytest.raises(ConfigError, match="E_DATASET"):
        read_batch(path)
    assert not (tmp_path / "ran").exists()


def python_2_batch(rows: np.ndarray, labels: list[int]) -> bytes:
    """Return what Python 2 wrote, as the original archive has it: byte strings, protocol 2, numpy's old module."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<I", len(value)) + value

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN"
    dtype += b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01" + b"".join(b"M" + struct.pack("<H", size) for size in rows.shape) + b"\x86" + dtype
    array += b"\x89" + text(rows.tobytes()) + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


def test_a_batch_as_python_2_wrote_it_is_read(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (COUNT, 3072)).astype(np.uint8)
    (tmp_path / "test_batch").write_bytes(python_2_batch(rows, [0, 9, 2, 3]))
    images, labels = read_batch(tmp_path / "test_batch")
    np.testing.assert_array_equal(images.reshape(COUNT, -1), rows)
    assert labels.tolist() == [0, 9, 2, 3]


UNFILLED = b"cnumpy\nndarray\n(K\x02M\x00\x0c\x86X\x02\x00\x00\x00u1tR"
"""An array of two rows with whatever the memory holds: numpy.ndarray((2, 3072), "u1")."""
DEEP = b"](" + b"K\x00" * 10 + b"e" + b"".join(b"q%c](" % i + b"h%c" % i * 10 + b"e" for i in range(1, 40))
"""Lists of lists of … of ten: 10^40 numbers if anyone looked at all."""


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}(C\x04data" + UNFILLED + b"C\x06labels](K\x00K\x01eu.",
        b"\x80\x04}(C\x04data" + DEEP + b"C\x06labels](K\x00K\x01eu.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        python_2_batch(np.zeros((2, 3072), np.uint8), [0, 10]),
        python_2_batch(np.zeros((2, 3072), np.uint8), [0]),
        python_2_batch(np.zeros((2, 3071), np.uint8), [0, 1]),
        python_2_batch(np.zeros((2, 3072), np.uint8), [0, 1])[:-20],
    ],
    ids=["memory unfilled", "lists of lists", "a place of 2^31", "label 10", "labels", "columns", "truncated"],
)
def test_hostile_or_damaged_batches_are_refused(tmp_path, content):
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(ConfigError, match="E_DATASET"):
        read_batch(tmp_path / "test_batch")


def write_jpeg(path: Path, order: list[int], size: int = 32) -> None:
    with tarfile.open(path, "w:gz") as archive:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))

        for part, count in (("train", 5 * COUNT), ("test", COUNT)):
            rows = ["index,file,label"]
            for i in [i for i in order if i < count]:
                picture = BytesIO()
                Image.new("RGB", (size, size), (i * 12, 0, 0)).save(picture, "JPEG", quality=75)
                add(f"{part}/{i}.jpg", picture.getvalue())
                rows.append(f"{i},{part}/{i}.jpg,{i % 10}")
            add(f"index_{part}.csv", "\n".join(rows).encode())


def test_the_jpeg_copy_carries_its_name_and_the_original_order(tmp_path):
    write_jpeg(tmp_path / JPEG_ARCHIVE, list(np.random.default_rng(0).permutation(5 * COUNT)))
    read = read_images("cifar10", tmp_path)
    assert read.name == JPEG_NAME and read.train_labels.tolist() == [i % 10 for i in range(5 * COUNT)]
    red = read.train[:, 0].mean(axis=(1, 2))
    assert np.abs(red - 12 * np.arange(5 * COUNT)).max() < 6


def test_pictures_of_another_size_are_refused(tmp_path):
    write_jpeg(tmp_path / JPEG_ARCHIVE, list(range(5 * COUNT)), size=16)
    with pytest.raises(ConfigError, match="E_DATASET"):
        read_images("cifar10", tmp_path)


def write_archive(path: Path, index: bytes, picture: bytes) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("index_train.csv", index), ("index_test.csv", index), ("a.jpg", picture)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))


def jpeg(height: int = 32) -> bytes:
    """Return a picture of 32 x 32 pixels that says of itself to be ``height`` high."""
    picture = BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "JPEG")
    content = picture.getvalue()
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">H", height) + content[place + 2 :]


@pytest.mark.parametrize(
    ("index", "picture"),
    [
        (b"index,file,label\n0,a.jpg,1\n", jpeg()[:300]),
        (b"index,file,label\n0,a.jpg,1\n", jpeg(65000)),
        (b"index,file,label\n0,a.jpg\n", jpeg()),
        (b"index,file,label\n0,a.jpg,10\n", jpeg()),
        (b"index,file,label\n0,a.jpg,1\n0,a.jpg,1\n", jpeg()),
        (b"index,file,label\n0," + b"a" * 200_000 + b",1\n", jpeg()),
        (b"index,file,label\n0,../../etc/passwd,1\n", jpeg()),
    ],
    ids=["truncated", "65000 rows", "no label", "label 10", "twice the same place", "a long name", "a way out"],
)
def test_damaged_or_hostile_archives_are_refused(tmp_path, monkeypatch, index, picture):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # so that a bomb of this width is one
    write_archive(tmp_path / JPEG_ARCHIVE, index, picture)
    with pytest.raises(ConfigError, match="the images as JPEG"):
        read_images("cifar10", tmp_path)


def test_an_archive_that_grows_is_refused_before_it_has_grown(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
    write_archive(tmp_path / JPEG_ARCHIVE, b"index,file,label\n0,a.jpg,1\n", bytes(2**21))
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        read_images("cifar10", tmp_path)


def test_missing_files_are_named_and_nothing_is_fetched(tmp_path):
    with pytest.raises(ConfigError, match=r"train-images-idx3-ubyte.*nothing is downloaded"):
        read_images("mnist", tmp_path)
    with pytest.raises(ConfigError, match=r"data_batch_1.*no such folder"):
        read_images("cifar10", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="--dataset_dir"):
        read_images("mnist", "")
    with pytest.raises(ConfigError, match="mnist or cifar10"):
        read_images("imagenet", tmp_path)


def test_a_part_of_the_images_is_refused(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    monkeypatch.setattr(module, "COUNTS", {"mnist": (60000, 10000)})
    with pytest.raises(ConfigError, match="60000 training and 10000 test images"):
        read_images("mnist", tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[4:], lambda b: b"", lambda b: b + b"0"])
def test_damaged_idx_files_are_refused(tmp_path, damage):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError, match="E_DATASET"):
        read_images("mnist", tmp_path)


def test_an_idx_file_of_more_pictures_than_can_be_counted_is_refused(tmp_path):
    write_mnist(tmp_path)
    content = np.array([2051, 2**31, 2**31, 4], ">u4").tobytes()  # their product is 0 in 64 bits
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ConfigError, match="E_DATASET"):
        read_images("mnist", tmp_path)


def test_digests_tell_images_and_labels_apart(tmp_path):
    write_mnist(tmp_path)
    read = read_images("mnist", tmp_path)
    other = dataclasses.replace(read, test_labels=read.test_labels[::-1].copy())
    assert read.digests()["train"] == other.digests()["train"] and read.digests()["test"] != other.digests()["test"]


@pytest.fixture
def lossless():
    """The first 1000 training images without loss: uint8 (image, channel, row, column)."""
    path = DATA / "cifar10" / "cifar10_batch_0.png"
    if not path.is_file():
        pytest.skip("no cifar10: set MPMRI_TEST_DATA to the folder of real data")
    with Image.open(path) as picture:  # one image a row
        return np.asarray(picture.convert("RGB")).transpose(0, 2, 1).reshape(1000, 3, 32, 32)


def test_an_original_batch_of_the_real_images_is_read(tmp_path, lossless):
    content = {b"data": lossless.reshape(1000, -1), b"labels": list(range(10)) * 100, b"filenames": [b"a.png"] * 1000}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content))
    images, labels = read_batch(tmp_path / "data_batch_1")
    np.testing.assert_array_equal(images, lossless)
    assert labels.tolist() == list(range(10)) * 100


@pytest.mark.slow
def test_the_jpeg_copy_shows_the_same_pictures_as_the_lossless_ones(monkeypatch, lossless):
    monkeypatch.setattr(module, "COUNTS", {"cifar10": (50000, 10000)})
    read = read_images("cifar10", DATA / "cifar10")
    assert np.abs(read.train[:1000].astype(int) - lossless).mean() < 8
