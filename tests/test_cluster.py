"""A real Dask scheduler and two real worker processes on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import worker_jobs
from mpmri_monai.processes import WorkerError, in_processes, open_workers

pytest.importorskip("distributed")
TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a scheduler with two workers of one thread, without a nanny that would start a killed one again."""
    folder = tmp_path_factory.mktemp("dask")
    file = ["--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard"]
    processes = [_dask(folder, "scheduler", "--host", "127.0.0.1", "--port", "0", *file)]
    _wait_until((folder / "scheduler.json").exists)
    processes += [_dask(folder, "worker", "--nthreads", "1", "--no-nanny", *file) for _ in range(2)]
    address = json.loads((folder / "scheduler.json").read_text())["address"]
    with open_workers(0, address) as workers:
        _wait_until(lambda: workers.count == 2)
    yield address
    for process in reversed(processes):
        process.terminate()
        process.wait()


def test_a_scheduler_without_workers_is_told_and_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("mpmri_monai.cluster.CONNECT_SECONDS", 3)
    file = tmp_path / "scheduler.json"
    scheduler = _dask(tmp_path, "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
    try:
        _wait_until(file.exists)
        with pytest.raises(WorkerError, match="with workers"):
            open_workers(2, json.loads(file.read_text())["address"])
    finally:
        scheduler.terminate()
        scheduler.wait()


def test_results_are_those_of_local_workers_in_order(cluster):
    assert list(in_processes(worker_jobs.double, [3, 1, 2], 2, scheduler=cluster)) == [6, 2, 4]


def test_an_error_of_a_job_arrives_as_it_was_and_the_others_go_on(cluster):
    with open_workers(0, cluster) as workers:
        outcomes = sorted(workers.outcomes(int, ["1", "x", "3"]), key=lambda outcome: outcome.number)
    assert [outcome.result for outcome in outcomes] == [1, None, 3]
    assert isinstance(outcomes[1].error, ValueError)


def test_a_worker_killed_in_the_middle_costs_its_job_alone(cluster, tmp_path):
    jobs = [(tmp_path, number, 0.4) for number in range(6)]
    done = []
    with open_workers(0, cluster) as workers:
        for outcome in workers.outcomes(worker_jobs.note, jobs):
            done.append(outcome.get())
            if len(done) == 1:
                killed = (tmp_path / "began.txt").read_text().splitlines()[-1].split()
                os.kill(int(killed[0]), signal.SIGKILL)
    begun = [line.split() for line in (tmp_path / "began.txt").read_text().splitlines()]
    assert sorted(done) == list(range(6))
    assert [number for _, number in begun].count(killed[1]) == 2
    assert len(begun) <= len(jobs) + 2  # the job in flight, and at most one whose result had not been fetched yet


def _dask(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "dask", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def _wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
