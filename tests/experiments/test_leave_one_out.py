"""Every patient is tested once in every repetition, and nothing is said of the order of scores across networks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from experiments.brain_runs import Reader, brain_context, weights_that_saw
from experiments.finished_runs import finish_all
from mpmri_monai.cohort import SplitSettings
from mpmri_monai.errors import ConfigError, EvaluationError, LeakageError
from mpmri_monai.experiments.leave_one_out import LeaveOneOut, labelled_patients
from mpmri_monai.experiments.leave_one_out_results import whole_repetitions
from mpmri_monai.experiments.question import Question
from mpmri_monai.report import write_experiment_report

PATIENTS, REPEATS = 16, 2


@pytest.fixture
def context(tmp_path):
    return brain_context(tmp_path, PATIENTS, repeats=REPEATS)


def _tables(content):
    return {table["key"]: table for table in content["tables"]}


def test_every_patient_is_left_out_in_every_repetition(context):
    (stage,) = LeaveOneOut().stages(context)
    runs = stage.runs()
    assert stage.count == len(runs) == REPEATS * PATIENTS
    places = {(run.options["seed"], run.options["split#fold"]) for run in runs}
    assert places == {(seed, patient) for seed in range(REPEATS) for patient in range(PATIENTS)}
    assert [run.cell for run in runs[:PATIENTS]] == ["repeat0"] * PATIENTS  # whole repetitions are finished first
    assert {run.options["split#leave_out"] for run in runs} == {"patient"}


def test_fifteen_repetitions_when_no_number_is_given(context):
    assert LeaveOneOut().stages(replace(context, repeats=None))[0].count == 15 * PATIENTS


def test_the_fold_of_a_run_is_that_of_the_splits(context):
    """What a run calls its fold is the patient whom the splits of its own settings leave out."""
    (stage,) = LeaveOneOut().stages(context)
    question = Question.of(context)
    rows = pd.DataFrame(
        [
            {"patient": s.patient, "lesion": "whole", "sample": "w", "label": s.labels["brain"], "site": "A"}
            for s in question.manifest.studies
        ]
    )
    for run in (stage.runs()[0], stage.runs()[20]):
        split = {key.removeprefix("split#"): value for key, value in run.options.items() if key.startswith("split#")}
        settings = SplitSettings(**{**question.config["split"], **split})
        table = settings.table(rows, question.task.classes, rows["patient"], run.options["seed"])
        of_fold = table[(table["outer"] == settings.fold) & (table["repeat"] == settings.repeat)]
        tested = of_fold.loc[of_fold["role"] == "test", "patient"].tolist()
        assert tested == [labelled_patients(question)[run.options["split#fold"]]]
        assert table["outer"].nunique() == PATIENTS and (of_fold["role"] == "val").any()


def test_patients_without_a_label_are_not_left_out(tmp_path):
    context = brain_context(tmp_path, PATIENTS, labelled=10, repeats=1)
    assert LeaveOneOut().stages(context)[0].count == 10


def test_scores_of_every_repetition_and_no_auc(context):
    finish_all(LeaveOneOut(), context, Reader(PATIENTS, noise=1.5))
    content = LeaveOneOut().collect(context)
    tables = _tables(content)
    names = {row[0] for row in tables["metrics"]["rows"]}
    assert {"Accuracy", "Sensitivity", "Specificity"} <= names
    assert not any("auc" in name.lower() for name in names)
    assert "No AUC is given" in tables["metrics"]["caption"]
    assert "no common scale" in " ".join(content["protocol"])
    accuracies = [float(row[1]) for row in tables["repetitions"]["rows"]]
    assert len(accuracies) == REPEATS
    accuracy = tables["metrics"]["rows"][0]
    assert accuracy[3] == f"{min(accuracies):.3f}–{max(accuracies):.3f}"
    assert accuracy[1].startswith(f"{sum(accuracies) / REPEATS:.3f} [")
    assert accuracy[-1] == "93.2–94"  # as published
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "leave-one-out", **content}
    assert write_experiment_report(context.out, whole).is_file()


def test_the_least_certain_go_to_a_doctor(context):
    finish_all(LeaveOneOut(), context, Reader(PATIENTS, noise=2.0))
    content = LeaveOneOut().collect(context)
    rows = _tables(content)["certainty"]["rows"]
    right = [int(row[1].split()[0]) for row in rows]
    assert right[-1] > right[0]  # this reader is surer where it is right
    (sentence,) = [line for line in content["headline"] if "least certain to you" in line]
    assert sentence.replace("\u00a0", " ").startswith(
        f"Leave the 20 % least certain to you: the rest is right in {right[2]} ["
    )
    assert any(figure["key"] == "certainty" for figure in content["figures"])


def test_repetitions_that_lack_a_patient_are_left_out_and_said(context):
    finish_all(LeaveOneOut(), context, Reader(PATIENTS, failing="repeat1/patient7"))
    content = LeaveOneOut().collect(context)
    assert len(_tables(content)["repetitions"]["rows"]) == 1
    assert content["warnings"] == ["1 of 2 repetitions did not test every patient, and are left out."]


def test_a_patient_without_samples_is_tested_by_nobody(context):
    """The folds are those of the patients who could be sampled: the last runs have nobody to test, and fail."""
    sampled = Reader(PATIENTS - 1, failing=f"patient{PATIENTS - 1}")
    finish_all(LeaveOneOut(), context, sampled)
    content = LeaveOneOut().collect(context)
    assert f"{PATIENTS - 1} patients" in content["headline"][0]
    assert any(f"Each of {PATIENTS - 1} patients" in line for line in content["protocol"])
    assert len(_tables(content)["repetitions"]["rows"]) == REPEATS
    (warning,) = content["warnings"]
    assert warning.startswith("Of 1 patient with a label there is no sample")


def test_nothing_is_said_when_no_repetition_is_whole(context):
    finish_all(LeaveOneOut(), context, Reader(PATIENTS, failing="patient7"))
    with pytest.raises(EvaluationError, match="E_CELL_EMPTY"):
        LeaveOneOut().collect(context)


def test_repetitions_are_told_apart(context):
    finish_all(LeaveOneOut(), context, Reader(PATIENTS))
    whole = whole_repetitions(context, ["repeat1", "repeat0"])
    assert [set(table["repeat"]) for table in whole.values()] == [{0}, {1}]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"repeats": 0}, "at least 1 repetition"),
        ({"options": {"pretrained": "nowhere.pt"}}, r"nowhere\.pt"),
        ({"options": {"views": "2"}}, "views"),
        ({"options": {"epochs": "0"}}, "at least 1"),
    ],
)
def test_options_that_are_none_are_refused(context, given, message):
    with pytest.raises(ConfigError, match=message):
        LeaveOneOut().stages(replace(context, **given))


def test_options_that_the_bundle_has_no_key_for_are_refused(context):
    hcc = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
    with pytest.raises(ConfigError, match="keep_best"):
        LeaveOneOut().stages(
            replace(context, bundles=(hcc,), asked={"task": "brain", "fusion": "T2"}, options={"keep_best": "yes"})
        )


def test_options_reach_the_training(context, tmp_path):
    (tmp_path / "encoder.pt").touch()
    options = {"pretrained": str(tmp_path / "encoder.pt"), "keep_best": "yes", "copies": "4", "epochs": "2"}
    (stage,) = LeaveOneOut().stages(replace(context, options=options))
    found = stage.example.options
    assert (found["copies"], found["max_epochs"], found["keep_best"]) == (4, 2, "yes")
    assert Path(found["pretrained"]).is_absolute()


def test_weights_that_have_seen_the_patients_are_refused_before_anything_is_trained(context, tmp_path):
    weights = weights_that_saw(tmp_path / "encoder.pt", "B00", "B01", "S00")
    with pytest.raises(LeakageError, match="2 of 16 tested patients"):
        LeaveOneOut().stages(replace(context, options={"pretrained": weights}))


def test_two_patients_are_too_few(tmp_path):
    with pytest.raises(ConfigError, match="at least 3 patients"):
        LeaveOneOut().stages(brain_context(tmp_path, patients=2))
