import json
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import contents, write_contents
from mpmri_monai.bundle.pack import opened, pack
from mpmri_monai.bundle.unpack import PLAIN_NAME
from mpmri_monai.errors import BundleError, MpmriError, OutputError

METADATA = {
    "name": "Test", "version": "1.2.0", "license": "Apache-2.0", "intended_use": "Research", "monai_version": "1.6.1",
    "required_packages_version": {"mpmri_monai": "0.1.0"},
}  # fmt: skip
SEEN = [{"salt": "s", "patients": ["abc" * 20]}]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(artefacts.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "hcc_test"
    for name in ("configs", "models", "docs", "runs", ".hidden"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file.txt").write_text(name)
    (folder / "LICENSE").write_text("free")
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "models" / "model.pt").write_bytes(b"weights")
    reference = {
        "weights_sha256": artefacts.file_digest(folder / "models" / "model.pt"),
        "network": {"in_channels": 3},
        "trained_on": {"cohort": "c", "manifest_digest": "m", "splits_digest": "d", "seen": SEEN},
        "results": {"lesion": {"accuracy": 0.5}},
        "ceiling": {"fusion": 0.7},
        "tsic": {},
    }
    (folder / "models" / "reference.json").write_text(json.dumps(reference))
    write_contents(folder)
    return folder


def test_equal_files_make_equal_archives_whatever_their_times(bundle, tmp_path):
    first = pack(bundle, tmp_path / "a.zip")
    for path in bundle.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    (bundle / "runs" / "more.txt").write_text("does not travel")
    assert pack(bundle, tmp_path / "elsewhere" / "b.zip") == first
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "elsewhere" / "b.zip").read_bytes()


def test_an_archive_holds_the_files_their_list_and_where_they_come_from(bundle, tmp_path):
    pack(bundle, tmp_path / "a.zip")
    assert not (bundle / "provenance.json").exists()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert {name.partition("/")[0] for name in names} == {"hcc_test"}
    with opened(tmp_path / "a.zip") as folder:
        listed, told = (artefacts.read_json(folder / f"{name}.json") for name in ("contents", "provenance"))
        assert contents(folder) == listed
    assert set(listed) == set(contents(bundle)) | {"provenance.json"}
    assert told["license"] == "Apache-2.0" and told["intended_use"] == "Research" and told["version"] == "1.2.0"
    weights = told["weights"]["models/model.pt"]
    assert weights["sha256"] == artefacts.file_digest(bundle / "models" / "model.pt")
    assert weights["trained_on"] == {"cohort": "c", "manifest_digest": "m", "splits_digest": "d"}  # no hashed patients
    assert weights["results"] == {"lesion": {"accuracy": 0.5}} and weights["ceiling"] == {"fusion": 0.7}
    assert told["versions"]["monai_version"] == "1.6.1" and told["research_use_only"]


def test_what_was_unpacked_packs_to_the_same(bundle, tmp_path):
    first = pack(bundle, tmp_path / "a.zip")
    with opened(tmp_path / "a.zip") as folder:
        assert pack(folder, tmp_path / "b.zip") == first


def test_the_unpacked_folder_is_private_and_goes_even_after_an_error(bundle, tmp_path, cache):
    pack(bundle, tmp_path / "a.zip")
    with pytest.raises(KeyError), opened(tmp_path / "a.zip") as folder:
        assert folder.name == "hcc_test" and folder.is_relative_to(cache)
        assert not (cache / "bundles").stat().st_mode & 0o077
        raise KeyError
    assert not folder.exists()


@given(
    files=st.dictionaries(
        st.lists(st.from_regex(PLAIN_NAME, fullmatch=True), min_size=2, max_size=3).map("/".join),
        st.binary(max_size=100),
        max_size=5,
    ),
    swapped=st.randoms(),
)
@settings(max_examples=25, deadline=None)
def test_whatever_files_there_are_come_out_as_they_went_in(files, swapped):
    with tempfile.TemporaryDirectory() as scratch:
        archives = []
        for name in ("one", "two"):
            folder = Path(scratch, name, "bundle")
            (folder / "configs").mkdir(parents=True)
            (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
            order = list(files)
            swapped.shuffle(order)
            for path in order:
                try:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).write_bytes(files[path])
                except OSError:  # a name that is too long, or another one's folder
                    assume(False)
            write_contents(folder)
            try:
                archives.append((folder, pack(folder, Path(scratch, f"{name}.zip"))))
            except BundleError as error:  # weights of no origin, names that differ in capitals alone
                assume(error.code not in ("E_ORIGIN", "E_NAME"))
                raise
        (folder, first), (_, second) = archives
        assert first == second
        with opened(Path(scratch, "one.zip")) as unpacked:
            assert contents(unpacked) == artefacts.read_json(unpacked / "contents.json")
            assert {k: v for k, v in contents(unpacked).items() if k != "provenance.json"} == contents(folder)


