import pandas as pd
import pytest

from mpmri_monai.report import tables
from mpmri_monai.sequences import GRADES, SEQUENCES, TASKS

TASK = TASKS["hcc_grade"]


def splits(roles, unit="patient", outer=0):
    """Return a splits table of one fold; a key of ``roles`` is (patient,), (patient, lesion) or (…, sample)."""
    fixed = {"unit": unit, "lesion": "", "sample": "", "repeat": 0, "outer": outer, "inner": ""}
    names = ("patient", "lesion", "sample")
    return pd.DataFrame([fixed | dict(zip(names, key, strict=False)) | {"role": role} for key, role in roles.items()])


def test_cohort_counts_patients_lesions_and_samples_by_class_and_role(store):
    roles = {(f"P{n:03d}",): ("test" if n < 6 else "train") for n in range(24)}
    of_sample = tables.sample_roles(store.table, splits(roles), (0, 0))
    assert tables.cohort_header(of_sample) == ["class", "training", "test", "all"]
    assert tables.cohort_rows(store.table, TASK, of_sample) == [
        ["well", "6 / 6 / 18", "2 / 2 / 6", "8 / 8 / 24"],
        ["moderately", "6 / 6 / 18", "2 / 2 / 6", "8 / 8 / 24"],
        ["poorly", "6 / 6 / 18", "2 / 2 / 6", "8 / 8 / 24"],
        ["all", "18 / 18 / 54", "6 / 6 / 18", "24 / 24 / 72"],
        ["liver background", "18 / – / 18", "6 / – / 6", "24 / – / 24"],
    ]


def test_studies_without_lesions_are_counted_like_lesions(build):
    store = build.grid_store(kind="study")
    assert tables.cohort_rows(store.table, TASK, None)[0] == ["well", "8 / 8 / 8"]
    table = store.table.assign(present_T2=[False] + [True] * 23)
    assert tables.missing_rows(table, SEQUENCES) == [["T2", "1 of 24", "1 of 24"]]


def test_cross_validation_has_no_single_role_a_patient(store):
    predictions = pd.DataFrame({"repeat": [0, 0], "outer": [0, 1]})
    assert tables.fold(predictions) is None
    assert tables.sample_roles(store.table, splits({("P000",): "test"}), None) is None
    assert tables.cohort_rows(store.table, TASK, None)[0] == ["well", "8 / 8 / 24"]


def test_only_the_fold_of_the_run_gives_roles(store):
    both = pd.concat([splits({("P000",): "test"}), splits({("P000",): "train"}, outer=1)])
    roles = tables.sample_roles(store.table, both, (0, 1))
    assert set(roles[store.table["patient"] == "P000"]) == {"train"}
    assert set(roles[store.table["patient"] != "P000"]) == {""}


def test_sample_splits_give_slices_of_one_lesion_their_own_roles(store):
    roles = {("P000", "P000-L1", "P000-L1-00"): "train", ("P000", "P000-L1", "P000-L1-01"): "test"}
    found = tables.sample_roles(store.table, splits(roles, unit="sample"), (0, 0))
    assert found[:3].tolist() == ["train", "test", ""]


def test_background_is_a_class_of_the_binary_task(store):
    labels = tables.sample_classes(store.table, TASKS["hcc_vs_bg"])
    assert labels.value_counts().to_dict() == {"hcc": 72, "background": 24}


def test_missing_sequences_are_counted_in_studies_and_samples(store):
    table = store.table.copy()
    table.loc[table["study"] == "P000-1", "present_OUT"] = False
    table.loc[table["sample"] == "P001-L1-00", "present_S5"] = False
    assert tables.missing_rows(table, SEQUENCES) == [["OUT", "1 of 24", "3 of 72"], ["S5", "0 of 24", "1 of 72"]]
    assert tables.missing_rows(store.table, SEQUENCES) == []


