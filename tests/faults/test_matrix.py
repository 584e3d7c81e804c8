"""Every case of the fault matrix ends in the right volumes or in its named error, and never in a wrong volume."""

from __future__ import annotations

import pytest

from faults.cases import CASES, Case
from faults.outcome import judge
from faults.own import read


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_ends_as_it_has_to(case: Case, tmp_path):
    study = case.study()
    outcome = judge(read(study.write(tmp_path / "study"), case.protocol), study.truths)
    expected = ("refuses" if case.refused else "right", set(case.refused), set(case.warned))
    assert (outcome.verdict, set(outcome.refused), set(outcome.warned)) == expected, outcome.detail
