"""The self-test of the bundle that ships, and of copies of it that were tampered with."""

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai import artefacts
from mpmri_monai.bundle import selftest as module
from mpmri_monai.bundle.adopt import contents, write_contents
from mpmri_monai.bundle.selftest import TOLERANCE, TOLERANCE_ELSEWHERE, Comparison, read_expected, renew, selftest
from mpmri_monai.bundle.selftest_command import selftest_command
from mpmri_monai.bundle.selftest_study import LARGEST_BYTES, preset_of, write_study
from mpmri_monai.errors import BundleError, ConfigError, MpmriError, WeightsError

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
LIVER = ["T2", "IN", "OUT", "S0", "S1", "S2", "S3", "S4", "S5"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(artefacts.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def bundle(tmp_path):
    shutil.copytree(BUNDLES / "hcc_grade", tmp_path / "hcc_grade")
    return tmp_path / "hcc_grade"


@pytest.fixture
def answers(monkeypatch):
    """answers(table) lets the bundle answer so, without running it."""
    return lambda table: monkeypatch.setattr(module, "answer", lambda *given: table)


def change(bundle, **values):
    path = bundle / "selftest" / "expected.json"
    path.write_text(json.dumps(artefacts.read_json(path) | values))


@pytest.mark.parametrize("name", ["hcc_grade", "hcc_detection"])
def test_a_shipped_bundle_answers_here_as_it_did_where_it_was_made(name, capsys):
    """Where weights or inference were changed on purpose: mpmri bundle selftest bundles/NAME --renew."""
    assert selftest_command(BUNDLES / name) == 0
    assert "Passed" in capsys.readouterr().out
    files = [path for path in (BUNDLES / name / "selftest").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_BYTES


def test_an_image_that_is_half_a_pixel_off_is_noticed(bundle):
    path = bundle / "selftest" / "study" / "T2.nii.gz"
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 0] / 2
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)
    with pytest.raises(BundleError, match="a difference of"):
        selftest(bundle)


def test_renewing_writes_the_same_study_and_answers_and_lists_its_files_alone(bundle):
    write_contents(bundle)
    before = contents(bundle)
    (bundle / "docs" / "README.md").write_text("changed, and not by this")
    shutil.copy(bundle / "selftest" / "expected.json", bundle / "selftest" / "left.json")
    write_contents(bundle, under="selftest/")
    renew(bundle)
    assert artefacts.read_json(bundle / "contents.json") == before
    assert not [path for path in bundle.iterdir() if path.name.startswith(".")]


def test_a_difference_within_the_tolerance_passes_and_one_beyond_it_fails(bundle, answers):
    expected = read_expected(bundle)["lesions"]
    first = next(iter(expected))
    name = next(iter(expected[first]))
    moved = lambda by: expected | {first: expected[first] | {name: expected[first][name] + by}}  # noqa: E731
    answers(moved(0.9 * TOLERANCE))
    assert selftest(bundle).difference == pytest.approx(0.9 * TOLERANCE)
    answers(moved(1.1 * TOLERANCE))
    with pytest.raises(BundleError, match="do not trust"):
        selftest(bundle)
    answers(
        {lesion: dict.fromkeys(classes, float("nan")) | {name: classes[name]} for lesion, classes in expected.items()}
    )
    with pytest.raises(BundleError, match="do not trust"):
        selftest(bundle)
    answers(moved(0.9 * TOLERANCE_ELSEWHERE))
    assert selftest(bundle, "cuda").tolerance == TOLERANCE_ELSEWHERE


def test_the_difference_is_the_largest_of_all_classes_and_lesions():
    expected = {"L1": {"a": 0.5, "b": 0.5}, "L2": {"a": 0.1, "b": 0.9}}
    answered = {"L1": {"a": 0.51, "b": 0.49}, "L2": {"a": 0.3, "b": 0.7}}
    assert Comparison(answered, expected, 1e-3).difference == pytest.approx(0.2)


def test_an_answer_about_other_lesions_or_classes_fails(bundle, answers):
    answers({"L1": {"well": 1.0}})
    with pytest.raises(BundleError, match="E_SELFTEST"):
        selftest(bundle)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda b: (b / "selftest" / "expected.json").unlink(), "no selftest/expected.json.*--renew"),
        (lambda b: (b / "selftest" / "expected.json").write_text("{"), "another"),
        (lambda b: (b / "selftest" / "expected.json").write_text("[]"), "another"),
        (lambda b: change(b, schema="x"), "another"),
        (lambda b: change(b, lesions={}), "another"),
        (lambda b: change(b, lesions={"L1": {"well": "much"}}), "another"),
        (lambda b: change(b, tolerance=0.5), "tolerance of at most"),
        (lambda b: change(b, tolerance=float("nan")), "tolerance of at most"),
        (lambda b: change(b, weights_sha256="0"), "one of others.*--renew"),
        (lambda b: shutil.copy(b / "models" / "pretrained.pt", b / "models" / "model.pt"), "one of others.*--renew"),
    ],
)
def test_an_expectation_that_cannot_be_trusted_is_refused(bundle, damage, found):
    damage(bundle)
    with pytest.raises(BundleError, match=f"E_SELFTEST.*{found}"):
        selftest(bundle)


def test_a_bundle_that_is_not_safe_is_not_run(bundle, tmp_path):
    path = bundle / "configs" / "inference.json"
    config = artefacts.read_json(path)
    config["initialize"].append(f"$__import__('pathlib').Path('{tmp_path}/ran').touch()")
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match="E_UNSAFE"):
        selftest(bundle)
    assert not (tmp_path / "ran").exists()


def test_what_keeps_a_bundle_from_answering_is_said_as_it_is(bundle):
    (bundle / "selftest" / "study" / "T2.nii.gz").unlink()
    with pytest.raises(MpmriError, match="T2"):
        selftest(bundle)


def test_a_record_without_its_weights_is_said(bundle):
    (bundle / "models" / "model.pt").unlink()
    with pytest.raises(WeightsError, match="found none"):
        renew(bundle)


def test_weights_of_another_record_are_not_expected_anything_of(bundle):
    shutil.copy(bundle / "models" / "pretrained.pt", bundle / "models" / "model.pt")
    with pytest.raises(WeightsError):
        renew(bundle)
    assert (bundle / "selftest" / "expected.json").is_file()


def test_equal_arguments_give_equal_files_around_the_lesion(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_study(tmp_path / name, preset_of("liver", LIVER), LIVER, 1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    mask = nibabel.load(tmp_path / "a" / "lesions.nii.gz")
    values = np.asarray(mask.dataobj)
    assert set(np.unique(values)) == {0, 1, 2}
    grid = nibabel.load(tmp_path / "a" / "study" / "S3.nii.gz")
    assert grid.shape == mask.shape and np.allclose(grid.affine, mask.affine)
    corners = nibabel.affines.apply_affine(mask.affine, np.argwhere(values == 1))
    for sequence in LIVER:
        image = nibabel.load(tmp_path / "a" / "study" / f"{sequence}.nii.gz")
        index = nibabel.affines.apply_affine(np.linalg.inv(image.affine), corners)
        assert (index.min(axis=0) > -0.5).all() and (index.max(axis=0) < np.array(image.shape) - 0.5).all()


def test_the_phantom_is_that_of_the_bundles_protocol():
    assert preset_of("brain", ["T2"]).bundle == "mctl_brain"
    assert preset_of("liver", ["T2"]).bundle == "hcc_grade"
    with pytest.raises(ConfigError, match="E_SELFTEST"):
        preset_of("prostate", ["T2", "ADC"])
