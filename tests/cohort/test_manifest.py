import json
import pickle
from pathlib import Path

import pytest

from mpmri_monai.cohort import DicomImage, load_manifest, parse_manifest, save_manifest
from mpmri_monai.errors import ManifestError


def load(content, tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    return load_manifest(path)


def refusal(content, tmp_path) -> str:
    with pytest.raises(ManifestError) as caught:
        load(content, tmp_path)
    return str(caught.value)


def test_content_survives_writing_and_reading(content, tmp_path):
    manifest = load(content, tmp_path)
    assert manifest.folder == tmp_path
    assert manifest.studies[0].images["S0"] == DicomImage(dicom="P001/dicom", volume="v1")
    save_manifest(manifest, tmp_path / "again.json")
    assert load_manifest(tmp_path / "again.json").digest() == manifest.digest()
    assert manifest.path("P001/T2.nii.gz") == tmp_path / "P001" / "T2.nii.gz"


def test_survives_a_process_boundary_with_its_folder(content, tmp_path):
    manifest = load(content, tmp_path)
    assert pickle.loads(pickle.dumps(manifest)) == manifest
    assert pickle.loads(pickle.dumps(manifest)).folder == tmp_path


def test_digest_follows_the_content_only(content, tmp_path):
    first = load(content, tmp_path).digest()
    reordered = dict(reversed(content.items()))
    assert load(reordered, tmp_path).digest() == first
    content["studies"][0]["lesions"][0]["labels"]["grade"] = "well"
    assert load(content, tmp_path).digest() != first


def test_saving_elsewhere_keeps_pointing_at_the_same_files(content, tmp_path):
    content["truth"] = "truth.csv"
    content["studies"][1]["images"]["T2"] = str(tmp_path / "far" / "T2.nii.gz")
    content["studies"][1]["organs"] = {"liver": {"mask": "P002/seg.dcm", "segment": 2}}
    manifest = load(content, tmp_path)
    save_manifest(manifest, tmp_path / "deep" / "er" / "m.json")
    moved = load_manifest(tmp_path / "deep" / "er" / "m.json")
    first, second = moved.studies

    def same(name: str, original: str) -> bool:
        return moved.path(name).resolve() == manifest.path(original).resolve()

    assert same(first.images["T2"], "P001/T2.nii.gz")
    assert same(first.images["S0"].dicom, "P001/dicom")
    assert same(first.organs["liver"], "P001/liver.nii.gz")
    assert same(first.lesions[0].region.mask, "P001/lesions.nii.gz")
    assert same(second.organs["liver"].mask, "P002/seg.dcm")
    assert second.images["T2"] == content["studies"][1]["images"]["T2"], "an absolute path stays"
    assert same(moved.truth, "truth.csv")


@pytest.mark.parametrize(
    ("place", "key", "hint"),
    [
        ((), "clases", "classes"),
        (("studies", 0), "pateint", "patient"),
        (("studies", 0, "lesions", 0), "drawnon", "drawn_on"),
        (("studies", 0, "images", "S0"), "volme", "volume"),
        (("studies", 0, "lesions", 0, "region"), "vale", "value"),
    ],
)
def test_misspelt_key_is_refused_with_the_near_match(content, tmp_path, place, key, hint):
    record = content
    for step in place:
        record = record[step]
    record[key] = 1
    message = refusal(content, tmp_path)
    assert key in message
    assert f"did you mean '{hint}'?" in message
    assert "valid string" not in message


@pytest.mark.parametrize(
    "region",
    [
        {},
        {"mask": "a.nii"},
        {"mask": "a.nii", "value": 1, "segment": 1},
        {"value": 1},
        {"center_mm": [0, 0, 0]},
        {"center_mm": [0, 0, 0], "size_mm": [1, 1, 0]},
        {"center_mm": [0, 0, 0], "size_mm": [1, 1, 1e12]},
        {"center_mm": [0, 0, float("nan")], "size_mm": [1, 1, 1]},
        {"mask": "a.nii", "value": 0},
    ],
)
def test_region_has_exactly_one_form(content, tmp_path, region):
    content["studies"][0]["lesions"][0]["region"] = region
    assert "region" in refusal(content, tmp_path)


@pytest.mark.parametrize(
    "region", [{"mask": "a.nii", "value": 3}, {"mask": "a.dcm", "segment": 1}, {"mask": "a.dcm", "roi": 2}]
)
def test_every_form_of_region_is_read(content, tmp_path, region):
    content["studies"][0]["lesions"][0]["region"] = region
    read = load(content, tmp_path).studies[0].lesions[0].region
    assert read.model_dump(exclude_none=True) == region


def test_unknown_label_is_refused_with_the_near_match(content, tmp_path):
    content["studies"][0]["lesions"][0]["labels"] = {"grade": "porly"}
    message = refusal(content, tmp_path)
    assert "P001-L1" in message
    assert "did you mean 'poorly'?" in message


def test_unknown_sequence_is_refused(content, tmp_path):
    content["studies"][0]["images"]["OUT"] = "x.nii.gz"
    assert "unknown sequence 'OUT'" in refusal(content, tmp_path)


def test_repeated_ids_are_refused(content, tmp_path):
    content["studies"][1]["study"] = "P001-1"
    content["studies"][0]["lesions"] *= 2
    message = refusal(content, tmp_path)
    assert "study P001-1 is listed 2 times" in message
    assert "lesion P001-L1 is listed 2 times" in message


def test_background_names_are_kept(content, tmp_path):
    content["studies"][0]["lesions"][0]["id"] = "BG-1"
    assert "BG-" in refusal(content, tmp_path)


@pytest.mark.parametrize("name", ["DOE^JANE", "../P001", "", "a/b", "P 1", "x" * 65])
def test_names_are_no_paths_and_no_person_names(content, tmp_path, name):
    content["studies"][0]["patient"] = name
    message = refusal(content, tmp_path)
    assert "studies[0].patient" in message
    if len(name) > 1:
        assert name not in message, "what stands in place of a name may be an identifier"


def test_a_key_given_twice_is_refused(tmp_path):
    path = tmp_path / "m.json"
    path.write_text('{"schema": "mpmri-monai/manifest/1", "name": "a", "name": "b"}')
    with pytest.raises(ManifestError, match="'name' twice"):
        load_manifest(path)


def test_unreadable_files_are_refused_in_words(tmp_path):
    with pytest.raises(ManifestError, match="No such file"):
        load_manifest(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text('{"schema": ')
    with pytest.raises(ManifestError, match="in JSON"):
        load_manifest(tmp_path / "broken.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ManifestError, match="in JSON"):
        load_manifest(tmp_path / "deep.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ManifestError):
        load_manifest(tmp_path / "list.json")


def test_other_anatomy_declares_its_own_sequences():
    content = {
        "schema": "mpmri-monai/manifest/1",
        "name": "brains",
        "sequences": ["T1", "FLAIR"],
        "classes": {"health": ["healthy", "unhealthy"]},
        "studies": [
            {"patient": "a", "study": "a1", "site": "x", "labels": {"health": "healthy"}, "images": {"T1": "a.nii"}}
        ],
    }
    assert parse_manifest(content, Path(), "here").studies[0].lesions == ()


def test_one_region_is_one_lesion_and_one_image_one_sequence(content, tmp_path):
    lesions = content["studies"][0]["lesions"]
    lesions.append({**lesions[0], "id": "P001-L2", "labels": {"grade": "well"}})
    images = content["studies"][1]["images"]
    images["IN"] = images["T2"]
    with pytest.raises(ManifestError) as refused:
        parse_manifest(content, tmp_path, "here")
    assert "study P001-1: lesions P001-L1 and P001-L2 are the same" in str(refused.value)
    assert "study P002-1: sequences T2 and IN are the same" in str(refused.value)
