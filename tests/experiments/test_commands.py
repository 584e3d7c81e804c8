import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mpmri_monai.artefacts import write_json
from mpmri_monai.errors import ConfigError, EvaluationError, OutputError, SplitError
from mpmri_monai.evaluation import read_predictions, write_predictions
from mpmri_monai.experiments import registry
from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.collect import command
from mpmri_monai.experiments.commands import experiment_command, failed_in_words
from mpmri_monai.experiments.starts import WEIGHTS

HERE = Path(__file__).resolve().parent
BUNDLE = HERE.parents[1] / "bundles" / "hcc_grade"


@pytest.fixture
def given(tiny_cohort, tiny_cache, tmp_path, monkeypatch, tiny_experiment):
    monkeypatch.setenv("MPMRI_CACHE", str(tiny_cache))

    def make(out="out", **others):
        return context_of([BUNDLE], tiny_cohort, tmp_path / out, **others)

    return make


def _predictions(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("predictions.csv"))}


def test_an_experiment_is_planned_done_and_collected_and_goes_on_where_it_was(given, capsys):
    context = given()
    assert experiment_command("tiny", context, plan_only=True) == 0
    assert sorted(path.name for path in context.out.iterdir()) == [".lock", "plan.csv", "plan.json"]
    assert "3 trainings" in capsys.readouterr().out
    assert experiment_command("tiny", context) == 0
    results = _predictions(context.out)
    assert list(results) == [f"runs/{name}/predictions.csv" for name in ("grade/repeat0", "grade/repeat1", "winner")]
    content = json.loads((context.out / "experiment.json").read_text())
    assert (content["experiment"], content["plan"]["runs"], content["warnings"]) == ("tiny", 3, ["of a test"])
    assert content["cohort"]["flow"][0] == ["studies in the manifest", 9]
    assert (context.out / "report.html").stat().st_size > 1000

    stamp = (context.out / "runs" / "winner" / "predictions.csv").stat().st_mtime_ns
    (context.out / "runs" / "grade" / "repeat1" / "predictions.csv").unlink()
    assert experiment_command("tiny", context) == 0
    assert _predictions(context.out) == results
    assert (context.out / "runs" / "winner" / "predictions.csv").stat().st_mtime_ns == stamp

    with pytest.raises(ConfigError, match="seed: 0 → 1"):
        experiment_command("tiny", given(seed=1))


def test_what_another_choice_came_to_is_not_taken_for_this_one(given, capsys):
    """A choice may change on resuming, when trainings that had failed are there."""
    context = given()
    assert experiment_command("tiny", context) == 0
    winner = context.out / "runs" / "winner" / "predictions.csv"
    (before,) = set(read_predictions(winner)["repeat"])
    other = context.out / "runs" / "grade" / f"repeat{1 - before}" / "predictions.csv"
    table = read_predictions(other)
    write_predictions(other, table.assign(p_well=1.0, p_moderately=0.0, p_poorly=0.0))
    assert experiment_command("tiny", context) == 0
    assert set(read_predictions(winner)["repeat"]) == {1 - before}
    assert "another choice was made: winner" in capsys.readouterr().err
    done = winner.stat().st_mtime_ns
    assert experiment_command("tiny", context) == 0
    assert winner.stat().st_mtime_ns == done and "another choice" not in capsys.readouterr().err


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers(given):
    one, three = given("one", workers=1), given("three", workers=3)
    assert experiment_command("tiny", one) == experiment_command("tiny", three) == 0
    assert _predictions(one.out) == _predictions(three.out)


@pytest.mark.slow
def test_a_failed_run_is_reported_and_the_rest_goes_on(given, capsys):
    context = given(options=["failing=1"])
    assert experiment_command("tiny", context) == 1
    assert "failed: grade/repeat1: " in capsys.readouterr().err
    content = json.loads((context.out / "experiment.json").read_text())
    assert [failure["run"] for failure in content["failures"]] == ["grade/repeat1"]
    assert len(_predictions(context.out)) == 2


def test_runs_that_failed_alike_are_told_once():
    failures = [{"run": f"a/{number}", "error": "E_X: bad"} for number in range(3)] + [{"run": "b", "error": "E_Y"}]
    assert failed_in_words(failures) == ["failed: a/0 and 2 more: E_X: bad", "failed: b: E_Y"]


def test_the_weights_that_a_bundle_starts_from_are_settings_of_the_plan(given, tmp_path):
    """A resumed experiment would mix trainings from two starts without a word."""
    bundle = shutil.copytree(BUNDLE, tmp_path / "bundle")
    context = replace(given(), bundles=(bundle,))
    assert experiment_command("tiny", context, plan_only=True) == 0
    weights = torch.load(bundle / "models" / WEIGHTS, weights_only=True)
    torch.save({name: 2 * tensor for name, tensor in weights.items()}, bundle / "models" / WEIGHTS)
    with pytest.raises(ConfigError, match="weights of bundle"):
        experiment_command("tiny", context, plan_only=True)


def test_options_that_no_run_can_have_are_refused_and_leave_the_folder_to_others(given):
    context = given(repeats=1, options=["failing=0"])
    with pytest.raises(SplitError):
        experiment_command("tiny", context, plan_only=True)
    assert [path.name for path in context.out.iterdir()] == [".lock"]


