"""Every case of the fault matrix ends in the right volumes or in its named error, and never in a wrong volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.cases import CASES, Case
from faults.outcome import judge
from faults.own import read
from faults.table import expected_cells, listed_cells
from mpmri_monai.artefacts import CACHE_VARIABLE

TABLE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"


LOCK = "lock"
"""Stays in the cache: it tells whether the folder of an archive is still in use."""


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir() and path.name != LOCK}


def _parameter(case: Case):
    """A case under its name; those that have to be swollen to hundreds of megabytes are slow."""
    return pytest.param(case, id=case.name, marks=pytest.mark.slow if case.name.endswith(" bomb") else ())


@pytest.mark.parametrize("case", map(_parameter, CASES))
def test_case_ends_as_it_has_to_and_leaves_nothing_behind(case: Case, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    made = case.study()
    study = made.write(tmp_path / "study")
    before = _files(tmp_path)
    outcome = judge(read(study, case.protocol), made.truths)
    expected = ("refuses" if case.refused else "right", set(case.refused), set(case.warned))
    assert (outcome.verdict, set(outcome.refused), set(outcome.warned)) == expected, outcome.detail
    assert _files(tmp_path) == before


def test_the_table_in_the_documentation_lists_every_case_with_its_outcome():
    assert listed_cells(TABLE.read_text(encoding="utf-8")) == [expected_cells(case) for case in CASES]
