import json

import pytest

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import adopt, contents, write_contents
from mpmri_monai.errors import BundleError


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.pt").write_bytes(b"weights")
    digest = artefacts.file_digest(folder / "model.pt")
    (folder / "reference.json").write_text(
        json.dumps({"weights_sha256": digest, "fusion": "T2-OUT-S4", "classes": ["well", "poorly"]})
    )
    return folder


def write_metadata(bundle, names):
    """Channels are written in the wrong order: only their numbers count."""
    data = {
        side: {key: {"channel_def": {str(i): channel[i] for i in reversed(range(len(channel)))}}}
        for side, values in names.items()
        for key, channel in values.items()
    }
    (bundle / "configs" / "metadata.json").write_text(json.dumps({"network_data_format": data}))


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    names = {"inputs": {"image": ["T2", "OUT", "S4"]}, "outputs": {"pred": ["well", "poorly"]}}
    write_metadata(folder, names)
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


@pytest.mark.parametrize("content", ["{", "[]", '{"classes": ["cat"], "weights_sha256": "0"}'])
def test_a_run_of_another_kind_is_refused(run, bundle, content):
    """One on natural images has no sequences."""
    (run / "reference.json").write_text(content)
    with pytest.raises(BundleError, match=r"reference\.json|MR sequences"):
        adopt(run, bundle)
    assert not (bundle / "models").exists()


def test_contents_are_of_a_folder_that_is_there(tmp_path):
    with pytest.raises(BundleError, match="the folder of a bundle"):
        write_contents(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_weights_of_another_run_are_refused(run, bundle):
    (run / "model.pt").write_bytes(b"others")
    with pytest.raises(BundleError, match="others"):
        adopt(run, bundle)


def test_a_folder_that_is_no_bundle_is_refused(run, tmp_path):
    with pytest.raises(BundleError, match="metadata"):
        adopt(run, tmp_path)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_run_with_other_channels_than_the_metadata_says_is_refused(run, bundle, side):
    names = {"inputs": {"image": ["T2", "OUT", "S4"]}, "outputs": {"pred": ["well", "poorly"]}}
    key = next(iter(names[side]))
    write_metadata(bundle, names | {side: {key: names[side][key][::-1]}})
    with pytest.raises(BundleError, match="E_CHANNELS"):
        adopt(run, bundle)
    assert not (bundle / "models").exists()


@pytest.mark.parametrize(("promised", "needed"), [(["T2"], []), ([], None), (["T2", "OUT", "S4"], ["T2", "S4"])])
def test_a_run_that_requires_other_sequences_than_the_metadata_says_is_refused(run, bundle, promised, needed):
    """Where the reference does not say, all of the fusion are required."""
    metadata = artefacts.read_json(bundle / "configs" / "metadata.json")
    artefacts.write_json(bundle / "configs" / "metadata.json", metadata | {"required_sequences": promised})
    reference = artefacts.read_json(run / "reference.json")
    if needed is not None:
        artefacts.write_json(run / "reference.json", reference | {"required": needed})
    with pytest.raises(BundleError, match=r"E_CHANNELS.*required sequences"):
        adopt(run, bundle)
    artefacts.write_json(run / "reference.json", reference | {"required": promised})
    adopt(run, bundle)
