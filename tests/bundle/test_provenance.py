"""Whom pretrained weights have seen, as the references beside them say."""

from pathlib import Path

from mpmri_monai import artefacts
from mpmri_monai.bundle.provenance import seen_by

SEEN = [{"salt": "a", "patients": ["ab"]}]


def write_weights(path: Path, reference: str, seen: list) -> str:
    artefacts.write_text(path, f"weights of {path.name}")
    content = {"weights_sha256": artefacts.file_digest(path), "trained_on": {"seen": seen}}
    artefacts.write_json(path.parent / reference, content)
    return str(path)


def test_several_weights_in_one_folder_have_references_of_their_own(tmp_path):
    model = write_weights(tmp_path / "model.pt", "reference.json", SEEN)
    pretrained = write_weights(tmp_path / "pretrained.pt", "pretrained.json", [])
    assert seen_by(model) == SEEN
    assert seen_by(pretrained) == []


def test_a_reference_about_other_weights_says_nothing(tmp_path):
    pretrained = write_weights(tmp_path / "pretrained.pt", "pretrained.json", [])
    artefacts.write_text(pretrained, "others")
    assert seen_by(pretrained) is None
    assert seen_by(str(tmp_path / "missing.pt")) is None
