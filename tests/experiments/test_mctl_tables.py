"""The MCTL comparison: its plan, its folds, and what is said of runs that were never trained."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from experiments.brain_runs import weights_that_saw
from mpmri_monai.cohort import SplitSettings, read_splits, write_splits
from mpmri_monai.errors import ConfigError, LeakageError, SplitError
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.experiments.commands import _prepared
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.estimate import job_of
from mpmri_monai.experiments.mctl_tables import MctlTables
from mpmri_monai.experiments.mctl_tables_arms import ARMS, NETWORKS
from mpmri_monai.experiments.mctl_tables_certainty import certainty_figure, certainty_table
from mpmri_monai.experiments.mctl_tables_epochs import Reached, epochs_to_both
from mpmri_monai.experiments.mctl_tables_folds import Folds
from mpmri_monai.experiments.mctl_tables_plan import Comparison
from mpmri_monai.experiments.plan import checked_runs
from mpmri_monai.report import write_experiment_report

SAMPLES = {"window": "central", "trim": 0.05, "reach": 1.6}
GRID = {"slices": 4, "pixels": 25, "depth_mm": 6.0, "plane_mm": 1.0}
CLASSIFIER = {
    "task": "brain", "fusion": "T2", "architecture": "mctl", "layers": 2, "filters": 16, "dense": 32, "max_epochs": 30,
    "copies": 32, "split": {"val": 0.2}, "samples": {**SAMPLES, "grid": GRID},
}  # fmt: skip
AUTOENCODER = {
    "fusion": "T2", "layers": 2, "filters": 16, "masked": 0.0, "max_epochs": 20,
    "samples": {**SAMPLES, "grid": {**GRID, "patches": 20000}},
}  # fmt: skip
CLASSES = ("healthy", "unhealthy")
PATIENTS = [(f"P{number:02}", CLASSES[number % 2]) for number in range(12)]
EPOCHS = 6


def _bundle(folder, config):
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "train.json").write_text(json.dumps(config))
    return folder


def _manifest(path, name, letter="P"):
    patients = [(patient.replace("P", letter), label) for patient, label in PATIENTS]
    studies = [
        {"patient": patient, "study": f"{patient}-1", "site": "A", "labels": {"brain": label}, "images": {}}
        for patient, label in patients
    ]
    content = {"schema": "mpmri-monai/manifest/1", "name": name, "sequences": ["T2"]}
    path.write_text(json.dumps({**content, "classes": {"brain": list(CLASSES)}, "studies": studies}))
    return path


@pytest.fixture
def context(tmp_path):
    bundles = (_bundle(tmp_path / "encoder", AUTOENCODER), _bundle(tmp_path / "classifier", CLASSIFIER))
    manifest = _manifest(tmp_path / "manifest.json", "heads")
    return Context(bundles=bundles, manifest=manifest, out=tmp_path / "out", options={"folds": "2"})


@dataclass(frozen=True)
class Observer:
    """Writes what a run leaves; networks see the truth with noise, and those that were transferred see it better."""

    context: Context
    gain: float = 0.0
    arms: tuple[str, ...] = ("autoencoder", *(arm.name for arm in ARMS))
    """Those whose runs succeed."""

    def finish(self, run):
        if run.cell not in self.arms:
            return
        folder = self.context.folder(run)
        folder.mkdir(parents=True)
        if run.cell == "autoencoder":
            (folder / "encoder.pt").touch()
            (folder / "metrics.json").write_text('{"val": {"explained": 0.75}}')
            return
        skill = 1.0 + self.gain * (run.options["pretrained"] != "scratch")
        self._curves(skill).to_csv(folder / "history.csv", index=False)
        write_predictions(folder / "predictions.csv", self._predictions(run, skill))

    def _curves(self, skill):
        accuracy = np.minimum(np.linspace(0.5, 0.9, EPOCHS) * skill, 1)
        return pd.DataFrame({"epoch": range(1, EPOCHS + 1), "train_accuracy": accuracy, "val_accuracy": accuracy})

    def _predictions(self, run, skill):
        rng = np.random.default_rng(zlib.crc32(run.name.encode()))
        splits = read_splits(self.context.located(run.options["split#file"]))
        repeat, fold = run.options["split#repeat"], run.options["split#fold"]
        fit = splits[(splits["repeat"] == repeat) & (splits["outer"] == fold)]
        label = fit["patient"].map(dict(PATIENTS))
        score = rng.normal(np.where(label == "unhealthy", 1.0, -1.0) * skill, 1.5)
        return pd.DataFrame(
            {
                "task": "brain", "patient": fit["patient"], "study": fit["patient"] + "-1", "lesion": "whole",
                "sample": "whole-00", "site": "A", "repeat": repeat, "outer": fold, "inner": "", "role": fit["role"],
                "label": label, "p_healthy": 1 / (1 + np.exp(score)), "p_unhealthy": 1 / (1 + np.exp(-score)),
                "present_T2": True,
            }
        )  # fmt: skip


def finish_all(context, **observed):
    """Do what the engine does, with an observer in place of trainings; return the runs by stage."""
    done = []
    for stage in MctlTables().stages(context):
        done.append(checked_runs(stage, {run.name for others in done for run in others}))
        entries = [{"runs": [{**vars(run), "bundle": str(run.bundle)} for run in part]} for part in done]
        context.out.mkdir(exist_ok=True)
        (context.out / "plan.json").write_text(json.dumps({"stages": entries}))
        for run in done[-1]:
            Observer(context, **observed).finish(run)
    return done


@pytest.fixture
def collected(context, monkeypatch):
    """What the comparison says of stub runs, which have nothing to audit."""
    monkeypatch.setattr("mpmri_monai.experiments.mctl_tables_content.audited", lambda *_: [])

    def collect(context=context, **observed):
        finish_all(context, **observed)
        return MctlTables().collect(context)

    return collect


def _tables(content):
    return {table["key"]: table for table in content["tables"]}


def test_arms_differ_in_nothing_but_what_they_are(context):
    first, *stages = MctlTables().stages(context)
    assert first.count == 2 and sum(stage.count for stage in stages) == 2 * len(ARMS)
    runs = [run for stage in stages for run in stage.runs()]
    own = ("architecture", "head", "features", "finetune_depth", "pretrained")
    for fold in (0, 1):
        rest = [
            {key: value for key, value in run.options.items() if key not in own}
            for run in runs
            if run.options["split#fold"] == fold
        ]
        assert len(rest) == len(ARMS) and all(one == rest[0] for one in rest)
    assert len({json.dumps({key: run.options.get(key) for key in own}) for run in runs}) == len(ARMS) + 4  # 2 encoders


def test_an_autoencoder_of_a_fold_sees_its_training_patients_alone(context):
    stages = MctlTables().stages(context)
    runs = {run.name: run for stage in stages for run in stage.runs()}
    for fold in (0, 1):
        pretraining, transferred = (runs[f"{arm}/repeat0-fold{fold}"] for arm in ("autoencoder", "mctl-transferred"))
        same = ("split#file", "split#repeat", "split#fold")
        assert [pretraining.options[key] for key in same] == [transferred.options[key] for key in same]
        options = job_of(transferred, context, "").options
        assert options["pretrained"] == str(context.folder(pretraining) / "encoder.pt")
        settings = SplitSettings(**{key.removeprefix("split#"): options[key] for key in same})
        splits = settings.table(None, CLASSES, {patient for patient, _ in PATIENTS}, 0)
        assert set(splits["role"]) == {"train", "val", "test"}
    scratch = runs["mctl-random/repeat0-fold0"]
    assert {**scratch.options, "pretrained": 0} == {**runs["mctl-transferred/repeat0-fold0"].options, "pretrained": 0}
    assert all(stage.example.options.get("pretrained", "scratch") == "scratch" for stage in stages)


def test_one_autoencoder_of_another_cohort_serves_every_fold(context, tmp_path):
    source = _manifest(tmp_path / "source.json", "others", letter="S")
    context = replace(context, repeats=2, options={"source": str(source), "folds": "2", "patches": "50"})
    first, *others = MctlTables().stages(context)
    (run,) = first.runs()
    assert "others" in first.title
    job = job_of(run, replace(context, asked={"task": "brain", "fusion": "T2"}), "")
    assert job.options["manifest"] == str(source)
    assert job.options["fusion"] == "T2" and "task" not in job.options
    assert job.options["samples#grid"] == {**GRID, "patches": 50}
    starts = {run.options["pretrained"] for stage in others for run in stage.runs()}
    assert starts == {"scratch", "{out}/runs/autoencoder/source/encoder.pt"}
    assert job_of(others[0].runs()[0], context, "").options["manifest"] == str(context.manifest)


def test_weights_that_are_given_need_no_autoencoder(context, tmp_path):
    (tmp_path / "encoder.pt").touch()
    context = replace(context, bundles=context.bundles[1:], options={"pretrained": str(tmp_path / "encoder.pt")})
    stages = MctlTables().stages(context)
    assert {run.bundle.name for stage in stages for run in stage.runs()} == {"classifier"}
    assert sum(stage.count for stage in stages) == 5 * len(ARMS)


def test_an_autoencoder_that_has_seen_tested_patients_is_refused_before_anything_is_trained(context, tmp_path):
    with pytest.raises(LeakageError, match="12 of 12 tested patients"):
        MctlTables().stages(replace(context, options={"source": str(context.manifest)}))
    weights = weights_that_saw(tmp_path / "encoder.pt", "P03", "S01")
    context = replace(context, bundles=context.bundles[1:], options={"pretrained": weights})
    with pytest.raises(LeakageError, match="1 of 12 tested patients"):
        MctlTables().stages(context)


def test_which_epoch_counts_and_how_classes_weigh_is_said(context, collected):
    (epochs,) = [line for line in collected(arms=("cnn",))["protocol"] if line.startswith("Networks train")]
    assert "30 epochs each. The validation patients choose the epoch" in epochs and "at least 10 of each" in epochs
    (classical,) = [line for line in collected(arms=())["protocol"] if line.startswith("Classical")]
    assert "every class weighs the same (networks take classes as often as they come" in classical


def test_a_study_without_room_for_patches_is_not_said_to_be_left_out_as_a_whole(context, monkeypatch, capsys):
    class Store:
        def __init__(self, settings):
            patches = settings.grid.patches
            self.failed, self.digest = ({"P03-1": "no room"} if patches else {}), lambda: str(patches)

    monkeypatch.setattr("mpmri_monai.experiments.commands.prepare", lambda _, settings, *rest, **more: Store(settings))
    stages = MctlTables().stages(context)
    left_out, _ = _prepared(stages, [stage.runs() for stage in stages], context)
    assert left_out == {"P03-1 (its patches)": "no room"}
    assert capsys.readouterr().err == "left out: study P03-1 (its patches): no room\n"


def test_the_grid_of_the_crops_is_shared_but_for_their_size(context):
    options = {"slices": "28", "pixels": "20", "plane_mm": "1.5", "epochs": "3", "copies": "2"}
    first, second, *_ = MctlTables().stages(replace(context, options=options))
    assert first.example.options["samples#grid"] == {**GRID, "plane_mm": 1.5, "patches": 20000}
    own = second.example.options
    assert own["samples#grid"] == {**GRID, "slices": 28, "pixels": 20, "plane_mm": 1.5}
    assert (own["max_epochs"], own["copies"]) == (3, 2)
    assert first.example.options["max_epochs"] == AUTOENCODER["max_epochs"]


def test_crops_and_patches_have_the_same_grey_values(context):
    options = {"window": "trimmed", "trim": "0", "reach": "1.1"}
    first, second, *_ = MctlTables().stages(replace(context, options=options))
    same = {"samples#window": "trimmed", "samples#trim": 0.0}
    found = [
        {key: value for key, value in stage.example.options.items() if key.startswith("samples")}
        for stage in (first, second)
    ]
    assert found == [same, {**same, "samples#reach": 1.1}]


def test_autoencoder_and_classifier_have_the_same_convolutions(context):
    options = {"layers": "3", "filters": "8", "dense": "4", "masked": "0.5"}
    first, *others = MctlTables().stages(replace(context, options=options))
    encoder = first.example.options
    assert (encoder["layers"], encoder["filters"], encoder["masked"]) == (3, 8, 0.5) and "dense" not in encoder
    assert all(
        (run.options["layers"], run.options["filters"], run.options["dense"]) == (3, 8, 4)
        for stage in others
        for run in stage.runs()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": "one"}, "leave-one-out"),
        ({"folds": "1"}, "at least 2"),
        ({"folds": "2", "split": "s.csv"}, "split or folds"),
        ({"source": "nowhere.json"}, "a file for --option source"),
        ({"pretrained": "nowhere.pt"}, "an autoencoder, or"),
        ({"depth_mm": "thick"}, "a number for --option depth_mm"),
        ({"epochs": "0"}, "at least 1"),
        ({"filters": "0"}, "at least 1"),
    ],
)
def test_options_that_are_none_are_refused(context, options, message):
    with pytest.raises(ConfigError, match=message):
        MctlTables().stages(replace(context, options=options))


def test_bundles_that_do_not_fit_are_refused(context, tmp_path):
    flat = _bundle(tmp_path / "flat", {**CLASSIFIER, "samples": {"pixels": 32}})
    for bundles, message in (
        (context.bundles[:1], "and --bundle of a classifier"),
        ((*context.bundles, flat), "and --bundle of a classifier"),
        ((context.bundles[0], flat), "a grid of samples"),
    ):
        with pytest.raises(ConfigError, match=message):
            MctlTables().stages(replace(context, bundles=bundles))


def test_a_fold_without_a_class_and_a_task_without_labels_are_refused(context):
    with pytest.raises(SplitError, match="E_CLASS_EMPTY"):
        MctlTables().stages(replace(context, options={"folds": "7"}))
    with pytest.raises(ConfigError, match="a label of the cohort: brain"):
        MctlTables().stages(replace(context, asked={"task": "hcc_grade"}))


def test_every_patient_is_tested_alone_and_none_pools_an_auc(context, collected):
    context = replace(context, options={"folds": "leave-one-out"})
    folds = Comparison.of(context).folds
    assert folds.one_by_one and len(folds.fits) == len(PATIENTS)
    content = collected(context, arms=("dense", "mctl-random"))
    rows = [row for row in _tables(content)["comparison"]["rows"] if row[1] != "not all folds finished"]
    assert len(rows) == 2 and {row[4] for row in rows} == {"not defined"} and all("[" in row[1] for row in rows)
    assert any("No AUC" in sentence for sentence in content["limits"])
    assert any("ordered across networks" in sentence for sentence in content["limits"])


def test_an_official_split_is_repeated_by_seed_alone(context, tmp_path, collected):
    roles = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    table = pd.DataFrame({"unit": "patient", "patient": [patient for patient, _ in PATIENTS], "role": roles})
    empty = dict.fromkeys(("lesion", "sample", "inner"), "")
    table = table.assign(repeat=0, outer=0, **empty)
    table = table[["unit", "patient", "lesion", "sample", "repeat", "outer", "inner", "role"]]
    write_splits(tmp_path / "official.csv", table)
    context = replace(context, repeats=3, options={"split": str(tmp_path / "official.csv")})
    folds = Comparison.of(context).folds
    assert [(fit.repeat, fit.number) for fit in folds.fits] == [(0, 0), (1, 0), (2, 0)] and not folds.one_by_one
    assert folds.scheme == "the division of a given splits table, trained from other seeds"
    (comparison,) = [table for table in collected(context, arms=("cnn",))["tables"] if table["key"] == "comparison"]
    assert comparison["caption"].startswith("4 cases of 4 patients are tested.")
    for repeat in range(3):
        own = folds.table[folds.table["repeat"] == repeat].reset_index(drop=True)
        assert own.equals(table.assign(repeat=repeat))
    runs = [run for stage in MctlTables().stages(context) for run in stage.runs()]
    assert {(run.options["split#repeat"], run.options["seed"]) for run in runs} == {(0, 0), (1, 1), (2, 2)}
    two = pd.concat([table, table.assign(repeat=1)])
    write_splits(tmp_path / "official.csv", two)
    with pytest.raises(ConfigError, match="repeats 0 to 2"):
        Comparison.of(context)


def test_another_division_is_another_file(context):
    names = {Comparison.of(replace(context, seed=seed)).folds.file(0) for seed in (0, 0, 1)}
    assert len(names) == 2


def test_each_repeat_has_its_own_file(context):
    context = replace(context, repeats=2)
    finish_all(context, arms=())
    folds = Comparison.of(context).folds
    kept = [read_splits(context.located(folds.file(repeat))) for repeat in (0, 1)]
    assert [set(table["repeat"]) for table in kept] == [{0}, {1}]
    assert pd.concat(kept, ignore_index=True).equals(folds.table)


def test_only_whole_repeats_count():
    table = pd.DataFrame({"repeat": [0, 0, 1, 1], "outer": [0, 1, 0, 1], "role": "test", "patient": list("abab")})
    folds = Folds(table, "")
    assert list(folds.whole(table.iloc[:3])["repeat"]) == [0, 0]


def test_transfer_that_helps_is_said_to_help(context, collected):
    content = collected(replace(context, repeats=2), gain=3.0)
    assert content["headline"][0].startswith("Transfer helps: accuracy, transferred minus random start, 0.")
    assert "epochs to the validation accuracy that both reach" in content["headline"][0]
    assert content["headline"][-1].startswith("Leave the 20\u00a0% least certain to you: the rest is right in ")
    assert any("the autoencoder explains 0.750 (1 is all" in sentence for sentence in content["protocol"])
    tables = _tables(content)
    assert [row[0] for row in tables["comparison"]["rows"]] == [arm.title for arm in ARMS]
    assert len(tables["ranges"]["rows"]) == len(ARMS) and "–" in tables["ranges"]["rows"][0][1]
    assert [row[0] for row in tables["transfer"]["rows"]][0::4] == [
        "accuracy",
        "epochs to the same validation accuracy",
    ]
    assert len(tables["certainty"]["header"]) == 3
    figures = {figure["key"]: figure for figure in content["figures"]}
    assert set(figures) == {"accuracy", "epochs", "certainty"}
    assert len(figures["epochs"]["data"]["curves"]) == len(NETWORKS)
    json.dumps(content, allow_nan=False)
    whole = {"schema": "mpmri-monai/experiment/1", "experiment": "mctl-tables", **content}
    assert write_experiment_report(context.out, whole).is_file()


def test_transfer_that_does_nothing_is_not_said_to_help(collected):
    content = collected(arms=("mctl-random", "mctl-transferred"))
    assert content["headline"][0].startswith("Transfer is not shown to help")
    assert "ranges" not in _tables(content)


def test_another_question_is_not_set_beside_the_paper_s_numbers(context, collected, monkeypatch):
    assert any("lies outside its sensitivity" in limit for limit in collected(arms=("cnn", "dense"))["limits"])
    monkeypatch.setattr("mpmri_monai.experiments.mctl_tables_found.PUBLISHED_TASK", "heart")
    content = MctlTables().collect(context)
    assert "paper" not in json.dumps([content[key] for key in ("headline", "limits", "tables")])


def test_without_autoencoders_the_rest_is_reported(collected):
    content = collected(arms=("svm-voxels", "mctl-random"))
    assert "cannot be said" in content["headline"][0]
    assert content["comparisons"] == [] and "transfer" not in _tables(content)
    (row,) = [row for row in _tables(content)["comparison"]["rows"] if row[0] == "MCTL, transferred"]
    assert row[1] == "not all folds finished"
    assert any("MCTL, transferred" in warning for warning in content["warnings"])


def test_an_autoencoder_is_finished_with_its_encoder(context):
    first, *_ = finish_all(context)
    assert all(context.finished(run) for run in first)
    (context.folder(first[0]) / "encoder.pt").unlink()
    assert not context.finished(first[0])


def test_epochs_are_counted_to_what_both_reach():
    assert epochs_to_both([0.5, 0.8, 0.9], [0.6, 0.7, 0.8]) == (2, 3)
    assert epochs_to_both([0.9, 0.1], [0.1, 0.9]) == (1, 2)
    found = Reached(np.array([1.0, 2.0, 3.0]), np.array([3.0, 3.0, 3.0]), validating=0.0)
    mean, low, high = found.difference
    assert mean == -1 and low == pytest.approx(-1 - 4.302653 / np.sqrt(3)) and high == pytest.approx(-2 - low)
    assert "[no interval]" in Reached(np.array([1.0]), np.array([3.0]), validating=0.2).shown


def test_many_fits_of_the_same_patients_do_not_make_the_interval_short():
    """The patients who validate bound what repetitions can tell: 750 fits are not 750 independent trials."""
    of = {count: Reached(np.tile([1.0, 3.0], count), np.full(2 * count, 2.0), 0.2) for count in (5, 375)}
    width = {count: found.difference[2] - found.difference[1] for count, found in of.items()}
    assert width[375] > 2 * 1.96 * np.sqrt(0.2) * 0.99 and width[5] > width[375]


def _abstention():
    rights = [{"value": 0.9, "low": 0.8, "high": 0.95}, {"value": 0.97, "low": 0.94, "high": 0.99}]
    table = [{"asked": asked, "right": right} for asked, right in zip((0.0, 0.2), rights, strict=True)]
    curve = {"name": "", "coverage": [0.8, 1.0], "risk": [0.03, 0.1], "low": [0.01, 0.05], "high": [0.06, None]}
    return {"table": table, "curves": [curve]}


def test_the_table_and_the_figure_for_a_doctor():
    (table,) = certainty_table({"MCTL": _abstention()})
    rows = [[cell.replace("\u00a0", " ") for cell in row] for row in table["rows"]]
    assert rows == [["0 %", "90 [80–95] %"], ["20 %", "97 [94–99] %"]]
    (figure,) = certainty_figure({"MCTL": _abstention()})
    (curve,) = figure["data"]["panels"][0]["curves"]
    assert curve["x"] == [80, 100] and curve["mean"] == pytest.approx([0.97, 0.9])
    assert curve["low"] == [pytest.approx(0.94), None] and curve["high"] == pytest.approx([0.99, 0.95])
    assert certainty_table({}) == certainty_figure({}) == []
