import json

import pytest

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import adopt, contents
from mpmri_monai.errors import BundleError


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.pt").write_bytes(b"weights")
    digest = artefacts.file_digest(folder / "model.pt")
    (folder / "reference.json").write_text(json.dumps({"weights_sha256": digest}))
    return folder


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text("{}")
    return folder


def test_adopting_copies_the_weights_and_lists_every_file(run, bundle):
    adopt(run, bundle)
    listed = artefacts.read_json(bundle / "contents.json")
    assert set(listed) == {"configs/metadata.json", "models/model.pt", "models/reference.json"}
    assert listed == contents(bundle)
    (bundle / "models" / "model.pt").write_bytes(b"other")
    assert listed != contents(bundle)


@pytest.mark.parametrize("lost", ["model.pt", "reference.json"])
def test_an_unfinished_run_is_refused(run, bundle, lost):
    (run / lost).unlink()
    with pytest.raises(BundleError, match=lost):
        adopt(run, bundle)
    assert not (bundle / "models").exists()


def test_weights_of_another_run_are_refused(run, bundle):
    (run / "model.pt").write_bytes(b"others")
    with pytest.raises(BundleError, match="others"):
        adopt(run, bundle)


def test_a_folder_that_is_no_bundle_is_refused(run, tmp_path):
    with pytest.raises(BundleError, match="metadata"):
        adopt(run, tmp_path)
