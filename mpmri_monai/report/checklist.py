"""What a publication must report after TRIPOD+AI and CLAIM: what an experiment's record answers, and what is open.

The wording of the items is our own and short; the numbers lead to the full text.

* TRIPOD+AI: Collins et al., BMJ 2024;385:e078378, 27 items.
* CLAIM: Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020;2(2):e200029, 42 items. Its update of 2024
  (Tejani et al., 6(4):e240300) orders some of them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OPEN = "open: a person must answer"
SOURCES = (
    "TRIPOD+AI: Collins et al., BMJ 2024;385:e078378. CLAIM: Mongan, Moy, Kahn, Radiology: Artificial Intelligence "
    "2020;2(2):e200029 (42 items; the update of 2024 orders some anew). The items are given in short, in our own words."
)


@dataclass(frozen=True)
class Item:
    """One thing to report."""

    tripod: str
    """Number in TRIPOD+AI, or a dash."""
    claim: str
    """Number in CLAIM, or a dash."""
    asks: str
    record: str = ""
    """Which part of the record answers it, a key of `recorded`; empty when only a person can."""
    rest: str = ""
    """What a person must still add to what the record says."""


ITEMS = (
    Item("1", "1", "Title: a prediction model by machine learning, in whom, for what"),
    Item("2", "2", "Structured summary"),
    Item("3a, 3b", "3", "Clinical background, intended use and users"),
    Item("3c", "–", "Known inequalities in health between groups"),
    Item("4", "4, 6", "Aim, and whether a model is developed, evaluated or both", "question", "the hypothesis, if any"),
    Item("–", "5", "Prospective or retrospective"),
    Item("5a", "7", "Where the data come from", "source", "how well they represent the patients meant"),
    Item("5b", "–", "Dates of collection"),
    Item("6a", "–", "Setting, number and place of the centres", "sites", "the setting"),
    Item("6b, 6c", "8", "Who was eligible; treatments"),
    Item("7", "9, 10", "Preparation of the data and choice of subsets", "protocol"),
    Item("–", "12", "De-identification"),
    Item("8a", "11, 14, 15", "Outcome: reference standard, and why this one"),
    Item(
        "8b, 8c", "16, 17, 18", "Who set the reference and the outlines, with what tools and agreement, blind to what"
    ),
    Item("9a, 9b, 9c", "–", "Predictors: which sequences, measured how", "protocol", "scanners and acquisition"),
    Item("10", "19", "Size of the sample and its reason", "flow", "why this size"),
    Item("11", "13", "Missing data", "missing"),
    Item("12a", "20, 21", "How data were divided, and at which level the parts are disjoint", "audit"),
    Item("12b, 12c", "22, 24, 25, 26", "Model, initial weights, training, how the final model was chosen", "protocol"),
    Item("–", "27", "Ensembling"),
    Item("12d, 23b", "–", "Differences between clusters, such as sites", "between_sites"),
    Item("12e", "28, 29", "Measures of performance and their uncertainty", "results"),
    Item("–", "30", "Robustness or sensitivity", "robustness"),
    Item("–", "31", "Ways to explain an answer"),
    Item("12f, 24", "–", "Updating of the model"),
    Item("13", "–", "Imbalance of classes", "classes", "whether it was corrected for, and its effect on calibration"),
    Item("14", "–", "Fairness"),
    Item("15", "–", "Output of the model and its thresholds", "calibration"),
    Item("16", "32", "Differences between training and evaluation data; external data"),
    Item("17", "–", "Ethical approval and consent"),
    Item("18a, 18b", "42", "Funding and interests"),
    Item("18c, 18d", "40, 41", "Protocol and registration of the study"),
    Item("18e", "–", "Availability of the data"),
    Item("18f", "23", "Code, software and versions", "software", "where the code is available"),
    Item("19", "–", "Involvement of patients and public"),
    Item("20a", "33", "Flow of the participants", "flow"),
    Item("20b, 20c", "34", "Characteristics of the participants, by part", "classes", "demography and clinical data"),
    Item("21", "–", "Numbers of participants and outcomes in each analysis", "classes"),
    Item("22", "–", "Specification of the model, so that others can use it", "commands", "where the weights are"),
    Item("23a", "35, 36", "Performance with intervals", "results"),
    Item("–", "37", "Analysis of the wrong answers"),
    Item("25", "39", "Interpretation, against other studies and for practice"),
    Item("26", "38", "Limitations", "limits", "those of the study beyond the record"),
    Item("27a, 27b, 27c", "–", "Use in practice: poor input, expertise needed, next steps"),
)


def checklist_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """Return rows of ``TRIPOD+AI, CLAIM, what to report, answer`` for the content of an experiment."""
    known = recorded(content)
    return [[item.tripod, item.claim, item.asks, _answer(item, known)] for item in ITEMS]


def recorded(content: Mapping[str, Any]) -> dict[str, str]:
    """Return what the record of an experiment can answer: part -> where or what; a part that is missing is left out."""
    cohort = content.get("cohort", {})
    sites = [str(row[0]) for row in (cohort.get("sites") or {"rows": ()})["rows"]]
    audit = content.get("audit", [])
    passed = sum(check["outcome"] == "passed" for check in audit)
    found = {
        "question": "“What was asked”" if content.get("question") else "",
        "source": _source(cohort),
        "sites": f"{len(sites)} in the manifest: {', '.join(sites)}" if sites else "",
        "between_sites": "“Cohort” counts the sites"
        if len(sites) > 1
        else "one site: none to compare"
        if sites
        else "",
        "flow": "“Cohort”" if cohort.get("flow") else "",
        "classes": "“Cohort”" if cohort.get("classes") else "",
        "missing": "“Cohort”" if cohort.get("missing") else "",
        "protocol": "“Protocol”" if content.get("protocol") else "",
        "audit": f"“Protocol”; “Leak audit”: {passed} of {len(audit)} checks passed" if audit else "",
        "results": "“Results”" if content.get("tables") else "",
        "robustness": "“Results”" if content["experiment"] == "robustness" and content.get("tables") else "",
        "calibration": "“Calibration and abstention”" if content.get("calibration") else "",
        "software": "“How it was made”" if content.get("environment") else "",
        "commands": "“How it was made”" if content.get("commands") else "",
        "limits": "“What this does not say”",
    }
    return {part: text for part, text in found.items() if text}


def _source(cohort: Mapping[str, Any]) -> str:
    if not cohort.get("name"):
        return ""
    kind = "synthetic, made by a digital phantom" if cohort.get("synthetic") else "as its manifest lists it"
    return f"cohort {cohort['name']}, {kind}"


def _answer(item: Item, known: Mapping[str, str]) -> str:
    answer = known.get(item.record)
    if answer is None:
        return OPEN
    return f"{answer}; open: {item.rest}" if item.rest else answer
