"""Who is trained on and scored: the same samples for every method, every class on both sides, no person twice."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mpmri_monai import cohort
from mpmri_monai.bundle import CohortData, default_cohort, enough_to_choose_by, keeps_best, manifest_of, task
from mpmri_monai.bundle.replica import COPIES
from mpmri_monai.cohort import write_splits
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.errors import ConfigError, LeakageError, ManifestError, SplitError
from mpmri_monai.samples import Settings
from mpmri_monai.sequences import GRADES, Task

PATIENTS = 9


@pytest.fixture
def manifest(tmp_path):
    studies = [
        {
            "patient": f"P{i}",
            "study": f"P{i}-1",
            "site": "A",
            "images": {"T2": f"P{i}.nii.gz"},
            "lesions": [{"id": "L1", "region": {"mask": "m.nii.gz", "value": 1}, "labels": {"grade": GRADES[i % 3]}}],
        }
        for i in range(PATIENTS)
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": "c", "sequences": ["T2", "OUT"], "studies": studies}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content | {"classes": {"grade": list(GRADES)}}))
    return path


@pytest.mark.parametrize("classes", [{}, {"organ": ["liver", "spleen"]}, {"grade": ["low", "high"]}])
def test_a_cohort_labelled_for_another_question_is_refused(manifest, classes):
    content = json.loads(manifest.read_text())
    for study in content["studies"]:
        study["lesions"][0]["labels"] = {}
    manifest.write_text(json.dumps(content | {"classes": classes}))
    with pytest.raises(ManifestError, match="which the task hcc_grade asks for"):
        CohortData(manifest, "hcc_grade", "T2", {}, {})


def table(absent=()):
    """One sample a patient; those in ``absent`` show OUT alone."""
    return pd.DataFrame(
        {
            "patient": [f"P{i}" for i in range(PATIENTS)],
            "study": [f"P{i}-1" for i in range(PATIENTS)],
            "site": "A",
            "lesion": "L1",
            "sample": "L1-00",
            "kind": "lesion",
            "extent_mm": 20.0,
            "label_grade": [GRADES[i % 3] for i in range(PATIENTS)],
            "present_T2": [i not in absent for i in range(PATIENTS)],
            "present_OUT": True,
        }
    )


@pytest.fixture
def make(manifest, monkeypatch):
    def build(rows=None, failed=None, task="hcc_grade", permutation=-1, same_voxels=(), **split):
        images = lambda indices, names: np.random.default_rng(0).random((len(indices), len(names), 52, 52), "f")  # noqa: E731
        voxels = {f"P{i}-1": {"T2": "same" if i in same_voxels else f"v{i}"} for i in range(PATIENTS)}
        table_ = table() if rows is None else rows
        store = SimpleNamespace(table=table_, failed=failed or {}, images=images, voxels=voxels)
        monkeypatch.setattr("mpmri_monai.bundle.stored_cohort.prepare", lambda *_, **__: store)
        return CohortData(manifest, task, "T2", {}, {"val": 0} | split, permutation=permutation)

    return build


def test_every_method_sees_the_samples_that_the_network_sees(make, caplog):
    trained = next(int(name[1:]) for name, role in make().roles.items() if role == "train")
    data = make(table(absent=(trained,)))
    seen = pd.concat([data.samples(role).table for role in ("train", "val", "test")])
    assert set(seen.index) == set(data.usable.index) == set(range(PATIENTS)) - {trained}
    assert "show no sequence of the fusion" in caplog.text
    assert set(data.splits["patient"]) == {f"P{i}" for i in range(PATIENTS)}  # the same for every fusion


def test_samples_are_no_views_of_the_table(make):
    data = make().samples("train")  # of one sequence: its flags are a single column
    assert data.present.flags.writeable and data.extent_mm.flags.writeable  # or torch warns


def test_a_class_that_the_fusion_does_not_show_is_refused(make):
    with pytest.raises(SplitError, match="none of class well"):
        make(table(absent=(0, 3, 6))).samples("train")


def test_a_study_without_lesions_is_neither_tumour_nor_background(make):
    rows = table()
    rows["kind"] = ["lesion", "background", "study"] * 3
    data = make(rows, task="hcc_vs_bg")
    assert set(data.rows["label"]) == {"hcc", "background"} and set(data.rows["kind"]) == {"lesion", "background"}
    assert len(data.samples("train").label) == (data.usable["patient"].map(data.roles) == "train").sum()


@pytest.mark.parametrize("told", [["lesion", "study", "study"], ["lesion", "lesion", "study"]])
def test_classes_that_the_place_of_the_crop_tells_are_refused(make, told):
    """Healthy studies as a whole beside crops around the lesions of unhealthy ones."""
    rows = table()
    rows["kind"] = told * 3
    with pytest.raises(ManifestError, match=r"E_KIND.*poorly: whole studies; well: lesions"):
        make(rows).samples("train")


def test_lesions_and_whole_studies_of_every_class_pass(make):
    rows = table()
    rows["kind"] = ["lesion"] * 6 + ["study"] * 3
    assert set(make(rows).rows["kind"]) == {"lesion", "study"}


def test_crops_of_other_planes_of_the_body_are_refused(make):
    rows = table().assign(flags=["", "partial:T2"] * 4 + ["oblique:OUT;sagittal:T2"])
    data = make(rows)
    assert len(data.usable) == PATIENTS  # 2.5D samples have no such flag
    data = make(rows)
    data.settings = Settings(grid={})
    with pytest.raises(ManifestError, match=r"E_PLANES.*8 studies with axial ones, 1 studies with sagittal"):
        data.samples("train")
    data = make(rows.assign(flags="sagittal:T2"))
    data.settings = Settings(grid={})
    assert len(data.usable) == PATIENTS


def splits_of(tmp_path, roles):
    rows = [("patient", name, "", "", 0, 0, "", role) for name, role in roles.items()]
    write_splits(tmp_path / "s.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    return str(tmp_path / "s.csv")


@pytest.mark.parametrize(("role", "lacking"), [("train", "test"), ("test", "train")])
def test_a_splits_file_without_a_class_is_refused_before_training(make, tmp_path, role, lacking):
    roles = {f"P{i}": role if i % 3 == 0 or i < 3 else lacking for i in range(PATIENTS)}
    with pytest.raises(SplitError, match=f"every class in {lacking}.*none of class well"):
        make(file=splits_of(tmp_path, roles)).samples("train")


def test_a_splits_file_may_leave_patients_out_one_by_one(make, tmp_path):
    """The only tested patient is of one class, as in the splits that leave each patient out in turn."""
    roles = {f"P{i}": "test" if i == 4 else "train" for i in range(PATIENTS)}
    data = make(file=splits_of(tmp_path, roles))
    assert data.samples("test").table["patient"].tolist() == ["P4"]
    assert len(data.samples("train").table) == PATIENTS - 1


def test_who_validates_where_one_patient_is_tested_may_lack_a_class(make, tmp_path):
    """As where a study of the splits could not be sampled: the fit is trained, and its epoch is not chosen."""
    roles = {f"P{i}": {3: "val", 4: "test"}.get(i, "train") for i in range(PATIENTS)}
    data = make(file=splits_of(tmp_path, roles))
    assert data.samples("val").table["patient"].tolist() == ["P3"]
    assert not keeps_best("auto", data)
    with pytest.raises(ConfigError, match="validation patients to choose"):
        keeps_best("yes", data)


def test_patients_whom_a_splits_file_leaves_out_are_counted(make, tmp_path, caplog):
    roles = {f"P{i}": "train" if i < 3 else "test" for i in range(PATIENTS - 1)}
    make(file=splits_of(tmp_path, roles)).samples("train")
    assert "1 patients have no role" in caplog.text


def test_a_splits_file_of_another_cohort_is_refused(make, tmp_path):
    with pytest.raises(SplitError, match="1 of 3 that it does not have"):
        make(file=splits_of(tmp_path, {"P0": "train", "P1": "test", "X": "test"})).samples("train")


def test_an_inner_fit_sees_no_outer_test_patient_and_keeps_no_best_epoch(make):
    outer = make(inner_folds=2)
    inner = make(inner_folds=2, inner=1)
    tested = {name for name, role in outer.roles.items() if role == "test"}
    seen = pd.concat([inner.samples(role).table for role in ("train", "val")])
    assert set(seen["patient"]) == set(outer.roles) - tested
    assert len(inner.samples("test").table) == 0
    assert inner.split_columns("val") == {"repeat": 0, "outer": 0, "inner": "1", "role": "val"}
    assert cohort.splits_digest(inner.splits) == cohort.splits_digest(outer.splits)
    assert not enough_to_choose_by(inner)


def test_a_patient_left_out_alone_is_tested_though_other_classes_are_not(make):
    data = make(leave_out="patient", fold=4)
    assert data.samples("test").table["patient"].tolist() == ["P4"]
    assert len(data.samples("train").table) == PATIENTS - 1


def test_a_replica_scores_six_copies_of_each_test_sample_and_validates_on_them(make):
    data = make(pd.concat([table()] * 2, ignore_index=True).assign(sample=["L1-00"] * 9 + ["L1-01"] * 9), unit="sample")
    assert data.replica
    assert enough_to_choose_by(data)
    train, test, val = (data.samples(role) for role in ("train", "test", "val"))
    assert len(train.table) + len(test.table) / 6 == 2 * PATIENTS
    assert not train.table["sample"].str.contains("+", regex=False).any()
    marks = test.table["sample"].str.partition("+")[2]
    assert set(marks) == {"", "rot90", "rot180", "rot270", "fliplr", "flipud"}
    assert (marks.value_counts() == len(test.table) / 6).all()
    assert np.array_equal(val.image, test.image)
    assert len(data.scored("val").table) == 0  # each sample has one role in the predictions
    assert not test.table.duplicated(["patient", "lesion", "sample"]).any()


def test_each_copy_is_the_view_that_its_name_says(make):
    test = make(unit="lesion").samples("test")
    count = len(test.table) // 6
    first = {name: test.image[place * count] for place, name in enumerate(COPIES)}
    plain = first[""]
    assert np.array_equal(first["+rot90"], np.rot90(plain, axes=(1, 2)))
    assert np.array_equal(first["+rot180"], plain[:, ::-1, ::-1])
    assert np.array_equal(first["+rot270"], np.rot90(plain, 3, axes=(1, 2)))
    assert np.array_equal(first["+fliplr"], plain[:, :, ::-1])
    assert np.array_equal(first["+flipud"], plain[:, ::-1])


@pytest.mark.parametrize("split", [{"unit": "sample"}, {"unit": "lesion"}, {"inner_folds": 2, "inner": 0}])
def test_a_report_of_a_replica_or_of_an_inner_fit_is_refused(make, split):
    with pytest.raises(ConfigError, match="--results predictions"):
        make(**split).refuse_report()
    make().refuse_report()


def test_patients_of_a_replica_have_no_one_role(make):
    with pytest.raises(SplitError, match="not patient-disjoint"):
        _ = make(unit="sample").roles


def test_permuted_labels_are_split_trained_and_scored_instead_of_the_true_ones(make):
    true, permuted = make(), make(permutation=3)
    assert not permuted.rows["label"].equals(true.rows["label"])
    assert sorted(permuted.rows["label"]) == sorted(true.rows["label"])
    worst = permuted.rows.set_index("patient")["label"]
    tested = permuted.samples("test")
    assert [permuted.task.classes[label] for label in tested.label] == worst[tested.table["patient"]].tolist()
    assert {worst[name] for name, role in permuted.roles.items() if role == "test"} == set(GRADES)


def test_lesion_and_background_may_be_permuted_too(make):
    both = pd.concat([table(), table().assign(kind="background", lesion="BG-1")], ignore_index=True)
    labels = make(both, task="hcc_vs_bg", permutation=0).rows.groupby("patient")["label"].agg(set)
    assert (labels == {"hcc", "background"}).all()


def test_every_image_is_known_by_its_voxels(make):
    images = make().image_table()
    assert list(images.columns) == ["patient", "study", "sequence", "voxels"]
    assert images["voxels"].tolist() == [f"v{i}" for i in range(PATIENTS)]


def test_studies_that_could_not_be_sampled_are_named(make, caplog):
    with caplog.at_level(logging.WARNING):
        _ = make(failed={"P8-1": "a missing slice"}).rows
    assert "study P8-1 is left out: a missing slice" in caplog.text


def test_one_image_under_two_patients_is_refused(make, manifest):
    content = json.loads(manifest.read_text())
    content["studies"][1]["images"]["T2"] = content["studies"][0]["images"]["T2"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(LeakageError, match="P0, P1"):
        make()


def test_the_same_voxels_under_two_patients_are_refused_whatever_their_files(make):
    with pytest.raises(LeakageError, match="P3, P7 with an image in common"):
        _ = make(same_voxels=(3, 7)).splits
    assert "role" in make(same_voxels=(3,)).splits.columns


def test_labels_are_permuted_or_they_are_not(make):
    with pytest.raises(ConfigError, match="permutation"):
        make(permutation=-2)


def test_the_default_cohort_is_made_when_it_is_opened_and_not_before(tmp_path, manifest, monkeypatch):
    made = []

    def write(folder, preset):
        made.append((folder, preset))
        folder.mkdir(parents=True)
        manifest.rename(folder / "manifest.json")

    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path))
    monkeypatch.setattr("mpmri_monai.phantom.write_cohort", write)
    place = manifest_of(default_cohort())
    assert place == f"{default_cohort()}/manifest.json"
    assert task("hcc_grade", place).classes == GRADES
    assert made == []
    for _ in range(2):
        assert CohortData(place, "hcc_grade", "T2", {}, {}).manifest.name == "c"
    assert made == [(Path(default_cohort()), "quick")]


def test_a_cohort_of_ones_own_is_read_where_it_lies(tmp_path):
    place = manifest_of(str(tmp_path / "own"))
    assert place == str(tmp_path / "own" / "manifest.json")
    with pytest.raises(ManifestError, match="No such file"):
        CohortData(place, "hcc_grade", "T2", {}, {})


ORGANS = ("spleen", "liver", "kidney")


@pytest.fixture
def organs(manifest):
    """The cohort with other labels: two lesions a patient, of organs in turn."""
    content = json.loads(manifest.read_text())
    for i, study in enumerate(content["studies"]):
        study["lesions"] = [
            {"id": f"L{k}", "region": {"mask": "m.nii.gz", "value": k}, "labels": {"organ": ORGANS[(i + k) % 3]}}
            for k in (1, 2)
        ]
    manifest.write_text(json.dumps(content | {"classes": {"organ": ORGANS}}))
    rows = [table().assign(lesion=f"L{k}", label_organ=[ORGANS[(i + k) % 3] for i in range(PATIENTS)]) for k in (1, 2)]
    background = table().assign(lesion="BG-1", kind="background", label_organ="")
    return pd.concat([*rows, background], ignore_index=True).drop(columns="label_grade")


def test_any_label_of_the_manifest_is_a_task_with_its_classes_in_order(make, organs):
    data = make(organs, task="organ")
    assert data.task == Task("organ", "organ", ORGANS, ordered=False, patient_level=False)
    seen = pd.concat([data.samples(role).table for role in ("train", "test")])
    assert len(seen) == 2 * PATIENTS  # background regions carry no label, and need no option to be left out
    trained = data.samples("train")
    assert [ORGANS[label] for label in trained.label] == trained.table["label"].tolist()
    assert not set(trained.table["patient"]) & set(data.samples("test").table["patient"])


def test_the_labels_of_another_question_may_be_permuted_too(make, organs):
    true, permuted = make(organs, task="organ").rows, make(organs, task="organ", permutation=1).rows
    assert not permuted["label"].equals(true["label"])
    assert (permuted.groupby("patient")["label"].nunique() == 2).all()


def test_the_classes_of_a_task_are_known_without_the_cohort_unless_it_declares_them(manifest, organs, tmp_path):
    assert task("organ", manifest).classes == ORGANS
    assert task("hcc_vs_bg", tmp_path / "none.json").classes == ("background", "hcc")
    with pytest.raises(
        ConfigError, match=r"among hcc_grade, hcc_vs_bg, brain, organ; found 'organs'.*did you mean organ\?"
    ):
        task("organs", manifest)
