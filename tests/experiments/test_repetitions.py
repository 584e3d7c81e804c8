from pathlib import Path

import pytest

from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.repetitions import bundles_by_task, repetitions


def bundle(folder: Path, task: str) -> Path:
    write_json(folder / "configs" / "train.json", {"task": task})
    return folder


def test_cells_are_compared_on_equal_terms():
    one = repetitions("one", Path("b"), {"fusion": "T2"}, 3, seed=5)
    two = repetitions("two", Path("b"), {"fusion": "S0"}, 3, seed=5)
    for a, b in zip(one, two, strict=True):
        assert {**a.options, "fusion": ""} == {**b.options, "fusion": ""}
    assert len({run.options["seed"] for run in one}) == 3
    assert {run.options["cohort#seed"] for run in one} == {5}
    assert [run.options["split#repeat"] for run in one] == [0, 1, 2]


def test_three_repetitions_are_the_beginning_of_ten():
    assert repetitions("cell", Path("b"), {}, 3, seed=0) == repetitions("cell", Path("b"), {}, 10, seed=0)[:3]


def test_more_than_ten_repetitions_have_their_divisions():
    assert repetitions("cell", Path("b"), {}, 12, seed=0)[-1].options["split#repeats"] == 12


def test_no_repetition_is_refused():
    with pytest.raises(ConfigError, match="at least 1 repetition"):
        repetitions("cell", Path("b"), {}, 0, seed=0)


def test_bundles_are_known_by_their_task(tmp_path):
    grade, found = bundle(tmp_path / "grade", "hcc_grade"), bundle(tmp_path / "found", "hcc_vs_bg")
    context = Context((grade, found), tmp_path, tmp_path)
    assert bundles_by_task(context) == {"hcc_grade": grade, "hcc_vs_bg": found}


def test_an_experiment_about_the_tasks_of_its_bundles_is_asked_nothing_else(tmp_path):
    context = Context((bundle(tmp_path / "grade", "hcc_grade"),), tmp_path, tmp_path, asked={"task": "organ"})
    with pytest.raises(ConfigError, match="found --task organ"):
        bundles_by_task(context)


def test_two_bundles_of_one_task_and_none_are_refused(tmp_path):
    one, two = bundle(tmp_path / "one", "hcc_grade"), bundle(tmp_path / "two", "hcc_grade")
    with pytest.raises(ConfigError, match="one and two, both of hcc_grade"):
        bundles_by_task(Context((one, two), tmp_path, tmp_path))
    with pytest.raises(ConfigError, match=r"configs/train\.json"):
        bundles_by_task(Context((tmp_path / "none",), tmp_path, tmp_path))