def test_a_folder_is_opened_as_it_is(bundle):
    with opened(bundle) as folder:
        assert folder == bundle
    assert bundle.is_dir()


def test_a_hostile_archive_leaves_nothing(tmp_path, cache):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b/x", b"x")
        archive.writestr("../../escaped", b"x")
    with pytest.raises(BundleError, match="E_ARCHIVE"), opened(tmp_path / "a.zip"):
        pass
    assert not list(tmp_path.rglob("escaped")) and not [path for path in (cache / "bundles").iterdir() if path.is_dir()]


def test_what_is_neither_folder_nor_file_is_refused(tmp_path):
    with pytest.raises(BundleError, match="neither"), opened(tmp_path / "none"):
        pass


def damaged(change):
    def damage(bundle):
        change(bundle)
        write_contents(bundle)

    return damage


def without(key):
    content = {name: value for name, value in METADATA.items() if name != key}
    return damaged(lambda bundle: (bundle / "configs" / "metadata.json").write_text(json.dumps(content)))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda b: (b / "LICENSE").write_text("sold"), r"changed: LICENSE.*mpmri bundle contents"),
        (lambda b: (b / "LICENSE").unlink(), r"missing: LICENSE.*mpmri bundle contents"),
        (lambda b: (b / "docs" / "new.md").write_text("x"), r"not listed: docs/new.md.*mpmri bundle contents"),
        (lambda b: (b / "contents.json").unlink(), "E_CONTENTS"),
        (lambda b: (b / "contents.json").write_text("[]"), "E_CONTENTS"),
        (lambda b: (b / "contents.json").write_text("{"), "E_CONTENTS"),
        (lambda b: (b / "docs" / "out").symlink_to("/etc/passwd"), "E_LINK.*docs/out"),
        (lambda b: (b / "docs" / "out").symlink_to(b.parent), "E_LINK.*docs/out"),
        (lambda b: os.mkfifo(b / "docs" / "pipe"), "E_LINK.*docs/pipe"),
        (without("license"), "E_TERMS.*no license"),
        (damaged(lambda b: (b / "configs" / "metadata.json").unlink()), "configs/metadata.json.*found none"),
        (damaged(lambda b: (b / "configs" / "metadata.json").write_text("[]")), "configs/metadata.json"),
        (damaged(lambda b: (b / "configs" / "metadata.json").write_text("{")), "configs/metadata.json"),
        (without("intended_use"), "E_TERMS.*no intended_use"),
        (damaged(lambda b: (b / "models" / "other.pt").write_bytes(b"x")), "E_ORIGIN.*other.json"),
        (damaged(lambda b: (b / "models" / "reference.json").write_text("{}")), "E_ORIGIN"),
        (damaged(lambda b: (b / "models" / "model.pt").write_bytes(b"others")), "E_WEIGHTS"),
        (damaged(lambda b: (b / "docs" / "Überblick.md").write_text("x")), "E_NAME"),
        (damaged(lambda b: (b / "docs" / "FILE.txt").write_text("x")), "E_NAME.*capitals"),
    ],
)
def test_a_bundle_that_is_not_in_order_is_not_packed(bundle, tmp_path, damage, found):
    damage(bundle)
    with pytest.raises(MpmriError, match=f"(?s){found}"):
        pack(bundle, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(BundleError, match="the folder of a bundle; found none"):
        pack(tmp_path / "nothing", tmp_path / "out.zip")


def test_an_archive_is_not_put_into_its_own_bundle(bundle):
    with pytest.raises(BundleError, match="outside"):
        pack(bundle, bundle / "docs" / "a.zip")


def test_a_place_that_cannot_be_written_is_said(bundle, tmp_path):
    (tmp_path / "a.zip").mkdir()
    with pytest.raises(OutputError):
        pack(bundle, tmp_path / "a.zip")
