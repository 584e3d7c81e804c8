"""The plan of the paper's tables, and what is made of predictions that are known by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.artefacts import read_json, write_json
from mpmri_monai.cohort import NOT_DISJOINT
from mpmri_monai.errors import ConfigError
from mpmri_monai.evaluation import evaluate, write_predictions
from mpmri_monai.experiments import tables_content
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.published import DETECTOR, GRADER, TABLE_6
from mpmri_monai.experiments.tables import PATIENT, PROTOCOLS, SAMPLE, Tables, cell_name, cell_options
from mpmri_monai.experiments.tables_content import shown_or_not
from mpmri_monai.experiments.tables_weights import without_weights
from mpmri_monai.sequences import task

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
WEIGHTS = ("gap2", "spp2", "spp16", "spp32", "spp64")
PATIENTS = [f"P{number:02d}" for number in range(30)]
GRADES = ("well", "moderately", "poorly")


@pytest.fixture
def context(tmp_path):
    studies = [
        {
            "patient": patient, "study": f"{patient}-1", "site": "A", "labels": {}, "organs": {},
            "images": {"T2": f"{patient}/T2.nii.gz"},
            "lesions": [
                {
                    "id": f"{patient}-L1", "region": {"center_mm": [0, 0, 0], "size_mm": [9, 9, 9]},
                    "labels": {"grade": GRADES[number % 3]}, "drawn_on": "T2",
                }
            ],
        }
        for number, patient in enumerate(PATIENTS)
    ]  # fmt: skip
    manifest = {
        "schema": "mpmri-monai/manifest/1", "name": "by_hand", "sequences": ["T2", "OUT", "IN", "S0", "S2", "S4"],
        "classes": {"grade": list(GRADES)}, "studies": studies,
    }  # fmt: skip
    write_json(tmp_path / "manifest.json", manifest)
    bundles = tuple(tmp_path / "bundles" / name for name in ("hcc_detection", "hcc_grade"))
    for bundle in bundles:  # beside them lie no shipped weights
        write_json(bundle / "configs" / "train.json", read_json(BUNDLES / bundle.name / "configs" / "train.json"))
    return Context(bundles, tmp_path / "manifest.json", tmp_path / "out", repeats=2)


@pytest.fixture
def predictions_alone(monkeypatch):
    """Leave out what needs more of a run than its predictions and its learning curves."""
    monkeypatch.setattr(tables_content, "figures", lambda *_: [])
    monkeypatch.setattr(tables_content, "audited", lambda *_: [])
    monkeypatch.setattr(tables_content, "floors", lambda *_: [])


def write_runs(context: Context, cells: dict[str, float]) -> None:
    """Write a plan, and the predictions of each cell, right for its share of the slices; copies in the replica."""
    stages = Tables().stages(context)
    runs = [{**asdict(run), "bundle": str(run.bundle)} for stage in stages for run in stage.runs()]
    write_json(context.out / "plan.json", {"stages": [{"runs": runs}]})
    for run in context.planned():
        if run.cell in cells:
            rows = predicted(cells[run.cell], run.options["split#repeat"], run.options["split#unit"])
            context.folder(run).mkdir(parents=True)
            write_predictions(context.folder(run) / "predictions.csv", rows)
            history = pd.DataFrame({"epoch": [1, 2], "val_accuracy": [0.5, 0.4], "train_accuracy": [0.5, 0.6]})
            history.to_csv(context.folder(run) / "history.csv", index=False)


def predicted(share: float, repeat: int, unit: str) -> pd.DataFrame:
    rng = np.random.default_rng([repeat, len(unit)])
    rows = []
    for number, patient in enumerate(PATIENTS):
        truth = number % 3
        for sample in range(2):
            role = "train" if unit == "sample" and sample else "test" if number >= 12 else "train"
            for copy in ("", "+rot90") if unit == "sample" and role == "test" else ("",):
                given = truth if rng.random() < share else (truth + 1) % 3
                probabilities = np.full(3, 0.1) + 0.7 * np.eye(3)[given]
                rows.append(
                    {
                        "task": "hcc_grade", "patient": patient, "study": f"{patient}-1", "lesion": f"{patient}-L1",
                        "sample": f"{patient}-L1-{sample:02d}{copy}", "site": "A", "repeat": repeat, "outer": 0,
                        "inner": "", "role": role, "label": GRADES[truth],
                        **{f"p_{name}": value for name, value in zip(GRADES, probabilities, strict=True)},
                        "present_T2": True,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_protocols_differ_in_nothing_but_the_protocol(context):
    apart, replica = (cell_options(context, DETECTOR, protocol) for protocol in (PATIENT, SAMPLE))
    differing = {key for key in apart.keys() | replica.keys() if apart.get(key) != replica.get(key)}
    assert differing == {"split#unit", "checkpoint#best_by"}
    assert apart["split#val"] == replica["split#val"] == 0.0


def test_every_model_from_scratch_is_planned_once_for_each_repetition_and_protocol(context):
    stages = Tables().stages(context)
    assert [stage.count for stage in stages] == [12 * 2 * 2, 7 * 2 * 2]
    runs = [run for stage in stages for run in stage.runs()]
    assert len({run.name for run in runs}) == len(runs) == 76
    assert len({run.cell for run in runs}) == 38
    first = runs[: 12 * 2]
    assert {run.options["split#repeat"] for run in first} == {0}


def test_one_bundle_gives_its_own_tables_only(context):
    only = Context(context.bundles[1:], context.manifest, context.out, repeats=1)
    assert [stage.count for stage in Tables().stages(only)] == [14]
    assert [table.number for table in tables_content.shown_tables(only)] == [6, 7]


def test_a_bundle_of_another_task_is_refused(context, tmp_path):
    write_json(tmp_path / "brain" / "configs" / "train.json", {"task": "brain"})
    with pytest.raises(ConfigError, match="hcc_vs_bg or hcc_grade"):
        Tables().stages(Context((tmp_path / "brain",), context.manifest, context.out))


def test_pretrained_models_need_a_file_each(context, tmp_path):
    options = {"pretrained": str(tmp_path / "{pooling}-{embedding}.pt")}
    with_weights = Context(context.bundles, context.manifest, context.out, repeats=1, options=options)
    with pytest.raises(ConfigError, match=r"gap-2\.pt"):
        Tables().stages(with_weights)
    for name in ("gap-2", "spp-2", "spp-16", "spp-32", "spp-64"):
        (tmp_path / f"{name}.pt").touch()
    stages = Tables().stages(with_weights)
    assert sum(stage.count for stage in stages) == 28 * 2
    rates = {run.options["pretrained"] == "scratch": run.options["learning_rate"]
             for stage in stages for run in stage.runs()}  # fmt: skip
    assert rates == {True: 1e-3, False: 5e-4}


def test_weights_that_are_shipped_are_taken_when_all_are_there(context):
    models_of = [stage.count // 4 for stage in Tables().stages(context)]
    shipped = context.bundles[0].parent / "natural_pretrain" / "models"
    shipped.mkdir(parents=True)
    for name in WEIGHTS[:-1]:
        (shipped / f"cifar10_{name}.pt").touch()
    assert [stage.count // 4 for stage in Tables().stages(context)] == models_of
    assert without_weights(context) == (
        "needs 1 file of pretrained weights that natural_pretrain lacks: cifar10_spp64.pt"
    )
    (shipped / f"cifar10_{WEIGHTS[-1]}.pt").touch()
    stages = Tables().stages(context)
    assert sum(stage.count for stage in stages) == 28 * 2 * 2
    starts = {run.options["pretrained"] for stage in stages for run in stage.runs()}
    assert starts == {"scratch", *(str(shipped / f"cifar10_{name}.pt") for name in WEIGHTS)}
    assert without_weights(context) == ""


def test_the_models_are_trained_by_the_papers_recipe(context):
    (bundle, _) = context.bundles
    config = read_json(bundle / "configs" / "train.json")
    of_bundle = {"dataset_dir", "manifest", "output_dir", "bundle_root", "imports"}
    free = {key for key, value in config.items() if not isinstance(value, dict | list)} - of_bundle
    set_by_the_experiment = {"device", "threads", "num_workers", "seed", "precision", "results", "permutation"}
    named = cell_options(context, DETECTOR, PATIENT).keys()
    assert {key for key in free - set_by_the_experiment if not str(config[key]).startswith("$")} <= named | {"run"}


def test_cells_hold_what_evaluation_says_of_their_predictions(context, predictions_alone):
    cells = {cell_name(GRADER, PATIENT): 0.6, cell_name(GRADER, SAMPLE): 0.9}
    write_runs(context, cells)
    found = Tables().collect(context)
    (table,) = [one for one in found["tables"] if one["key"] == "table-6"]
    (row,) = [one for one in table["rows"] if one[0].startswith("T21*S4") and one[1] == "accuracy"
              and "pretrained" not in one[0]]  # fmt: skip
    apart = evaluate(context.predictions(cell_name(GRADER, PATIENT)), task("hcc_grade"))
    value = apart["levels"]["slice"]["metrics"]["accuracy"]["value"]
    assert row[2] == "0.766"
    assert row[3].startswith(f"{value:.3f} [")
    tested = context.predictions(cell_name(GRADER, SAMPLE)).query("role == 'test'")
    right = (tested[[f"p_{name}" for name in GRADES]].to_numpy().argmax(1) == tested["label"].map(GRADES.index)).mean()
    assert row[6].startswith(f"{right:.3f} [")
    assert row[8].startswith(f"{right - value:.3f} [")
    assert f"{right - value:.3f} [" in " ".join(found["headline"])


def test_what_comes_from_the_replica_is_marked(context, predictions_alone):
    write_runs(context, {cell_name(GRADER, PATIENT): 0.6, cell_name(GRADER, SAMPLE): 0.9})
    found = Tables().collect(context)
    assert NOT_DISJOINT in found["warnings"][0]
    assert found["tables"][1]["key"] == "optimism-parts"
    for table in found["tables"]:
        marked = [index for index, name in enumerate(table["header"]) if NOT_DISJOINT in name]
        assert marked == table["marked_columns"]


def test_cells_without_runs_or_weights_say_so(context, predictions_alone):
    write_runs(context, {cell_name(GRADER, PATIENT): 0.6})
    found = Tables().collect(context)
    (table,) = [one for one in found["tables"] if one["key"] == "table-6"]
    assert {row[3] for row in table["rows"] if "pretrained" in row[0]} == {without_weights(context)}
    assert {row[3] for row in table["rows"] if "pretrained" not in row[0]} == {tables_content.NO_RUN}
    assert "no model" in found["headline"][0].lower()
    assert "19 of 19" in " ".join(found["warnings"])


def test_models_of_a_table_are_compared_with_its_reference(context, predictions_alone):
    models = [row.model for row in TABLE_6.rows if row.model.start == "scratch"]
    write_runs(context, {cell_name(model, protocol): 0.7 for model in models for protocol in PROTOCOLS})
    records = Tables().collect(context)["comparisons"]
    assert {record["against"] for record in records} == {"T21*S4, ResNet20+SPP 2-d"}
    assert len(records) == 3 * 2


def test_the_parts_of_the_optimism_add_up(context, predictions_alone):
    write_runs(context, {cell_name(GRADER, PATIENT): 0.6, cell_name(GRADER, SAMPLE): 0.9})
    (row,) = Tables().collect(context)["tables"][1]["rows"]
    copies, epoch, rest, whole = (float(cell) for cell in row[2:])
    assert epoch == pytest.approx(0.1)  # the learning curves above lose it after the first epoch
    assert copies + epoch + rest == pytest.approx(whole, abs=0.002)
    tested = context.predictions(cell_name(GRADER, SAMPLE)).query("role == 'test'")
    given = tested[[f"p_{name}" for name in GRADES]].to_numpy().argmax(axis=1)
    right = given == tested["label"].map(GRADES.index)
    originals = ~tested["sample"].str.contains("+", regex=False)
    assert copies == pytest.approx(right.mean() - right[originals].mean(), abs=0.001)


@pytest.mark.parametrize(("low", "high", "shown"), [(-0.1, 0.3, False), (0.1, 0.3, True), (None, None, False)])
def test_an_optimism_whose_interval_holds_zero_is_not_called_one(low, high, shown):
    assert (shown_or_not({"value": 0.1, "low": low, "high": high}) == "") == shown
