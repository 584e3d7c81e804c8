"""Archives that are damaged or hostile: refused by name, nothing outside the private folder, nothing left behind."""

import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from mpmri_monai.catalogue.containers import archives, files
from mpmri_monai.catalogue.containers.archives import archive_kind, unpack
from mpmri_monai.errors import CatalogueError, OutputError
from tests.catalogue.containers.conftest import unpacked


def tar_of(path, *members, mode="w"):
    """Write (name, content) pairs, or TarInfo objects without content."""
    with tarfile.open(path, mode) as target:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                target.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                target.addfile(info, io.BytesIO(member[1]))
    return path


def zip_of(path, *members, **options):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as target:
        for name, content in members:
            target.writestr(name, content)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


ESCAPING = ("../evil", "/tmp/mpmri_evil", "a/../../../evil", "C:\\evil", "..\\evil", "evil\n", "x" * 5000)


@pytest.mark.parametrize("make_archive", [tar_of, zip_of])
def test_names_of_members_lead_nowhere(tmp_path, cache, make_archive):
    archive = make_archive(tmp_path / "archive", *((name, name.encode()) for name in ESCAPING))
    found = unpack(archive)
    inside = cache / "unpacked"
    assert sorted(file.path.read_bytes() for file in found.files) == sorted(name.encode() for name in ESCAPING)
    assert all(file.path.resolve().is_relative_to(inside) and file.path.name.isdigit() for file in found.files)
    everything = {path.name for path in tmp_path.rglob("*")}
    assert not any("evil" in name for name in everything)


def test_two_members_of_one_name_are_both_kept(tmp_path):
    found = unpack(tar_of(tmp_path / "archive", ("a", b"one"), ("a", b"two")))
    assert [file.path.read_bytes() for file in found.files] == [b"one", b"two"]


def test_links_and_devices_of_a_tar_are_counted_not_made(tmp_path):
    members = [
        special("soft", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard", tarfile.LNKTYPE, "file"),
        special("pipe", tarfile.FIFOTYPE),
        special("device", tarfile.CHRTYPE),
        special("soft/through", tarfile.DIRTYPE),
    ]
    found = unpack(tar_of(tmp_path / "archive", ("file", b"content"), *members, ("soft/through", b"here")))
    assert found.passed_over == {files.LINK: 2, files.SPECIAL: 2}
    assert [file.path.read_bytes() for file in found.files] == [b"content", b"here"]


def test_links_of_a_zip_are_counted_not_made(tmp_path):
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as target:
        info = zipfile.ZipInfo("soft")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        target.writestr(info, "/etc/passwd")
        target.writestr("folder/", "")
        target.writestr("folder/file", "content")
    found = unpack(archive)
    assert found.passed_over == {files.LINK: 1} and len(found.files) == 1


def test_archives_within_are_not_opened_but_compressed_nifti_is_kept(tmp_path):
    inner = zip_of(tmp_path / "inner", ("a", b"a")).read_bytes()
    tar = tar_of(tmp_path / "inner.tar", ("a", b"a")).read_bytes()
    members = [("inner", inner), ("t", tar), ("g", gzip.compress(b"x")), ("x", lzma.compress(b"x"))]
    found = unpack(
        zip_of(tmp_path / "a.zip", *members, ("7", b"7z\xbc\xaf\x27\x1c"), ("T2.nii.gz", gzip.compress(b"x")))
    )
    assert found.passed_over == {files.ARCHIVE: 5}
    assert [file.path.name for file in found.files] == ["000006.nii.gz"]


def encrypted(path):
    """Mark the member of a zip as encrypted, in the list of members and before the content."""
    content = bytearray(zip_of(path, ("a", b"a" * 100)).read_bytes())
    for magic, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(magic) + offset] |= 1
    path.write_bytes(content)
    return path


def test_encrypted_archives_are_refused(tmp_path, cache):
    with pytest.raises(CatalogueError, match=r"E_ARCHIVE.*encrypted"):
        unpack(encrypted(tmp_path / "a.zip"))
    assert not unpacked(cache)


def test_a_member_without_a_name_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("NAME", b"a" * 100))
    path.write_bytes(path.read_bytes().replace(b"NAME", bytes(4)))
    with pytest.raises(CatalogueError, match="E_ARCHIVE"):
        unpack(path)


def test_an_unknown_compression_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", ("a", b"a" * 100))
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        place = content.index(magic) + offset
        content[place : place + 2] = struct.pack("<H", 9)  # Deflate64
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match="E_ARCHIVE"):
        unpack(path)


