"""The report of an experiment: what is written, what it says first, what it refuses."""

import csv
import json
import re

import pytest

from mpmri_monai.errors import EvaluationError
from mpmri_monai.report import experiment
from mpmri_monai.report.experiment import limits, plan_sentence, write_experiment_report
from mpmri_monai.report.style import RESEARCH_ONLY

SECTIONS = ["first-page", "protocol", "cohort", "results", "calibration", "failures", "audit", "made", "checklist"]


def text_of(html):
    """Return the words of a page, without tags, styles and pixels."""
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("&#39;", "'").replace("\u00a0", " ")


def minimal(**more):
    content = {"schema": experiment.SCHEMA, "experiment": "repeats", "title": "T", "headline": ["Accuracy 0.8."]}
    return content | more


@pytest.fixture(scope="module")
def written(tmp_path_factory, make_content):
    folder = tmp_path_factory.mktemp("experiment")
    write_experiment_report(folder, make_content())
    return folder


@pytest.fixture(scope="module")
def html(written):
    return (written / "report.html").read_text(encoding="utf-8")


def test_every_section_is_there_in_order(html):
    assert re.findall(r'<section id="([^"]+)"', html) == SECTIONS


def test_the_first_page_has_question_answer_figure_limits(html, make_content):
    first = html[html.index('id="first-page"') : html.index('id="protocol"')]
    text = text_of(first)
    assert experiment.QUESTIONS["tables"] in text
    assert all(sentence in text for sentence in make_content()["headline"])
    assert first.count("<img ") == 1 and "Synthetic data." in text
    assert RESEARCH_ONLY in text and "What this does not say" in text
    assert "keeps the trained networks" in text and "one site" in text


