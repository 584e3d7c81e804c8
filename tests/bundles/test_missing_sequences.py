"""A bundle trained to do without any sequence, by the bundle's own commands, on patients of whom one lacks S0."""

import json

import pytest

from mpmri_monai.artefacts import read_json
from mpmri_monai.errors import ConfigError
from mpmri_monai.inference import TrainedModel
from mpmri_monai.networks import SubsetNetwork

ANY = {
    "task": "brain", "fusion": "T2-S0", "architecture": "subset", "sequence_dropout": 0.3, "max_epochs": 2, "views": 1,
    "split#val": 0.0,
}  # fmt: skip
"""Overrides of hcc_grade."""


@pytest.fixture(scope="module")
def run(run_here, brains, tmp_path_factory):
    return run_here("hcc_grade", tmp_path_factory.mktemp("subset") / "run", manifest=str(brains), **ANY)


def test_the_reference_says_that_no_sequence_is_required_and_builds_the_network(run, root):
    reference = read_json(run / "reference.json")
    assert reference["required"] == [] and reference["sequence_dropout"] == 0.3
    assert reference["ranges"]["timing"] == {}, "NIfTI files have no times"
    model = TrainedModel(run, root / "bundles" / "hcc_grade")
    assert model.required == ()
    assert isinstance(model.network(), SubsetNetwork)
    start = json.loads((run / "warm_start.json").read_text())
    assert {one["tensor"] for one in start["tensors"] if one["outcome"] == "adapted"} == {"conv1.weight"}


def test_a_killed_run_goes_on_as_if_it_had_not_been(run_here, run, brains, tmp_path):
    with pytest.raises(BaseException) as killed:
        run_here("hcc_grade", tmp_path / "run", manifest=str(brains), stopped_in=2, **ANY)
    assert killed.typename == "Stopped"
    assert not (tmp_path / "run" / "predictions.csv").exists()
    run_here("hcc_grade", tmp_path / "run", manifest=str(brains), **ANY)
    assert (tmp_path / "run" / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()


def test_evaluating_never_drops(run_here, run, brains):
    before = (run / "predictions.csv").read_bytes()
    run_here("hcc_grade", run, "evaluating", manifest=str(brains), **ANY)
    assert (run / "predictions.csv").read_bytes() == before


def chain(error):
    """An error and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("required_sequences", "S5", "S5"),
        ("sequence_dropout", 1.5, "sequence_dropout"),
        ("architecture", "subsets", "subset"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_folder_is_claimed(run_here, brains, tmp_path, option, value, said):
    with pytest.raises(Exception) as refused:  # MONAI wraps what is said in errors of its own
        run_here("hcc_grade", tmp_path / "run", manifest=str(brains), **(ANY | {option: value}))
    assert any(said in str(error) for error in chain(refused.value) if isinstance(error, ConfigError))
    assert not (tmp_path / "run").exists()
