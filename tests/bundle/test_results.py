"""Which heads and which scoring a run may have."""

from types import SimpleNamespace

import pytest

from mpmri_monai.artefacts import write_json
from mpmri_monai.bundle import check_scoring, evaluate_run, train
from mpmri_monai.errors import ConfigError

SAMPLES = {"pixels": 32, "reach": 1.6}


@pytest.mark.parametrize(
    ("head", "results"), [("network", "report"), ("network", "predictions"), ("forest", "predictions")]
)
def test_heads_that_serve_their_run_pass(head, results):
    check_scoring(head, True, results, SAMPLES)


@pytest.mark.parametrize(
    ("head", "results", "message"),
    [
        ("logitsic", "predictions", "network, logistic, svm, forest"),
        ("svm", "report", "--results predictions"),
    ],
)
def test_other_heads_are_refused(head, results, message):
    with pytest.raises(ConfigError, match=rf"E_HEAD.*{message}"):
        check_scoring(head, False, results, SAMPLES)


@pytest.mark.parametrize(("head", "features"), [("network", "voxels"), ("svm", "pixels")])
def test_features_that_no_head_would_see_are_refused(head, features):
    with pytest.raises(ConfigError, match="E_HEAD"):
        check_scoring(head, False, "predictions", SAMPLES, features)
    check_scoring("svm", False, "predictions", SAMPLES, "voxels")


def test_a_classical_head_is_refused_in_several_processes(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    check_scoring("network", False, "report", SAMPLES)
    with pytest.raises(ConfigError, match="without torchrun"):
        check_scoring("logistic", False, "predictions", SAMPLES)


def test_averaging_over_crops_that_are_not_stored_is_refused():
    check_scoring("network", False, "report", SAMPLES | {"reach": 1.2})
    with pytest.raises(ConfigError, match=r"at least 48 pixels.*samples#reach"):
        check_scoring("network", True, "report", SAMPLES | {"reach": 1.2})


def test_averaging_over_volumes_is_refused():
    grid = {"grid": {"slices": 4, "pixels": 25}, "reach": 1.6}
    check_scoring("network", False, "report", grid)
    with pytest.raises(ConfigError, match=r"crops of one plane.*--averaging False"):
        check_scoring("network", True, "report", grid)


def test_no_epoch_is_trained_for_a_classical_head():
    runs = []
    trainer = SimpleNamespace(run=lambda: runs.append("run"))
    train(trainer, "logistic")
    assert runs == []
    train(trainer, "network")
    assert runs == ["run"]


@pytest.mark.parametrize(
    ("trained", "asked", "message"),
    [
        ({"averaging": True}, {}, "--averaging True"),
        ({}, {"averaging": True}, "--averaging False"),
        ({"head": "svm"}, {}, r"predictions\.csv"),
        ({}, {"head": "svm"}, r"predictions\.csv"),
    ],
)
def test_a_run_is_evaluated_as_it_was_scored(tmp_path, trained, asked, message):
    """Runs of before there were such keys have none of them."""
    write_json(tmp_path / "config.json", trained)
    cohort = SimpleNamespace(refuse_report=lambda: None)
    with pytest.raises(ConfigError, match=rf"E_RUN.*{message}"):
        evaluate_run(tmp_path, cohort, None, "cpu", 32, **asked)
