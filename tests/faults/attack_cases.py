"""Files made to do harm: to write elsewhere, to fill the memory, or never to end."""

from __future__ import annotations

import functools
import gzip
import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from faults.builder import Study, encoded, volume
from faults.case import case

attacks = functools.partial(case, "Attacks")
DEEP = 5000
"""Sequences inside one another (count)."""
BOMB_BYTES = 300 * 2**20
"""What small files swell to (bytes)."""


def _all_but_one(study: Study) -> Dataset:
    """Put seven of eight images into the study and return the one between them."""
    images = volume().images
    study.images = [*images[:3], *images[4:]]
    return images[3]


def _archive(study: Study, write, name: str, expected: bool = True) -> None:
    """Hand the study over as an archive that ``write`` makes of its files."""
    study.add(volume(), expected=expected)

    def pack(folder: Path) -> Path:
        contents = [path.read_bytes() for path in sorted(folder.iterdir())]
        write(folder.parent / name, contents)
        return folder.parent / name

    study.pack = pack


@attacks(elsewhere=False)
def tar_members_that_climb_out(study: Study) -> None:
    """Members named ../IM and /IM: read under names of our own, nothing is written elsewhere."""

    def write(path: Path, contents: list[bytes]) -> None:
        with tarfile.open(path, "w") as archive:
            for k, content in enumerate(contents):
                name = f"{path.parent}/evil{k}" if k % 2 else f"../../../evil{k}"
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    _archive(study, write, "study.tar")


