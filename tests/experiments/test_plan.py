from pathlib import Path

import pytest

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.plan import Run, Stage, checked_runs

BUNDLE = Path("bundle")


@pytest.mark.parametrize("name", ["", "/a", "a/../b", "a b", "a/", "ä"])
def test_names_that_are_no_place_below_a_folder_are_refused(name):
    with pytest.raises(ConfigError, match="name of a run"):
        Run(name, "cell", BUNDLE)


def test_a_stage_gives_as_many_runs_as_it_said():
    runs = [Run("a", "cell", BUNDLE), Run("b", "cell", BUNDLE)]
    assert checked_runs(Stage("s", 2, runs[0], lambda: runs), set()) == runs
    with pytest.raises(ConfigError, match="found 2 runs"):
        checked_runs(Stage("s", 3, runs[0], lambda: runs), set())


@pytest.mark.parametrize("taken", [set(), {"a"}])
def test_a_name_is_used_once(taken):
    runs = [Run("a", "cell", BUNDLE)] * (2 - len(taken))
    with pytest.raises(ConfigError, match="used twice: a"):
        checked_runs(Stage("s", len(runs), runs[0], lambda: runs), taken)
