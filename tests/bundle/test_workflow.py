"""The guard over overrides and the bundle's root, through MONAI's own command line and its Python interface."""

import json
import os
import subprocess
import sys

import pytest
from monai.bundle import ConfigWorkflow

from mpmri_monai.bundle.workflow import bundle_root, current_workflow
from mpmri_monai.errors import BundleError

CONFIG = {
    "imports": ["$import mpmri_monai.bundle.workflow as w", "$import json"],
    "bundle_root": "$w.bundle_root()",
    "run_name": "first",
    "output_dir": "$@bundle_root + '/out'",
    "seed": 0,
    "nested": {"text": "a", "number": 1},
    "linear": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
    "initialize": ["$w.guard()"],
    "training": ["$print(json.dumps([@run_name, @output_dir, @seed, @nested, @bundle_root]))", "$print(@linear)"],
    "run": "%training",
}


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "some_bundle" / "configs"
    folder.mkdir(parents=True)
    (folder / "train.json").write_text(json.dumps(CONFIG))
    (folder / "metadata.json").write_text("{}")
    return folder.parent


def run(bundle, *options, cwd=None, config="configs/train.json"):
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", config, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd or bundle, capture_output=True, text=True, check=False, env=environment)


def answer(result):
    assert result.returncode == 0, result.stderr
    return json.loads(next(line for line in result.stdout.splitlines() if line.startswith("[")))


def test_strings_arrive_as_typed_and_numbers_as_numbers(bundle):
    options = ["--run_name", "2024_01", "--output_dir=runs/a#1", "--seed", "7", "--nested#text", "1e3"]
    name, output, seed, nested, root = answer(run(bundle, *options))
    assert (name, output, seed) == ("2024_01", "runs/a#1", 7)
    assert nested == {"text": "1e3", "number": 1}
    assert root == str(bundle.resolve())


def test_weights_that_an_expression_stands_for_are_named_in_the_record(bundle):
    """Else nobody could look up whom they have seen."""
    written = CONFIG | {
        "pretrained": "$@bundle_root + '/models/pretrained.pt'",
        "training": ["$print(json.dumps([w.running_config()[name] for name in ('pretrained', 'output_dir')]))"],
    }
    (bundle / "configs" / "train.json").write_text(json.dumps(written))
    shipped, raw = answer(run(bundle))
    assert shipped == str(bundle.resolve() / "models" / "pretrained.pt")
    assert raw == CONFIG["output_dir"]
    assert answer(run(bundle, "--pretrained", "scratch"))[0] == "scratch"


def test_root_follows_the_configuration_wherever_the_command_starts(bundle, tmp_path):
    *_, root = answer(run(bundle, cwd=tmp_path, config=str(bundle / "configs/train.json")))
    assert root == str(bundle.resolve())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run_nmae", "x"], "did you mean --run_name?"),
        (["--nested#txet", "x"], "did you mean --nested#text?"),
        (["--linear#out_feature", "3"], "did you mean --linear#out_features?"),
    ],
)
def test_misspelt_overrides_end_with_one_clear_line(bundle, options, message):
    result = run(bundle, *options)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "[" not in result.stdout.splitlines()[-1] if result.stdout else True


def test_an_argument_that_the_component_takes_is_no_typo(bundle):
    result = run(bundle, "--linear#bias", "False")
    assert "bias=False" in result.stdout


def test_python_callers_are_guarded_too(bundle):
    workflow = ConfigWorkflow(str(bundle / "configs/train.json"), run_id="training", logging_file=False, run_naem="x")
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert "run_name" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ({"seed": "many"}, "a whole number for --seed"),
        ({"seed": 0.5}, "a whole number for --seed"),
        ({"nested": "flat"}, "a group of settings for --nested"),
        ({"nested#number": True}, "a whole number for --nested#number"),
    ],
)
def test_values_of_another_kind_are_refused(bundle, override, wanted):
    workflow = ConfigWorkflow(str(bundle / "configs/train.json"), run_id="training", logging_file=False, **override)
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert wanted in str(caught.value.__cause__)


def test_what_monai_adds_by_itself_is_no_typo(bundle):
    """Its federated client names every run, its tracking adds addresses."""
    options = {"run_name": "site_2026", "tracking_uri": "x", "seed": 1}
    ConfigWorkflow(str(bundle / "configs/train.json"), run_id="training", logging_file=False, **options).initialize()


def test_outside_of_a_workflow_there_is_no_root():
    assert current_workflow() is None
    with pytest.raises(BundleError):
        bundle_root()