@pytest.fixture
def predictions():
    rows = []
    for lesion, label, shares in (
        ("P000-L1", "well", [(0.6, 0.2, 0.2), (0.2, 0.4, 0.4)]),
        ("P001-L1", "moderately", [(0.9, 0.05, 0.05), (0.7, 0.2, 0.1)]),
        ("P002-L1", "poorly", [(0.1, 0.5, 0.4), (0.1, 0.5, 0.4)]),
        ("P003-L1", "", [(1.0, 0.0, 0.0)]),
    ):
        for index, share in enumerate(shares):
            row = {
                "patient": lesion[:4],
                "study": f"{lesion[:4]}-1",
                "lesion": lesion,
                "sample": f"{lesion}-{index:02d}",
            }
            rows.append(
                row | {"role": "test", "label": label} | {f"p_{n}": p for n, p in zip(GRADES, share, strict=True)}
            )
    return pd.DataFrame(rows)


def test_lesions_are_averaged_over_slices_and_the_surest_error_comes_first(predictions, store):
    results = tables.lesion_results(predictions, store.table, TASK, "test")
    assert results["lesion"].tolist() == ["P001-L1", "P002-L1", "P000-L1"]
    assert results["wrong"].tolist() == [True, True, False]
    row = tables.lesion_rows(results, TASK)[0]
    assert row[2].endswith(" mm") and row[3:7] == ["2", "moderately", "well ✗", "0.80"]


def test_a_role_without_predictions_gives_no_lesion(predictions, store):
    assert tables.lesion_results(predictions, store.table, TASK, "val").empty


def test_headline_has_network_baseline_no_information_and_both_ceilings(metrics):
    accuracy, area = tables.headline_rows(metrics)
    assert accuracy[0] == "Accuracy" and area[0] == "Macro AUC"
    assert accuracy[1].startswith(f"{metrics['levels']['lesion']['metrics']['accuracy']['value']:.3f} (")
    assert accuracy[2].startswith(f"{metrics['baseline']['levels']['lesion']['metrics']['accuracy']['value']:.3f} (")
    assert accuracy[4].startswith("0.880 (") and accuracy[5].startswith("0.910 (")
    assert area[3] == "0.500"


def test_headline_does_without_baseline_and_ceiling(metrics):
    bare = {key: value for key, value in metrics.items() if key not in ("baseline", "ceiling")}
    assert [row[2] for row in tables.headline_rows(bare)] == ["not computed"] * 2
    assert [row[4:] for row in tables.headline_rows(bare)] == [["unknown", "unknown"]] * 2


def test_settings_leave_out_expressions_and_folders():
    config = {
        "seed": 3,
        "network": "$build()",
        "loss": {"_target_": "x"},
        "_meta_": "y",
        "output_dir": "/home/a/r 7",
        "ref": "@seed",
    }
    assert tables.setting_rows(config) == [["seed", "3"], ["output_dir", "…/r 7"]]


def test_recorded_values_read_as_text():
    content = {"versions": {"monai": "1.6.1", "torch": "2.8"}, "git_revision": None, "command": ["python"]}
    assert tables.environment_rows(content) == [["versions", "monai 1.6.1, torch 2.8"], ["git revision", "none"]]


def test_pooling_is_told_once_for_each_way(metrics):
    rows = tables.pooling_rows(metrics)
    ways = metrics["levels"]["lesion"]["pooling"]
    assert {row[0] for row in rows} == set(ways.values()) and len(rows) == len(set(ways.values()))
    assert sum(len(row[1].split("; ")) for row in rows) == len(ways)


def test_mean_and_sd_over_repeats_are_told_with_their_number():
    assert tables.repeat_rows({}) == []
    entry = {"mean": 0.8, "sd": 0.05, "n": 10}
    one, none = {"mean": 0.7, "sd": None, "n": 1}, {"mean": None, "sd": None, "n": 0}
    repeats = {"lesion": {"accuracy": entry, "macro_auc": none}, "slice": {"accuracy": one}}
    assert tables.repeat_rows({"repeats": repeats}) == [
        ["Accuracy", "0.700 (n = 1)", "0.800 ± 0.050 (n = 10)"],
        ["Macro AUC", "not defined", "not defined"],
    ]