def test_an_option_of_the_wrong_type_is_refused_before_a_folder_is_claimed(given):
    context = given(options=["failing=often"])
    with pytest.raises(ConfigError, match="failing"):
        experiment_command("tiny", context)
    assert not context.out.exists()


def test_where_every_run_failed_the_reason_is_told(given, capsys, monkeypatch):
    monkeypatch.setattr("mpmri_monai.experiments.commands._executed", _nothing_but_failures)
    with pytest.raises(EvaluationError, match="E_CELL_EMPTY"):
        experiment_command("tiny", given())
    assert "failed: grade/repeat0 and 1 more: E_TEST: it is a test" in capsys.readouterr().err


def _nothing_but_failures(plan, stages, context, *_):
    for run in context.planned():
        write_json(context.folder(run) / "error.json", {"run": run.name, "error": "E_TEST: it is a test"})
    return plan


def test_the_recorded_command_names_no_folder_and_can_be_typed(given):
    context = given("two words", options=["failing=7"])
    words = shlex.split(command(registry.experiment("tiny"), context))
    assert words[words.index("--out") + 1] == "…/two words"
    assert "/" not in "".join(words).replace("…/", "")


def test_an_interrupt_says_that_what_is_finished_is_kept(given, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mpmri_monai.experiments.commands._prepared", interrupted)
    with pytest.raises(KeyboardInterrupt):
        experiment_command("tiny", given())
    assert "the same command goes on" in capsys.readouterr().err


def test_the_folder_of_something_else_is_left_alone(given):
    context = given()
    context.out.mkdir()
    (context.out / "report.html").write_text("of a run")
    with pytest.raises(OutputError, match="of something else"):
        experiment_command("tiny", context)
    assert [path.name for path in context.out.iterdir()] == ["report.html"]


def test_a_folder_that_takes_no_lock_is_told(given):
    context = given()
    (context.out / ".lock").mkdir(parents=True)
    with pytest.raises(OutputError, match="E_OUTPUT"):
        experiment_command("tiny", context)


def test_options_that_the_experiment_lacks_are_refused(given):
    with pytest.raises(ConfigError, match="wrong"):
        experiment_command("tiny", given(options=["wrong=1"]))


def test_two_bundles_of_one_name_are_refused(given, tmp_path):
    other = shutil.copytree(BUNDLE, tmp_path / BUNDLE.name)
    with pytest.raises(ConfigError, match="bundles of different names"):
        experiment_command("tiny", replace(given(), bundles=(BUNDLE, other)))


def test_two_commands_do_not_work_in_one_folder(given, tmp_path):
    code = (
        f"import fcntl, sys; f = open({str(tmp_path / 'out' / '.lock')!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX); print()"
    )
    (tmp_path / "out").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-u", "-c", code + "; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other.stdout.readline()
    try:
        with pytest.raises(OutputError, match="another process"):
            experiment_command("tiny", given())
    finally:
        other.communicate()


@pytest.mark.slow
def test_a_killed_worker_costs_its_run_in_flight_which_is_done_again(given):
    calm, hit = given("calm", repeats=4), given("hit", repeats=4)
    assert experiment_command("tiny", calm) == 0
    killed = []
    hunter = threading.Thread(target=_kill_who_works_in, args=(hit.out / "runs" / "grade" / "repeat2", killed))
    hunter.start()
    assert experiment_command("tiny", hit) == 0
    hunter.join()
    assert killed and _predictions(hit.out) == _predictions(calm.out)
    assert (hit.out / "runs" / "grade" / "repeat2" / "log.txt").read_text().count("weights of epoch") == 1


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bytes_even_if_a_worker_is_killed(given, tmp_path):
    pytest.importorskip("distributed")
    calm = given("calm", repeats=4)
    assert experiment_command("tiny", calm) == 0
    file = ["--scheduler-file", str(tmp_path / "scheduler.json"), "--no-dashboard"]
    processes = [_dask(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", "0", *file)]
    try:
        _wait_until((tmp_path / "scheduler.json").exists)
        processes += [_dask(tmp_path, "worker", "--nthreads", "1", "--no-nanny", *file) for _ in range(2)]
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        hit = given("hit", repeats=4, scheduler=address)
        killed = []
        hunter = threading.Thread(target=_kill_who_works_in, args=(hit.out / "runs" / "grade" / "repeat2", killed))
        hunter.start()
        assert experiment_command("tiny", hit) == 0
        hunter.join()
        assert killed and _predictions(hit.out) == _predictions(calm.out)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def _dask(folder, *words):
    return subprocess.Popen([sys.executable, "-m", "dask", *words], cwd=folder, stderr=subprocess.DEVNULL)


def _kill_who_works_in(folder, killed):
    """Kill the process that has the log of a run open, as soon as it trains."""
    log = folder / "log.txt"
    _wait_until((folder / "config.json").exists, 120)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = {str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()}
        except OSError:
            continue
        if str(log.resolve()) in opened:
            os.kill(int(process.name), signal.SIGKILL)
            killed.append(process.name)


def _wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
