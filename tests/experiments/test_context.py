import pandas as pd
import pytest

from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import ConfigError, EvaluationError
from mpmri_monai.evaluation import write_predictions
from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.registry import EXPERIMENTS, experiment


def _predictions(repeat):
    row = {"task": "hcc_vs_bg", "patient": "P1", "study": "P1-1", "lesion": "L", "sample": "s", "site": "A"}
    row |= {"repeat": repeat, "outer": 0, "inner": "", "role": "test", "label": "hcc"}
    return pd.DataFrame([row | {"p_background": 0.25, "p_hcc": 0.75, "present_T2": True}])


@pytest.fixture
def context(tmp_path):
    context = Context((), tmp_path / "m.json", tmp_path / "out")
    names = ("a/0", "a/1", "b/0", "b/1")
    runs = [{"name": name, "cell": name[0], "bundle": "bundle", "options": {}} for name in names]
    write_json(context.out / "plan.json", {"stages": [{"runs": runs}]})
    for number, run in enumerate(context.planned()[:2]):
        write_predictions(context.folder(run) / "predictions.csv", _predictions(number))
    write_json(context.out / "runs" / "b" / "0" / "error.json", {"run": "b/0", "error": "no patients"})
    return context


def test_a_cell_s_predictions_are_those_of_its_finished_runs(context):
    assert list(context.predictions("a")["repeat"]) == [0, 1]
    assert [run.name for run in context.runs()] == ["a/0", "a/1"]


def test_a_cell_without_a_finished_run_is_told(context):
    with pytest.raises(EvaluationError, match="E_CELL_EMPTY"):
        context.predictions("b")


def test_failures_are_the_runs_that_failed_not_those_to_come(context):
    assert context.failures == [{"run": "b/0", "error": "no patients"}]


def test_options_have_the_type_of_their_default(tmp_path):
    typed = {"epochs": "3", "share": "0.5", "deep": "yes", "list": "a,b", "bad": "x"}
    context = Context((), tmp_path, tmp_path, options=typed)
    assert [context.option(*pair) for pair in (("epochs", 1), ("share", 0.1), ("deep", False), ("list", ""))] == [
        3, 0.5, True, "a,b"
    ]  # fmt: skip
    assert context.option("absent", 7) == 7
    with pytest.raises(ConfigError, match="option bad"):
        context.option("bad", 1)
    with pytest.raises(ConfigError, match="a number for --option masked"):
        Context((), tmp_path, tmp_path, options={"masked": "nan"}).option("masked", 0.5)


def test_what_is_typed_is_checked(tmp_path):
    given = ([tmp_path], tmp_path / "m.json", tmp_path / "out")
    assert context_of(*given, options=["rungs=1=2"]).options == {"rungs": "1=2"}
    with pytest.raises(ConfigError, match="epochs again"):
        context_of(*given, options=["epochs=1", "epochs=2"])
    assert context_of(*given).common["threads"] == 1
    with pytest.raises(ConfigError, match="no --manifest"):
        context_of([tmp_path], None, tmp_path)
    with pytest.raises(ConfigError, match="precision"):
        context_of(*given, precision="fp16")
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        context_of(*given, options=["views"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_its_name_and_says_what_it_does(name):
    assert experiment(name).name == name and experiment(name).help


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ConfigError, match="repeats"):
        experiment("repeat")


def test_a_run_has_files_of_its_experiment_and_a_cohort_of_its_own(tmp_path):
    context = Context((), tmp_path / "m.json", tmp_path / "out")
    assert context.located("{out}/runs/a/encoder.pt") == str(tmp_path / "out" / "runs" / "a" / "encoder.pt")
    assert [context.located(value) for value in ("a/{out}", 3, ["{out}"])] == ["a/{out}", 3, ["{out}"]]
    assert context.manifest_of(Run("r", "c", tmp_path, {})) == tmp_path / "m.json"
    assert context.manifest_of(Run("r", "c", tmp_path, {"manifest": str(tmp_path / "s.json")})) == tmp_path / "s.json"


def test_an_autoencoder_is_finished_with_its_encoder(tmp_path):
    context, run = Context((), tmp_path / "m.json", tmp_path / "out"), Run("r", "c", tmp_path)
    assert not context.finished(run)
    context.folder(run).mkdir(parents=True)
    (context.folder(run) / "encoder.pt").touch()
    assert context.finished(run)