@pytest.mark.parametrize("start", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07\x01", b"\x28\xb5\x2f\xfd"])
def test_other_archives_are_named(tmp_path, start):
    path = tmp_path / "archive"
    path.write_bytes(start + bytes(100))
    with pytest.raises(CatalogueError, match=r"E_ARCHIVE.*found a (7z|rar|zstd) archive"):
        unpack(path)


def contents_of(path):
    """What the files of an archive hold; the files go with ``found``."""
    found = unpack(path)
    return {file.path.read_bytes() for file in found.files}


def whole(path, kind):
    members = [(f"file{index}", os.urandom(3000)) for index in range(5)]
    return zip_of(path, *members) if kind == "zip" else tar_of(path, *members, mode=f"w:{kind}")


@pytest.mark.parametrize("kind", ["zip", "", "gz", "xz", "bz2"])
def test_no_file_is_lost_when_an_archive_ends_early(tmp_path, cache, kind):
    """tarfile takes the end of the file, and any damaged header, for the end of the archive."""
    path = whole(tmp_path / "archive", kind)
    content, size = path.read_bytes(), len(unpack(path).files)
    ends = range(520, 5 * 3584 + 1, 512) if kind == "" else range(30, len(content) - 1, 997)
    for end in ends:
        path.write_bytes(content[:end])
        with pytest.raises(CatalogueError, match="E_ARCHIVE"):
            unpack(path)
    assert size == 5 and not unpacked(cache)


@pytest.mark.parametrize("kind", ["zip", "", "gz", "xz", "bz2"])
def test_damage_is_refused_or_changes_nothing(tmp_path, kind):
    path = whole(tmp_path / "archive", kind)
    content = path.read_bytes()
    right = contents_of(path)
    for place in range(10, len(content), 199):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            found = contents_of(path)
        except CatalogueError as error:
            assert error.code in ("E_ARCHIVE", "E_LIMIT")
            continue
        assert kind == "" or found == right  # a plain tar has no checksum of its content
        assert len(found) == 5


def test_size_bombs_are_refused(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archives, "ANY_RATIO_BYTES", 2**20)
    zeros = bytes(4 * 2**20)
    for archive in (
        zip_of(tmp_path / "a.zip", ("a", zeros)),
        zip_of(tmp_path / "many.zip", *((str(index), zeros[: 2**18]) for index in range(20))),
        tar_of(tmp_path / "a.tgz", ("a", zeros), mode="w:gz"),
        tar_of(tmp_path / "a.txz", ("a", zeros), mode="w:xz"),
    ):
        with pytest.raises(CatalogueError, match=r"E_LIMIT.*100 times its size"):
            unpack(archive)
    assert not unpacked(cache)


def test_members_larger_than_a_file_may_be_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1000)
    for archive in (zip_of(tmp_path / "a", ("a", bytes(1001))), tar_of(tmp_path / "b", ("a", bytes(1001)))):
        with pytest.raises(CatalogueError, match=r"E_LIMIT.*files of at most"):
            unpack(archive)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    members = [(str(index), b"") for index in range(11)]
    for archive in (zip_of(tmp_path / "a", *members), tar_of(tmp_path / "b", *members)):
        with pytest.raises(CatalogueError, match=r"E_LIMIT.*at most 10 members"):
            unpack(archive)


def peak_bytes(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_headers_that_grow_without_end_are_refused(tmp_path):
    """A name of 1 GiB that compresses to 1 MiB: tarfile would read it into memory."""
    path = tmp_path / "a.tgz"
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2**30
    with gzip.open(path, "wb", compresslevel=1) as target:
        target.write(name.tobuf(tarfile.GNU_FORMAT))
        target.write(b"x" * (64 * 2**20))

    def refuse():
        with pytest.raises(CatalogueError, match="E_LIMIT"):
            unpack(path)

    assert peak_bytes(refuse) < 8 * 2**20


def test_a_list_of_members_that_grows_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_OVERHEAD_BYTES", 2000)
    archive = zip_of(tmp_path / "a.zip", *((f"{index:050}", b"") for index in range(100)))
    with pytest.raises(CatalogueError, match=r"E_LIMIT.*of their headers"):
        unpack(archive)


def test_members_that_are_passed_over_count_too(tmp_path, monkeypatch):
    """They are decompressed on the way to the next member."""
    monkeypatch.setattr(archives, "ANY_RATIO_BYTES", 2**20)
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    zeros = bytes(4 * 2**20)
    with pytest.raises(CatalogueError, match=r"E_LIMIT.*1 MiB of members"):
        unpack(tar_of(tmp_path / "a.tgz", (".hidden", zeros), ("a", b"content"), mode="w:gz"))


def test_empty_archives_hold_nothing(tmp_path):
    for archive in (tar_of(tmp_path / "a.tgz", mode="w:gz"), zip_of(tmp_path / "a.zip")):
        assert unpack(archive).files == ()


def test_sparse_members_are_passed_over(tmp_path):
    """A sparse file of a few bytes may say that it is terabytes long."""
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.size": str(2**40)}
    info.pax_headers["GNU.sparse.map"] = "0,1"
    info.size = 1
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as target:
        target.addfile(info, io.BytesIO(b"x"))
    found = unpack(path)
    assert found.passed_over == {files.SPECIAL: 1} and not found.files


def test_a_long_chain_of_headers_is_refused(tmp_path):
    """tarfile goes one call deeper for every header that describes the next one."""
    path = tmp_path / "a.tar"
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 2
    block = link.tobuf(tarfile.GNU_FORMAT) + b"x\0".ljust(512, b"\0")
    path.write_bytes(block * 5000 + bytes(1024))
    with pytest.raises(CatalogueError, match="E_ARCHIVE"):
        unpack(path)


def test_kinds_are_told_by_content():
    assert archive_kind(b"PK\x03\x04") == "zip" and archive_kind(b"\x1f\x8b\x08") == "gzip"
    assert archive_kind(bytes(257) + b"ustar  \0") == "tar"
    assert archive_kind(bytes(128) + b"DICM" + bytes(380)) is None and archive_kind(b"") is None


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, cache, monkeypatch):
    archive = tar_of(tmp_path / "a.tar", ("a", b"content"))

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_store", full)
    with pytest.raises(OutputError, match="full disk"):
        unpack(archive)
    assert not unpacked(cache)


def test_a_member_of_negative_size_is_damage(tmp_path, cache):
    """tarfile reads on before the member, which would never end; seeking there is an error without words."""
    info = tarfile.TarInfo("a")
    info.size = -1024
    header = info.tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "a.tar").write_bytes(header + bytes(2048))
    with pytest.raises(CatalogueError, match="E_ARCHIVE"):
        unpack(tmp_path / "a.tar")
    assert not unpacked(cache)
