import json
import math
from pathlib import Path

import pytest

from mpmri_monai.errors import SplitError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.estimate import seconds_by_stage
from mpmri_monai.experiments.execute import execute
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.processes import Outcome


class FakeWorkers:
    """Answers each job by its name, last job first."""

    count = 2

    def __init__(self, answers):
        self.answers, self.jobs = answers, []

    def outcomes(self, function, jobs):
        self.jobs += jobs
        for number in reversed(range(len(jobs))):
            answer = self.answers[Path(jobs[number].options["output_dir"]).name]
            yield Outcome(number, error=answer) if isinstance(answer, Exception) else Outcome(number, answer)


class FakeWatch:
    def __init__(self):
        self.seen = {}

    def ended(self, run, expected, taken):
        self.seen[run.name] = taken


@pytest.fixture
def context(tmp_path):
    return Context((), tmp_path / "m.json", tmp_path / "out", common={"threads": 1}, cache=tmp_path)


def _runs(tmp_path, *names):
    return [Run(name, "cell", tmp_path, {"threads": 8, "views": 1}) for name in names]


def test_a_failed_run_is_recorded_and_the_others_go_on(tmp_path, context):
    error = SplitError(expected="patients", found="none")
    workers, watch = FakeWorkers({"a": 2.0, "b": error, "c": ValueError("P007, born 1.1.1950")}), FakeWatch()
    execute(_runs(tmp_path, "a", "b", "c"), 1.0, context, workers, "data", watch)
    assert watch.seen == {"a": 2.0, "b": None, "c": None}
    told = {name: json.loads((context.out / "runs" / name / "error.json").read_text())["error"] for name in "bc"}
    assert told == {"b": str(error), "c": "ValueError: see log.txt of the run"}


def test_a_finished_run_is_not_done_again(tmp_path, context):
    done, todo = _runs(tmp_path, "done", "todo")
    context.folder(done).mkdir(parents=True)
    (context.folder(done) / "predictions.csv").write_text("")
    workers, watch = FakeWorkers({"todo": 1.0}), FakeWatch()
    execute([done, todo], 1.0, context, workers, "data", watch)
    assert [job.folder.name for job in workers.jobs] == ["todo"] and watch.seen["done"] == 0.0


def test_what_every_run_gets_wins_over_the_run_s_own(tmp_path, context):
    workers = FakeWorkers({"a": 1.0})
    execute(_runs(tmp_path, "a"), 1.0, context, workers, "data", FakeWatch())
    (job,) = workers.jobs
    assert job.options["threads"] == 1 and job.options["views"] == 1
    assert job.options["output_dir"] == str(context.out / "runs" / "a")


def test_the_estimate_scales_one_timing_by_the_epochs_of_each_stage(tmp_path, context):
    def stage(name, **options):
        run = Run(name, name, tmp_path, options)
        return Stage(name, 1, run, lambda: [run])

    stages = [stage("a", max_epochs=10), stage("b", max_epochs=20, fusion="T2"), stage("c", max_epochs=1, views=6)]
    workers = FakeWorkers({"b": (1.0, 0.5), "a": (1.0, 0.5), "c": SplitError(expected="x", found="y")})
    first, second, failed = seconds_by_stage(stages, context, workers, "data")
    assert (first, second) == (6.0, 11.0) and math.isnan(failed)
    assert len(workers.jobs) == 2


def test_a_classical_head_is_fitted_once_whatever_the_epochs(tmp_path, context):
    run = Run("a", "a", tmp_path, {"max_epochs": 30, "head": "svm"})
    (seconds,) = seconds_by_stage([Stage("a", 1, run, list)], context, FakeWorkers({"a": (5.0, 0.5)}), "data")
    assert seconds == 5.5
