import math

import pytest
from rich.progress import Progress

from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.progress import Watch, in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(40, "40 s"), (600, "10 min"), (12_000, "3 h 20 min"), (math.nan, "an unknown time")],
)
def test_durations_are_told_as_people_do(seconds, words):
    assert in_words(seconds) == words


def test_time_left_is_unknown_without_an_estimate(tmp_path, capsys):
    watch = Watch(Progress(disable=True), total=2, seconds=math.nan, workers=2)
    watch.ended(Run("a", "c", tmp_path), math.nan, 3.0)
    assert "1/2 a: 3 s; time left unknown" in capsys.readouterr().err


def test_time_left_follows_how_the_runs_kept_to_the_estimate(tmp_path, capsys):
    watch = Watch(Progress(disable=True), total=4, seconds=400.0, workers=2)
    watch.ended(Run("old", "c", tmp_path), 100.0, 0.0)
    assert capsys.readouterr().err == ""  # done before: nothing to tell
    watch.ended(Run("a", "c", tmp_path), 100.0, 300.0)
    assert "2/4 a: 5 min; about 5 min left" in capsys.readouterr().err
    watch.ended(Run("b", "c", tmp_path), 100.0, None)
    assert "3/4 b: failed" in capsys.readouterr().err
