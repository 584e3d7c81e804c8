import json

import pytest

from mpmri_monai.cohort.kept import FAILED, code_digest, kept_results

DONE = []


def square(number):
    DONE.append(number)
    if number < 0:
        return {FAILED: "negative"}
    return {"square": number * number}


def stop_at_three(number):
    if number == 3:
        raise KeyboardInterrupt
    return square(number)


@pytest.fixture(autouse=True)
def nothing_done():
    DONE.clear()


def results(function, numbers, folder):
    return list(kept_results(function, numbers, [f"k{number}" for number in numbers], folder, 0, None))


def test_results_come_in_order_and_are_not_computed_twice(tmp_path):
    assert results(square, [1], tmp_path) == [{"square": 1}]
    assert results(square, [3, 1, 2], tmp_path) == [{"square": 9}, {"square": 1}, {"square": 4}]
    assert DONE == [1, 3, 2]


def test_an_interrupted_run_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        results(stop_at_three, [1, 2, 3, 4], tmp_path)
    assert DONE == [1, 2]
    assert len(results(square, [1, 2, 3, 4], tmp_path)) == 4
    assert DONE == [1, 2, 3, 4]


def test_a_failure_is_looked_at_again(tmp_path):
    assert results(square, [-1], tmp_path) == results(square, [-1], tmp_path) == [{FAILED: "negative"}]
    assert DONE == [-1, -1]


def test_a_damaged_result_is_computed_again(tmp_path):
    results(square, [2], tmp_path)
    (tmp_path / "k2.json").write_text('{"squ')
    assert results(square, [2], tmp_path) == [{"square": 4}]
    assert json.loads((tmp_path / "k2.json").read_text()) == {"square": 4}


def test_nothing_is_kept_without_a_folder(tmp_path):
    results(square, [1], None)
    results(square, [1], None)
    assert DONE == [1, 1]


def test_the_code_and_the_protocols_are_part_of_every_key(tmp_path, monkeypatch):
    assert len(code_digest()) == 64
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr("mpmri_monai.__file__", str(tmp_path / "__init__.py"))
    digests = []
    for name, text in (("code.py", "a"), ("code.py", "b"), ("liver.yaml", "a"), ("liver.yaml", "b")):
        (tmp_path / name).write_text(text)
        digests.append(code_digest.__wrapped__())
    assert len(set(digests)) == len(digests)
