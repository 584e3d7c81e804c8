"""A new version of a bundle: what changes, what stays, and that the old one is left alone."""

import json

import pytest

from mpmri_monai.artefacts import file_digest
from mpmri_monai.bundle.adopt import contents
from mpmri_monai.bundle.version import new_version, next_version
from mpmri_monai.errors import BundleError, OutputError


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "hcc_grade"
    for name in ("configs", "models", "docs", "runs/x", "__pycache__"):
        (folder / name).mkdir(parents=True)
    (folder / "configs/metadata.json").write_text(json.dumps({"version": "0.2.3", "changelog": {"0.2.3": "first"}}))
    (folder / "models/reference.json").write_text(json.dumps({"weights_sha256": "abc", "task": "t"}))
    (folder / "models/model.pt").write_bytes(b"old weights")
    (folder / "docs/README.md").write_text("text")
    (folder / "runs/x/log.txt").write_text("log")
    (folder / ".secret").write_text("hidden")
    return folder


def made(old, tmp_path, name="new", **options):
    target = tmp_path / name
    version = new_version(old, target, "tuned", {"weights_sha256": "def", "task": "t"}, **options)
    return target, version, json.loads((target / "models/reference.json").read_text())


def test_the_new_version_says_what_was_done_to_which_weights(old, tmp_path):
    weights = tmp_path / "tuned.pt"
    weights.write_bytes(b"new weights")
    before = contents(old)
    target, version, reference = made(old, tmp_path, weights=weights, details={"depth": 2})
    assert version == "0.3.0"
    assert (target / "models/model.pt").read_bytes() == b"new weights"
    metadata = json.loads((target / "configs/metadata.json").read_text())
    assert metadata == {"version": "0.3.0", "changelog": {"0.3.0": "tuned", "0.2.3": "first"}}
    step = {"version": "0.3.0", "from": {"version": "0.2.3", "weights_sha256": "abc"}, "change": "tuned", "depth": 2}
    assert reference == {"weights_sha256": "def", "task": "t", "history": [step]}
    assert contents(old) == before


def test_history_grows_and_without_new_weights_the_old_ones_stay(old, tmp_path):
    first, *_ = made(old, tmp_path)
    second, version, reference = made(first, tmp_path, "newer")
    assert version == "0.4.0"
    assert [step["version"] for step in reference["history"]] == ["0.3.0", "0.4.0"]
    assert (second / "models/model.pt").read_bytes() == b"old weights"


def test_contents_are_renewed_and_runs_and_hidden_files_stay_behind(old, tmp_path):
    target, *_ = made(old, tmp_path)
    listed = json.loads((target / "contents.json").read_text())
    assert listed["models/reference.json"] == file_digest(target / "models/reference.json")
    assert {path.name for path in target.iterdir()} == {"configs", "models", "docs", "contents.json"}


@pytest.mark.parametrize("version", ["1", "1.2", "unknown", "0.2.0-rc1"])
def test_a_version_that_has_no_next_one_is_refused(version):
    with pytest.raises(BundleError, match="version"):
        next_version(version)


def test_nothing_is_overwritten_and_no_bundle_is_refused(old, tmp_path):
    made(old, tmp_path)
    with pytest.raises(OutputError):
        made(old, tmp_path)
    (old / "models/reference.json").unlink()
    with pytest.raises(BundleError, match="reference"):
        made(old, tmp_path, "other")
    assert not (tmp_path / "other").exists()
