"""The list of what a publication must report: complete, and only answered where the record answers."""

import re

from mpmri_monai.report.checklist import ITEMS, OPEN, checklist_rows, recorded


def numbers(text):
    return {int(match) for match in re.findall(r"(\d+)", text)}


def test_every_item_of_both_lists_is_there():
    assert set().union(*(numbers(item.tripod) for item in ITEMS)) == set(range(1, 28))
    assert set().union(*(numbers(item.claim) for item in ITEMS)) == set(range(1, 43))


def test_every_record_that_an_item_names_can_be_answered(make_content):
    content = make_content() | {"calibration": {"x": 1}, "experiment": "robustness", "question": ["?"]}
    content["cohort"] = content["cohort"] | {"missing": {"header": [], "rows": []}}
    assert {item.record for item in ITEMS if item.record} <= set(recorded(content))


def test_without_a_record_a_person_must_answer():
    rows = checklist_rows({"experiment": "repeats"})
    answered = [row for row in rows if row[3] != OPEN]
    assert [row[0] for row in answered] == ["26"]  # limitations are always told


def test_what_only_a_person_knows_stays_open(make_content):
    answers = {row[0]: row[3] for row in checklist_rows(make_content())}
    assert answers["17"] == answers["18a, 18b"] == answers["14"] == OPEN
    assert (
        answers["5a"]
        == "cohort paper, synthetic, made by a digital phantom; open: how well they represent the patients meant"
    )
    assert "2 of 2 checks passed" in answers["12a"]


def test_the_robustness_item_is_answered_by_that_experiment_alone(make_content):
    content = make_content()
    robust = {row[1]: row[3] for row in checklist_rows(content | {"experiment": "robustness"})}["30"]
    assert robust == "“Results”"
    assert {row[1]: row[3] for row in checklist_rows(content)}["30"] == OPEN