def test_figures_and_tables_lie_beside_the_report(written, make_content):
    content = make_content()
    assert {path.stem for path in (written / "figures").iterdir()} == {item["key"] for item in content["figures"]}
    (table,) = content["tables"]
    with (written / "tables" / "table6.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == table["header"]
    assert rows == [[str(item) for item in row] for row in table["rows"]]


def test_columns_that_are_not_patient_disjoint_say_so_in_their_head(html):
    marked = re.findall(r'<th scope="col" class="marked">(.*?)</th>', html)
    assert [text_of(cell).split() for cell in marked] == [
        ["replica", "not", "patient-disjoint"],
        ["optimism", "not", "patient-disjoint"],
    ]
    assert html.count('<td class="marked">') == 8


def test_no_folder_of_the_machine_is_told(html):
    for told in ("/srv", "/mnt", "/home", "somebody", "/data"):
        assert told not in text_of(html)
    assert "--bundle …/hcc_grade --manifest …/M.json" in text_of(html)


def test_failures_plan_comparisons_and_audit_are_told(html):
    text = text_of(html)
    assert "grade-T2-IN-OUT/repeat3" in text and "found none" in text
    assert "680 runs and was expected to take 5.8 hours of computing" in text
    assert "0.030 (-0.050 to 0.110)" in text and "0.410" in text
    assert "same images under two names" in text


def test_the_same_content_gives_the_same_bytes(tmp_path, make_content):
    content = minimal(figures=make_content()["figures"][:1])
    before = write_experiment_report(tmp_path, content).read_bytes()
    assert write_experiment_report(tmp_path, json.loads(json.dumps(content))).read_bytes() == before


def test_the_least_content_gives_a_whole_report(tmp_path):
    text = text_of(write_experiment_report(tmp_path, minimal()).read_text())
    assert "Accuracy 0.8." in text and "No audit was recorded." in text and "Not computed." in text
    assert "None" not in text.replace("None.", "").replace("None was recorded", "") and "nan" not in text.split()


def test_text_is_never_markup(tmp_path):
    html = write_experiment_report(tmp_path, minimal(title="<script>alert(1)</script>")).read_text()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_a_leak_is_told_first_but_not_that_of_a_replica(tmp_path):
    audit = [
        {"check": "patients across roles", "outcome": "LEAK", "found": "2 of 48 patients"},
        {"check": "patients across roles, replica", "outcome": "LEAK", "found": "48 of 48 patients"},
    ]
    html = write_experiment_report(tmp_path, minimal(audit=audit)).read_text()
    banner = text_of(html[html.index('id="leaks"') : html.index("What was asked")])
    assert "2 of 48" in banner and "48 of 48" not in banner
    assert "LEAK, as in the protocol replicated" in text_of(html)
    assert 'id="leaks"' not in write_experiment_report(tmp_path, minimal(audit=audit[1:])).read_text()


def test_many_warnings_do_not_push_the_answer_off_the_first_page(tmp_path):
    warnings = [f"study P{number:03d}-1 was left out" for number in range(9)]
    html = write_experiment_report(tmp_path, minimal(warnings=warnings)).read_text()
    first, rest = html.split('id="protocol"')
    assert text_of(first).count("was left out") == experiment.MOST_WARNINGS and "6 more warnings" in text_of(first)
    assert all(warning in text_of(rest) for warning in warnings)


def test_comparisons_of_evaluation_become_a_row_a_metric(tmp_path):
    found = {"a": 0.7, "b": 0.6, "difference": 0.1, "low": -0.05, "high": 0.25, "p": 0.21, "resamples": 99}
    comparison = {
        "name": "SPP − GAP",
        "level": "lesion",
        "method": "Patients are swapped.",
        "metrics": {"accuracy": found},
    }
    text = text_of(write_experiment_report(tmp_path, minimal(comparisons=[comparison])).read_text())
    assert "SPP − GAP lesion Accuracy 0.700 0.600 0.100 (-0.050 to 0.250) 0.210" in text
    assert "Patients are swapped." in text


def test_limits_follow_from_the_content():
    said = " ".join(limits(minimal()))
    assert "synthetic" not in said and "one site" not in said and "patient-disjoint" not in said
    table = {"marked_columns": [1]}
    two_sites = {"rows": [["A", 1], ["B", 1]]}
    said = " ".join(limits(minimal(tables=[table], cohort={"synthetic": True, "sites": two_sites}, limits=["Mine."])))
    assert "synthetic" in said and "one site" not in said and "patient-disjoint" in said and "Mine." in said


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({}, ""),
        ({"runs": 1, "seconds": None}, "The plan had 1 run."),
        (
            {"runs": 30, "seconds": 600},
            "The plan had 30 runs and was expected to take 10 minutes of computing, one run after the other.",
        ),
        (
            {"runs": 2, "seconds": 2},
            "The plan had 2 runs and was expected to take less than two minutes of computing, one run after the other.",
        ),
    ],
)
def test_the_plan_in_words(plan, text):
    assert plan_sentence(plan) == text


TABLE = {"key": "t", "title": "T", "caption": "", "header": ["a", "b"], "rows": [["x", 1]]}
BARS = {"key": "f", "title": "F", "caption": "", "kind": "bars", "data": {"bars": []}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": "mpmri-monai/experiment/2"}, "experiment/2"),
        ({"headline": "one text"}, "headline"),
        ({"title": None}, "title"),
        ({"tables": [TABLE, TABLE]}, "tables t"),
        ({"tables": [TABLE | {"key": "../t"}]}, "tables ../t"),
        ({"tables": [TABLE | {"rows": [["x"]]}]}, "rows of 1"),
        ({"figures": [BARS | {"kind": "pie"}]}, "'pie'"),
        ({"figures": [BARS | {"data": {}}]}, "figure f"),
        ({"figures": [BARS | {"data": {"bars": [{"name": "x"}]}}]}, "KeyError"),
    ],
)
def test_content_that_is_not_as_described_is_refused_and_nothing_is_written(tmp_path, change, told):
    with pytest.raises(EvaluationError, match=re.escape(told)):
        write_experiment_report(tmp_path / "out", minimal() | change)
    assert not (tmp_path / "out" / "report.html").exists()
