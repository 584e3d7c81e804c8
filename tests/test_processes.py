import os

import pytest

from mpmri_monai.processes import WorkerError, in_processes


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_are_the_same_and_in_order_whatever_the_workers(workers):
    assert list(in_processes(abs, [-3, 1, -2], workers)) == [3, 1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_a_job_arrives_as_it_was(workers):
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_processes(int, ["1", "x"], workers))


def test_a_process_that_dies_is_told_in_words():
    with pytest.raises(WorkerError, match="fewer workers"):
        list(in_processes(os._exit, [1, 1], 2))
