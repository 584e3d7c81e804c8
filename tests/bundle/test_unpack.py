import io
import stat
import struct
import zipfile

import pytest

from mpmri_monai.bundle import unpack as unpacking
from mpmri_monai.bundle.unpack import unpack
from mpmri_monai.errors import BundleError, MpmriError

FILES = {"b/LICENSE": b"free", "b/configs/train.json": b"{}"}
LINK = (stat.S_IFLNK | 0o777) << 16
PIPE = (stat.S_IFIFO | 0o644) << 16


def zipped(path, files, attributes=0, compression=zipfile.ZIP_STORED, comment=b""):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            member = zipfile.ZipInfo(name)
            member.compress_type = compression
            member.external_attr = attributes if name == "b/odd" else 0
            archive.writestr(member, content)
        archive.comment = comment
    return path


def changed(archive, old, new):
    content = archive.read_bytes()
    assert old in content
    archive.write_bytes(content.replace(old, new))
    return archive


def test_a_packed_folder_comes_out_as_it_went_in(tmp_path):
    archive = zipped(tmp_path / "b.zip", FILES, compression=zipfile.ZIP_DEFLATED)
    folder = unpack(archive, tmp_path / "out")
    assert folder == tmp_path / "out" / "b"
    found = {f"b/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.*")}
    assert found == {"b/configs/train.json": b"{}"}
    assert (folder / "LICENSE").read_bytes() == b"free"


def test_folders_of_their_own_are_no_harm(tmp_path):
    assert (unpack(zipped(tmp_path / "b.zip", {"b/": b"", "b/docs/": b""} | FILES), tmp_path / "o") / "docs").is_dir()


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "b/../../outside", "/outside", "b//x", "b/.hidden", "b/..", "b\\..\\outside", "C:outside",
        "b/nul\x00", "b/new\nline", "b/\u202egnp.exe", "b/CON ", "other/file", "loose",
    ],
)  # fmt: skip
def test_a_name_that_no_bundle_has_is_refused(tmp_path, name):
    archive = zipped(tmp_path / "b.zip", FILES | {name.replace("\x00", "0"): b"x"})
    if "\x00" in name:
        changed(archive, b"b/nul0", b"b/nul\x00")
    with pytest.raises(BundleError, match="E_ARCHIVE"):
        unpack(archive, tmp_path / "out")
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("outside")]


@pytest.mark.parametrize("attributes", [LINK, PIPE])
def test_links_and_special_files_are_refused(tmp_path, attributes):
    archive = zipped(tmp_path / "b.zip", FILES | {"b/odd": b"/etc/passwd"}, attributes)
    with pytest.raises(BundleError, match="a link or a special file"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("twice", ["b/LICENSE", "b/licence"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(tmp_path, twice):
    archive = zipped(tmp_path / "b.zip", [("b/LICENSE", b"1"), ("b/LICENCE", b"2"), (twice, b"3")])
    with pytest.raises(BundleError, match="more than once"):
        unpack(archive, tmp_path / "out")


def test_a_file_in_a_folders_place_is_refused(tmp_path):
    archive = zipped(tmp_path / "b.zip", FILES | {"b/configs": b"x"})
    with pytest.raises(MpmriError, match="E_ARCHIVE"):
        unpack(archive, tmp_path / "out")


def test_a_password_a_comment_or_a_rare_compression_is_refused(tmp_path):
    entry = b"PK\x01\x02\x14\x03\x14\x00"  # of the list of members; the flags follow
    locked = changed(zipped(tmp_path / "a.zip", {"b/x": b"x"}), entry + b"\x00", entry + b"\x01")
    told = zipped(tmp_path / "c.zip", FILES, comment=b"PK")
    rare = zipped(tmp_path / "d.zip", FILES, compression=zipfile.ZIP_LZMA)
    for archive, found in ((locked, "password"), (told, "behind its end"), (rare, "unusual compression")):
        with pytest.raises(BundleError, match=found):
            unpack(archive, tmp_path / "out")


def test_what_is_no_archive_or_a_part_of_one_is_refused(tmp_path):
    whole = zipped(tmp_path / "b.zip", FILES).read_bytes()
    for content in (b"", b"weights", whole[:-1], whole[:40], whole + b"x"):
        (tmp_path / "cut.zip").write_bytes(content)
        with pytest.raises(BundleError, match="E_ARCHIVE"):
            unpack(tmp_path / "cut.zip", tmp_path / "out")


def test_changed_bytes_are_noticed(tmp_path):
    with pytest.raises(BundleError, match="damaged"):
        unpack(changed(zipped(tmp_path / "b.zip", FILES), b"free", b"fear"), tmp_path / "out")


def test_more_files_than_a_bundle_has_are_refused_before_they_are_listed(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "b.zip", {f"b/{number}": b"" for number in range(unpacking.MAX_MEMBERS + 1)})
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(BundleError, match="E_LIMIT"):
        unpack(archive, tmp_path / "out")


def test_an_end_that_lies_about_the_number_of_files_helps_nobody(tmp_path):
    archive = zipped(tmp_path / "b.zip", {f"b/{number}": b"" for number in range(unpacking.MAX_MEMBERS + 1)})
    content = bytearray(archive.read_bytes())
    struct.pack_into("<HH", content, len(content) - 14, 3, 3)
    archive.write_bytes(content)
    with pytest.raises(BundleError):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_before_a_byte_of_it_is_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ANY_RATIO_BYTES", 1000)
    archive = zipped(tmp_path / "b.zip", {"b/zeros": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="E_LIMIT"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_member_is_no_longer_than_it_says(tmp_path):
    """The list says 10 bytes, the compressed data hold a million: no more than 10 are stored."""
    archive = zipped(tmp_path / "b.zip", {"b/zeros": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED)
    changed(archive, struct.pack("<L", 10**6), struct.pack("<L", 10))
    with pytest.raises(BundleError, match="E_ARCHIVE"):
        unpack(archive, tmp_path / "out")
    stored = tmp_path / "out" / "b" / "zeros"
    assert not stored.exists() or stored.stat().st_size <= 10


def test_zip64_is_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("b/x", b"x")
    end = content.getvalue()[-22:]
    (tmp_path / "b.zip").write_bytes(content.getvalue()[:-22] + b"PK\x06\x07" + bytes(16) + end)
    with pytest.raises(BundleError, match="E_LIMIT"):
        unpack(tmp_path / "b.zip", tmp_path / "out")
