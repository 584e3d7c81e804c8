"""The audit of a run folder: what it reads, what it says when something is missing, and of many runs."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from mpmri_monai import artefacts
from mpmri_monai.bundle.audit import audit_run
from mpmri_monai.bundle.provenance import count_seen, weights_digest
from mpmri_monai.cohort import audit, holdout, splits_digest, unit_table, write_splits
from mpmri_monai.errors import BundleError, MpmriError
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.evaluation.fitted import salted
from mpmri_monai.sequences import GRADES


def group(part, loader="@{0}::dataloader", dataset="@{0}::dataset"):
    """The part of a configuration that reads samples, as MONAI writes it into the record."""
    engine, name = ("trainer", "train_data_loader") if part == "train" else ("evaluator", "val_data_loader")
    return {
        "dataset": {"data": audit.OWN_PARTS[part]},
        "dataloader": {"dataset": dataset.format(part)},
        engine: {name: loader.format(part)},
    }


@pytest.fixture
def make(tmp_path):
    """make(name, unit=…, **config) writes the record of a run on nine patients with two samples each."""

    def write(name="run", unit="patient", copies=(), fitted=None, **config):
        folder = tmp_path / name
        table = [(f"P{i}", f"P{i}-1", "L1", f"L1-{k:02d}", "A", GRADES[i % 3]) for i in range(9) for k in range(2)]
        rows = pd.DataFrame(table, columns=["patient", "study", "lesion", "sample", "site", "label"])
        splits = holdout(unit_table(rows, GRADES, unit), val=0)
        key = ["patient", "sample"] if unit == "sample" else ["patient"]
        rows = rows.merge(splits[[*key, "role"]], on=key)
        rows = pd.concat(
            [rows, *(rows[rows["role"] == "test"].assign(sample=lambda t, c=c: t["sample"] + c) for c in copies)]
        )
        rows = rows.assign(task="hcc_grade", repeat=0, outer=0, inner="", p_well=0.5, p_moderately=0.3, p_poorly=0.2)
        parts = {part: group(part) for part in audit.OWN_PARTS}
        write_splits(folder / "splits.csv", splits)
        write_predictions(folder / "predictions.csv", rows)
        images = pd.DataFrame({"patient": splits["patient"].unique(), "study": "s", "sequence": "T2"})
        images.assign(voxels=images["patient"]).to_csv(folder / "images.csv", index=False)
        (folder / "history.csv").write_text("epoch,val_loss\n1,\n")
        artefacts.write_json(
            folder / "config.json",
            {"split": {"unit": unit}, "fusion": "T2", "results": "predictions", **parts, **config},
        )
        weights = weights_digest(config.get("pretrained", "scratch"))
        artefacts.write_json(
            folder / "environment.json", {"data": {"splits": splits_digest(splits), "pretrained": weights}}
        )
        if fitted is not None:
            artefacts.write_json(folder / "reference.json", {"fitted": fitted})
        return folder

    return write


def outcomes(folder):
    return {row["check"]: row["outcome"] for row in audit_run(folder)}


def test_an_honest_run_passes_every_check(make):
    assert set(outcomes(make()).values()) == {audit.PASSED}


def test_a_replica_is_named_for_what_it_is(make):
    found = outcomes(make(unit="sample", copies=("+rot90",)))
    assert {name for name, outcome in found.items() if outcome == audit.LEAK} == {
        "unit of the split",
        "patients across roles",
        "augmented copies counted as samples",
        "best epoch chosen on the test set",
    }


def test_a_temperature_that_saw_test_patients_is_found_by_its_hashes(make):
    everybody = [{"kind": "temperature", "salt": "s", "patients": [salted("s", f"P{i}") for i in range(9)]}]
    assert outcomes(make(fitted=everybody))["calibration and thresholds"] == audit.LEAK
    strangers = [{"kind": "temperature", "salt": "s", "patients": [salted("s", "X")]}]
    assert outcomes(make("other", fitted=strangers))["calibration and thresholds"] == audit.PASSED


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        ([{"salt": "a", "patients": [salted("a", "X")]}], audit.PASSED),
        (
            [{"salt": "a", "patients": []}, {"salt": "b", "patients": [salted("b", f"P{i}") for i in range(9)]}],
            audit.LEAK,
        ),
        (None, audit.UNKNOWN),
    ],
)
def test_pretrained_weights_are_asked_whom_they_saw(make, tmp_path, seen, outcome):
    weights = tmp_path / "pretrained" / "model.pt"
    artefacts.write_text(weights, "weights")
    reference = {"weights_sha256": artefacts.file_digest(weights), "trained_on": {"seen": seen}}
    artefacts.write_json(weights.parent / "reference.json", reference)
    folder = make(pretrained=str(weights))
    assert outcomes(folder)["pretraining patients in the test set"] == outcome
    artefacts.write_text(weights, "other weights than those of the reference")
    assert outcomes(folder)["pretraining patients in the test set"] == audit.UNKNOWN


@pytest.mark.parametrize("pretrained", ["scratch", "natural.pt"])
def test_weights_that_saw_no_patients_are_not_called_random(make, tmp_path, pretrained):
    weights = tmp_path / pretrained
    if pretrained != "scratch":
        artefacts.write_text(weights, "weights")
        reference = {"weights_sha256": artefacts.file_digest(weights), "trained_on": {"seen": []}}
        artefacts.write_json(weights.with_suffix(".json"), reference)
    start = "scratch" if pretrained == "scratch" else str(weights)
    rows = {row["check"]: row for row in audit_run(make(pretrained=start))}
    row = rows["pretraining patients in the test set"]
    assert row["outcome"] == audit.PASSED
    assert row["found"] == ("trained from scratch" if start == "scratch" else "they have seen no patients")


def test_a_classical_head_has_no_epoch_to_choose(make):
    folder = make(head="logistic")
    (folder / "history.csv").unlink()
    assert outcomes(folder)["best epoch chosen on the test set"] == audit.PASSED


def test_patients_who_were_seen_are_counted_once():
    seen = [{"salt": "a", "patients": [salted("a", "P1")]}, {"salt": "b", "patients": [salted("b", "P1")]}]
    assert count_seen(seen, ["P1", "P1", "P2"]) == 1


def test_what_is_missing_or_damaged_is_not_passed(make):
    folder = make()
    for name in ("images.csv", "predictions.csv", "environment.json", "history.csv"):
        (folder / name).unlink()
    (folder / "predictions.csv").write_text("nonsense")
    found = outcomes(folder)
    assert list(found.values()).count(audit.UNKNOWN) == 5
    assert audit.LEAK not in found.values()


def edited(folder, name, change):
    table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    change(table).to_csv(folder / name, index=False)
    return outcomes(folder)


def test_images_of_all_patients_must_be_there_to_be_compared(make):
    name = "same images under two names"
    assert edited(make("short"), "images.csv", lambda t: t.iloc[2:])[name] == audit.UNKNOWN
    assert edited(make("blind"), "images.csv", lambda t: t.drop(columns="voxels"))[name] == audit.UNKNOWN


def test_patients_who_were_taken_out_of_the_predictions_are_missed(make):
    name = "predictions in the roles of the splits"
    gone = make("gone")
    assert edited(gone, "predictions.csv", lambda t: t[t["role"] != "test"])[name] == audit.UNKNOWN
    # Nothing can be predicted of patients without an image of the fusion.
    roles = pd.read_csv(gone / "splits.csv").set_index("patient")["role"]
    shown = {"test": "S0", "train": "T2"}
    unseen = edited(gone, "images.csv", lambda t: t.assign(sequence=t["patient"].map(roles).map(shown)))
    assert unseen[name] == audit.PASSED


@pytest.mark.parametrize("content", [None, "{", "[]", '{"fitted": null}', '{"fitted": [{"kind": "temperature"}]}'])
def test_a_report_without_a_readable_reference_does_not_say_that_nothing_was_fitted(make, content):
    folder = make(results="report")
    if content is not None:
        (folder / "reference.json").write_text(content)
    assert outcomes(folder)["calibration and thresholds"] == audit.UNKNOWN


@pytest.mark.parametrize("loader, dataset", [("@{0}#dataloader", "@test_samples"), ("@other", "@{0}#dataset")])
def test_an_engine_that_reads_other_samples_than_its_part_is_not_passed(make, loader, dataset):
    found = outcomes(make(validate=group("validate", loader, dataset), train=group("train", loader, dataset)))
    assert found["best epoch chosen on the test set"] != audit.PASSED
    assert found["training data and normalisation"] != audit.PASSED


@pytest.mark.parametrize(
    ("dataset", "outcome"),
    [("@train::dataset", audit.PASSED), ("@validate#dataset", audit.UNKNOWN), ("@test_dataset", audit.LEAK)],
)
def test_a_standardisation_is_fitted_on_the_training_samples_or_is_not_passed(make, dataset, outcome):
    folder = make(network=f"$mpmri.standardised(@network_def, {dataset}, @size).to(@device)")
    (row,) = [row for row in audit_run(folder) if row["check"] == "training data and normalisation"]
    assert row["outcome"] == outcome
    assert ("mean and the range" in row["found"]) == (outcome == audit.PASSED)


def test_weights_that_were_replaced_since_are_not_asked(make, tmp_path):
    weights = tmp_path / "weights" / "model.pt"
    artefacts.write_text(weights, "first")
    folder = make(pretrained=str(weights))
    artefacts.write_text(weights, "second")
    artefacts.write_json(
        weights.parent / "reference.json",
        {"weights_sha256": artefacts.file_digest(weights), "trained_on": {"seen": []}},
    )
    assert outcomes(folder)["pretraining patients in the test set"] == audit.UNKNOWN


def test_splits_without_the_fit_of_the_run_are_refused(make):
    with pytest.raises(BundleError, match="none of its rows"):
        audit_run(make(split={"unit": "patient", "fold": 3}))


@pytest.mark.parametrize("record", [[], {"data": None}, {"data": []}])
def test_an_environment_without_hashes_is_no_record(make, record):
    folder = make()
    artefacts.write_json(folder / "environment.json", record)
    assert outcomes(folder)["splits as recorded"] == audit.UNKNOWN


@pytest.mark.parametrize("record", ['{"split": null}', '["split"]', '{"split": {"folds": "many"}}'])
def test_a_configuration_that_is_none_is_refused(make, record):
    folder = make()
    (folder / "config.json").write_text(record)
    with pytest.raises(MpmriError):
        audit_run(folder)


def test_an_experiment_is_the_table_of_its_runs(make, tmp_path):
    make("experiment/runs/a/repeat0")
    make("experiment/runs/b", unit="sample")
    rows = [row for row in audit_run(tmp_path / "experiment") if row["check"] == "unit of the split"]
    assert [(row["outcome"], row["found"].split(":")[0]) for row in rows] == [
        (audit.LEAK, "1 of 2 runs"),
        (audit.PASSED, "1 of 2 runs"),
    ]


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(BundleError, match="neither"):
        audit_run(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        audit_run(tmp_path)


def test_the_command_says_so_and_ends_with_status_one_at_a_leak(make):
    program = "from mpmri_monai.cli import main; main()"
    for unit, status in (("patient", 0), ("sample", 1)):
        command = [sys.executable, "-c", program, "audit", str(make(unit, unit=unit))]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        assert "Leak audit" in result.stdout
        assert json.dumps("P0")[1:-1] not in result.stdout  # counts, no names
