"""The experiment of finding: what it plans, what it says of invented candidates, and one real search."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.finished_runs import finish_all, make_context, observed_phantom
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation.froc import froc
from mpmri_monai.experiments.finding import HARDER, KINDS, PLAIN, Finding
from mpmri_monai.experiments.finding_search import hit, search_run, searched, tables_of
from mpmri_monai.experiments.registry import experiment
from mpmri_monai.experiments.worker import RunJob, execute_run
from mpmri_monai.report.experiment import write_experiment_report
from mpmri_monai.samples.region import box_mask

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
BUNDLE = BUNDLES / "hcc_detection"
STUDIES = 6
"""Searched by each run."""


class Searcher:
    """Finishes runs and leaves what they found: harder background, as invented, leads to fewer false positives."""

    def __init__(self, failing="no run is called so"):
        self.failing = failing

    def finish(self, context, run):
        if self.failing in run.name:
            return
        folder = context.folder(run)
        folder.mkdir(parents=True)
        (folder / "predictions.csv").write_text("not read")
        path = context.out / "found" / f"{run.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(invented(run.options["split#fold"], 2 if run.cell == HARDER else 9)))


def invented(fold, false):
    rng = np.random.default_rng(fold)
    studies = []
    for number in range(STUDIES):
        on = [candidate(rng.uniform(0.4, 1), "L1")] if number else []
        off = [candidate(rng.uniform(0, 0.9), "") for _ in range(false)]
        studies.append(
            {"patient": f"P{fold}-{number}", "study": f"P{fold}-{number}-1", "searched": "liver", "notes": [],
             "windows": 1000, "seconds": 2.0, "lesions": [{"lesion": "L1", "extent_mm": 20.0}],
             "candidates": on + off}
        )  # fmt: skip
    return {"studies": studies}


def candidate(score, lesion):
    off = 4.0 if lesion else None
    return {"score": float(score), "lesion": lesion, "size_mm": 22.0, "off_mm": off, "center_mm": [0.0, 0.0, 0.0]}


@pytest.fixture
def context(tmp_path):
    return make_context(tmp_path, observed_phantom(), BUNDLE, workers=0)


def test_every_fold_is_trained_with_both_backgrounds_on_the_same_patients(context):
    (stage,) = Finding().stages(replace(context, options={"folds": "3", "epochs": "5"}))
    runs = stage.runs()
    assert stage.count == len(runs) == 6
    plain, harder = runs[:3], runs[3:]
    assert [run.options[KINDS] for run in (plain[0], harder[0])] == [["liver"], ["liver", "edge", "vessel"]]
    for one, other in zip(plain, harder, strict=True):
        assert {**one.options, KINDS: None} == {**other.options, KINDS: None}
    assert {run.options["split#unit"] for run in runs} == {"patient"}
    assert {run.options["max_epochs"] for run in runs} == {5}
    assert isinstance(experiment("finding"), Finding)


def test_one_background_alone_is_trained_once(context):
    (stage,) = Finding().stages(replace(context, options={"background": "liver", "folds": "2"}))
    assert {run.cell for run in stage.runs()} == {PLAIN} and stage.count == 2


def test_a_bundle_that_is_no_detector_is_refused(context):
    with pytest.raises(ConfigError, match="detector"):
        Finding().stages(replace(context, bundles=(BUNDLES / "hcc_grade",)))


def test_backgrounds_that_there_are_not_are_refused_before_anything_is_trained(context):
    with pytest.raises(ConfigError, match="background_kinds"):
        Finding().stages(replace(context, options={"background": "liver+vesel"}))


def test_aligned_sequences_are_refused_for_masks_stay_where_they_were_drawn(context, tmp_path):
    bundle = tmp_path / "aligned"
    shutil.copytree(BUNDLE, bundle)
    config = json.loads((bundle / "configs/train.json").read_text())
    config["samples"]["align"] = "rigid"
    (bundle / "configs/train.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="as acquired"):
        Finding().stages(replace(context, bundles=(bundle,)))


def test_the_answer_is_that_of_froc_and_its_report_is_written(context):
    finish_all(Finding(), context, Searcher())
    content = Finding().collect(context)
    for cell, line in zip((PLAIN, HARDER), content["headline"], strict=True):
        result = froc(**searched(context, cell), seed=context.seed)
        assert cell in line
        for one in result["sensitivity"]:
            assert f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}] at {one['rate']:g}" in line
    by_key = {table["key"]: table["rows"] for table in content["tables"]}
    assert [row[1] for row in by_key["froc"]] == ["20 of 24"] * 2
    assert [row[3:] for row in by_key["search"]] == [["4.0", "1.10 (1.10–1.10)"]] * 2
    (curve, other) = content["figures"][0]["data"]["panels"][0]["curves"]
    assert other["x"][3] == 1 and other["mean"][3] > curve["mean"][3]
    report = write_experiment_report(
        context.out, {"schema": "mpmri-monai/experiment/1", "experiment": "finding", **content}
    )
    assert "false positives a study" in report.read_text()


def test_runs_that_failed_are_left_out_and_named(context):
    finish_all(Finding(), context, Searcher(failing=HARDER))
    content = Finding().collect(context)
    assert len(content["headline"]) == 1 and any(HARDER in line for line in content["warnings"])
    with pytest.raises(EvaluationError):
        searched(context, HARDER)


def test_studies_of_two_repetitions_count_in_each():
    tables = tables_of({"repeat0-fold0": invented(0, 2), "repeat1-fold0": invented(0, 2)})
    assert tables["studies"]["study"].is_unique and len(tables["studies"]) == 2 * STUDIES
    assert tables["studies"]["patient"].nunique() == STUDIES


def test_no_finding_of_a_fold_leaves_its_studies():
    content = invented(0, 0)
    content["studies"] = [{**study, "candidates": []} for study in content["studies"]]
    tables = tables_of({"fold0": content})
    assert froc(**tables, bootstraps=10)["sensitivity"][0]["value"] == 0


def test_a_candidate_is_on_the_nearest_lesion_within_three_millimetres():
    lesions = {"L1": box_mask((0, 0, 0), (1, 1, 1)), "L2": box_mask((4, 0, 0), (1, 1, 1))}
    assert [hit((x, 0.0, 0.0), lesions) for x in (-3.1, -2.9, 1.9, 2.1, 6.9, 7.1)] == ["", "L1", "L1", "L2", "L2", ""]
    assert hit((0.0, 0.0, 0.0), {}) == ""


@pytest.mark.slow
def test_a_trained_fold_searches_its_test_patients_and_them_alone(tiny_cohort, tiny_cache, tmp_path):
    options = {
        "max_epochs": 1, "views": 1, "split#val": 0.0, "batch_size": 8, "split#folds": 9, KINDS: ["liver", "edge"],
        "threads": 1, "num_workers": 0, "results": "predictions", "device": "cpu", "manifest": str(tiny_cohort),
        "output_dir": str(tmp_path / "run"),
    }  # fmt: skip
    execute_run(RunJob(BUNDLE, tmp_path / "run", options, tiny_cache, "data"))
    content = search_run((tmp_path / "run", tmp_path / "found" / "run.json"))
    (study,) = content["studies"]
    assert study["searched"] == "liver" and study["windows"] > 1000
    assert study["lesions"] and study["candidates"]
    assert 0 <= froc(**tables_of({"run": content}), bootstraps=10)["sensitivity"][2]["value"] <= 1
    assert search_run((tmp_path / "run", tmp_path / "found" / "run.json")) == content