@attacks(elsewhere=False)
def zip_members_that_climb_out(study: Study) -> None:
    """The same in a zip, with backslashes too."""

    def write(path: Path, contents: list[bytes]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for k, content in enumerate(contents):
                start = ("../../../", f"{path.parent}/", "..\\..\\")[k % 3]
                archive.writestr(zipfile.ZipInfo(f"{start}evil{k}"), content)

    _archive(study, write, "study.zip")


@attacks(elsewhere=False)
def tar_with_links_and_devices(study: Study) -> None:
    """A link to the folder above, a file through that link, a hard link, a device and a pipe."""

    def write(path: Path, contents: list[bytes]) -> None:
        with tarfile.open(path, "w") as archive:
            for name, kind, target in (
                ("out", tarfile.SYMTYPE, ".."),
                ("passwords", tarfile.LNKTYPE, "/etc/passwd"),
                ("zero", tarfile.CHRTYPE, ""),
                ("pipe", tarfile.FIFOTYPE, ""),
            ):
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 5
                archive.addfile(info)
            for k, content in enumerate(contents):
                info = tarfile.TarInfo(f"out/evil{k}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))

    _archive(study, write, "study.tar")


@attacks(refused="E_LIMIT", elsewhere=False)
def zip_bomb(study: Study) -> None:
    """A few hundred kilobytes that swell to 300 MiB."""

    def write(path: Path, contents: list[bytes]) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for k in range(BOMB_BYTES // 2**24):
                archive.writestr(f"zeros{k}", bytes(2**24))

    _archive(study, write, "study.zip", expected=False)


@attacks(refused="E_LIMIT", elsewhere=False)
def gzip_bomb(study: Study) -> None:
    """A tar.gz with one member of 300 MiB of zeros."""

    def write(path: Path, contents: list[bytes]) -> None:
        with gzip.open(path, "wb", compresslevel=1) as file, tarfile.open(fileobj=file, mode="w|") as archive:
            info = tarfile.TarInfo("zeros")
            info.size = BOMB_BYTES
            archive.addfile(info, _Zeros(BOMB_BYTES))

    _archive(study, write, "study.tar.gz", expected=False)


@attacks(refused="E_ARCHIVE", elsewhere=False)
def encrypted_zip(study: Study) -> None:
    """The members are said to be encrypted."""

    def write(path: Path, contents: list[bytes]) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for k, content in enumerate(contents):
                archive.writestr(f"IM{k}", content)
        content = bytearray(path.read_bytes())
        for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = content.find(start)
            while place >= 0:
                content[place + offset] |= 1
                place = content.find(start, place + 4)
        path.write_bytes(content)

    _archive(study, write, "study.zip", expected=False)


@attacks(refused="E_ARCHIVE", elsewhere=False)
def archive_cut_off(study: Study) -> None:
    """A tar.gz whose second half never arrived."""

    def write(path: Path, contents: list[bytes]) -> None:
        with tarfile.open(path, "w:gz") as archive:
            for k, content in enumerate(contents):
                info = tarfile.TarInfo(f"IM{k}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])

    _archive(study, write, "study.tar.gz", expected=False)


@attacks(elsewhere=False)
def archive_in_an_archive(study: Study) -> None:
    """A zip inside the zip is passed over; it could hold another, without end."""

    def write(path: Path, contents: list[bytes]) -> None:
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as archive:
            archive.writestr("IM", contents[0])
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.zip", inner.getvalue())
            for k, content in enumerate(contents):
                archive.writestr(f"IM{k}", content)

    _archive(study, write, "study.zip")


@attacks(refused="E_HEADER E_MISSING")
def deflate_bomb(study: Study) -> None:
    """A deflated data set of 300 kB that inflates to 300 MiB, even for a reader that stops before the pixels."""
    image = _all_but_one(study)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = encoded(image)
    start = 144 + int.from_bytes(content[140:144], "little")  # behind the group length of the file meta information
    squeeze = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    inside = zlib.decompress(content[start:], wbits=-zlib.MAX_WBITS)
    padding = b"\xfc\xff\xfc\xffOB\0\0" + BOMB_BYTES.to_bytes(4, "little")
    packed = [squeeze.compress(inside + padding)]
    packed += [squeeze.compress(bytes(2**20)) for _ in range(BOMB_BYTES >> 20)]
    study.files = {"bomb": b"".join([content[:start], *packed, squeeze.flush()])}


@attacks(refused="E_LIMIT")
def rows_and_columns_of_65535(study: Study) -> None:
    """An image that would need 8 GiB, in a file of some hundred bytes."""
    study.add(stack := volume(), expected=False)
    for image in stack.images:
        image.Rows = image.Columns = 65535


@attacks(refused="E_LIMIT")
def run_length_bomb(study: Study) -> None:
    """RLE images of 8000 x 8000 zeros, 2 MB each, 128 MB decoded."""
    study.add(stack := volume(), expected=False)
    segment = bytes([129, 0]) * (8000 * 8000 // 128)
    header = b"".join(value.to_bytes(4, "little") for value in (2, 64, 64 + len(segment), *[0] * 13))
    for image in stack.images:
        image.Rows = image.Columns = 8000
        image.PixelData = encapsulate([header + segment + segment])
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
        image.file_meta.TransferSyntaxUID = RLELossless


@attacks(refused="E_HEADER E_MISSING")
def nested_sequences(study: Study) -> None:
    """One header holds 5000 sequences inside one another."""
    content = encoded(_all_but_one(study))
    opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    place = content.index(b"\x10\x00\x10\x00PN")
    study.files = {"deep": content[:place] + opening * DEEP + closing * DEEP + content[place:]}


@attacks(refused="E_TRUNCATED E_MISSING")
def a_length_that_lies(study: Study) -> None:
    """One element claims 4 GB."""
    content = encoded(_all_but_one(study))
    place = content.index(b"\x10\x00\x10\x00PN")
    element = b"\x09\x00\x10\x10OB\0\0" + (0xFFFFFFF0).to_bytes(4, "little")
    study.files = {"long": content[:place] + element + content[place:]}


@attacks(refused="E_TRUNCATED")
def pixels_that_claim_4_GB(study: Study) -> None:
    """The pixel element of one file claims 4 GB, and its image is cut off."""
    content = encoded(_all_but_one(study))
    place = content.index(b"\xe0\x7f\x10\x00OW")
    study.files = {"long": content[: place + 8] + (0xFFFFFFF0).to_bytes(4, "little") + content[place + 12 : place + 99]}


@attacks(protocol="liver", refused="E_LIMIT", elsewhere=False)
def NIfTI_bomb(study: Study) -> None:
    """A NIfTI header of 30000 x 30000 x 2000 voxels in a file of some hundred bytes."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((30000, 30000, 2000))
    header.set_sform(np.eye(4), code=1)
    study.files = {"T2.nii.gz": gzip.compress(header.binaryblock + bytes(4) + bytes(4096))}


class _Zeros(io.RawIOBase):
    """So many zeros, without keeping them."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = self._left if size < 0 else min(size, self._left)
        self._left -= count
        return bytes(count)
