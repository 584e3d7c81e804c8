import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import worker_jobs
from mpmri_monai.errors import ConfigError
from mpmri_monai.processes import WorkerError, in_processes, open_workers

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def two_workers():
    with open_workers(2) as workers:
        yield workers


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_are_the_same_and_in_order_whatever_the_workers(workers):
    assert list(in_processes(abs, [-3, 1, -2], workers)) == [3, 1, 2]


def test_results_come_in_order_even_if_the_first_takes_longest(tmp_path):
    jobs = [(tmp_path, number, seconds) for number, seconds in enumerate((0.3, 0, 0))]
    assert list(in_processes(worker_jobs.note, jobs, 2)) == [0, 1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_job_arrives_as_it_was(workers):
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_processes(int, ["1", "x"], workers))


def test_a_process_that_dies_is_told_in_words():
    with pytest.raises(WorkerError, match="fewer workers"):
        list(in_processes(os._exit, [1, 1], 2))


@pytest.mark.parametrize("count", [0, 2])
def test_an_outcome_is_a_result_or_an_error_and_the_others_go_on(count):
    with open_workers(count) as workers:
        outcomes = sorted(workers.outcomes(int, ["1", "x", "3"]), key=lambda outcome: outcome.number)
    assert [outcome.result for outcome in outcomes] == [1, None, 3]
    assert isinstance(outcomes[1].error, ValueError)


def test_an_error_says_where_in_the_worker_it_was_raised(two_workers):
    (outcome,) = two_workers.outcomes(int, ["x"])
    assert "in _serve" in outcome.error.__notes__[0]


def test_an_error_that_cannot_be_sent_arrives_in_words(two_workers):
    (outcome,) = two_workers.outcomes(worker_jobs.raise_unsendable, [1])
    assert str(outcome.error) == "Unsendable: what went wrong"


def test_workers_stay_from_one_set_of_jobs_to_the_next(two_workers):
    first = {outcome.get() for outcome in two_workers.outcomes(worker_jobs.die_or_wait, [""] * 4)}
    second = {outcome.get() for outcome in two_workers.outcomes(worker_jobs.die_or_wait, [""] * 4)}
    assert first == second and len(first) == 2 and os.getpid() not in first


def test_a_job_whose_process_is_killed_is_tried_again(two_workers, tmp_path):
    (outcome,) = two_workers.outcomes(worker_jobs.die_once, [tmp_path])
    assert outcome.get() == "done"


def test_a_job_that_always_kills_its_process_costs_no_other_job(two_workers):
    outcomes = sorted(
        two_workers.outcomes(worker_jobs.die_or_wait, ["", "die", "", ""]), key=lambda outcome: outcome.number
    )
    assert isinstance(outcomes[1].error, WorkerError)
    assert all(outcome.error is None for outcome in (outcomes[0], *outcomes[2:]))
    assert [outcome.get() for outcome in two_workers.outcomes(worker_jobs.double, [4])] == [8]


def test_a_killed_process_costs_the_job_that_it_had_alone(two_workers, tmp_path):
    jobs = [(tmp_path, number, 0.5) for number in range(4)]
    killed = False
    done = []
    with closing(two_workers.outcomes(worker_jobs.note, jobs)) as outcomes:
        for outcome in outcomes:
            done.append(outcome.get())
            if not killed:
                last = _wait_for_lines(tmp_path / "began.txt", 3)[-1]
                os.kill(int(last.split()[0]), signal.SIGKILL)
                killed = True
    begun = [line.split()[1] for line in (tmp_path / "began.txt").read_text().splitlines()]
    assert sorted(done) == [0, 1, 2, 3]
    assert sorted(begun) == sorted(["0", "1", "2", "3", last.split()[1]])


def test_who_stops_listening_leaves_no_process_at_work_and_no_mess(tmp_path):
    with open_workers(2) as workers, closing(workers.outcomes(worker_jobs.clean_up_late, [None, tmp_path])) as outcomes:
        assert next(outcomes).error is not None  # None is no folder
        process = int(_wait_for_lines(tmp_path / "began.txt", 1)[0])
    assert (tmp_path / "cleaned.txt").exists()
    assert not _alive(process)


def test_workers_end_when_the_main_process_is_killed(tmp_path):
    script = (
        "import worker_jobs\nfrom mpmri_monai.processes import in_processes\n"
        f"if __name__ == '__main__':\n    list(in_processes(worker_jobs.note, [({str(tmp_path)!r}, n, 60) "
        "for n in range(2)], 2))\n"
    )
    (tmp_path / "main.py").write_text(script)
    main = subprocess.Popen([sys.executable, tmp_path / "main.py"], env=os.environ | {"PYTHONPATH": str(TESTS)})
    processes = [int(line.split()[0]) for line in _wait_for_lines(tmp_path / "began.txt", 2)]
    main.kill()
    main.wait()
    _wait_until(lambda: not any(map(_alive, processes)))


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("mpmri_monai.cluster.CONNECT_SECONDS", 0.5)
    with pytest.raises(WorkerError, match="E_SCHEDULER"):
        open_workers(2, "tcp://127.0.0.1:9")


@pytest.mark.parametrize("address", ["foo", "http://127.0.0.1:8786", "tcp://", ""])
def test_what_is_no_address_of_a_scheduler_is_refused_at_once(address):
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match="tcp://HOST:8786"):
        open_workers(2, address)


def test_dask_is_asked_for_by_name_when_it_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="cluster"):
        open_workers(2, "tcp://127.0.0.1:9")


def _wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _wait_for_lines(path, count):
    _wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= count)
    return path.read_text().splitlines()


def _alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
