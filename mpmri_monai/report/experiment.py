"""The report of an experiment: one HTML file, its figures as PNG files and its tables as CSV files.

What an experiment found is one JSON-like dictionary, the content of ``experiment.json``. The keys:

* ``schema`` (``mpmri-monai/experiment/1``), ``experiment`` (its name), ``title``, ``headline`` (sentences: the answer,
  with intervals) must be there. Everything else may be missing:
* ``question``: sentences, what was asked (known for the experiments that ship); ``warnings``, ``limits``: sentences.
* ``cohort``: ``name``, ``synthetic`` (bool), ``flow`` (rows of ``[what, number]``), ``classes``, ``sites`` and
  ``missing`` (tables of ``header, rows``).
* ``protocol``: sentences in words.
* ``tables``: ``key, title, caption, header, rows``, and ``marked_columns``, indices of columns whose numbers are not
  patient-disjoint.
* ``figures``: ``key, title, caption, kind, data``; the first one goes on the first page. Kinds, with their data:
  ``epochs`` ``{curves: [{name, epoch, mean, sd}]}``, ``roc_band`` ``{curves: [{name, fpr, mean, low, high}]}``,
  ``bars`` ``{bars: [{name, value, low, high, ceiling, group}], metric}``,
  ``tsic`` ``{classes: [{name, x, mean, low, high}]}``,
  ``embedding`` ``{panels: [{title, points, labels}], classes}``,
  ``reliability`` ``{bins: [{confidence, accuracy, low, high, n}]}``,
  ``risk_coverage`` ``{curves: [{name, coverage, risk, low, high}]}``,
  ``curves`` ``{panels: [{title, x_label, curves: [{name, x, mean, low, high}]}], y_label}``,
  ``histogram`` ``{null, observed}``, ``wins`` ``{bars: [{name, probability, value, low, high, ceiling}]}``.
* ``comparisons``: as `evaluation.compare` returns them, with a ``name``, or flat dictionaries; ``calibration`` as
  `evaluation.calibrate` returns it.
* ``failures``: ``run, error``; ``audit``: ``check, outcome, found``, where checks of a replica of a published protocol
  end in ``, replica``; ``environment``; ``commands``; ``plan``: ``runs, seconds``.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpmri_monai.artefacts import whole_file, write_text
from mpmri_monai.errors import EvaluationError
from mpmri_monai.report import tables, wording
from mpmri_monai.report.calibrated import Calibrated, calibrated
from mpmri_monai.report.checklist import SOURCES, checklist_rows
from mpmri_monai.report.comparisons import comparison_table
from mpmri_monai.report.experiment_figures import experiment_picture
from mpmri_monai.report.pictures import Picture
from mpmri_monai.report.style import RESEARCH_ONLY
from mpmri_monai.report.template import template

SCHEMA = "mpmri-monai/experiment/1"
NEEDED = {"schema": str, "experiment": str, "title": str, "headline": list}
RETRAINING = (
    "How much the numbers would change with networks trained again: a 95 % interval in brackets redraws the patients "
    "and keeps the trained networks; a “±” is the standard deviation over repeats, not an interval."
)
NOT_DISJOINT_COLUMNS = (
    "How the method would do on new patients, where a column is marked “not patient-disjoint”: it copies a published "
    "protocol in which images of one patient are on both sides, and its numbers are too high."
)
LEAK, REPLICA = "LEAK", ", replica"
MOST_WARNINGS = 3
"""Warnings on the first page; the others follow below."""

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+=-]*")
"""Keys of tables and figures become names of files."""

QUESTIONS = {
    "repeats": "How well does the network do, and how much does the answer change when it is trained again on another "
    "split of the same patients?",
    "single": "How much does each MRI sequence tell by itself?",
    "tables": "How do the published results compare with what the same method reaches when no patient is on both "
    "sides of a split?",
    "fusion-search": "Which combination of sequences is best, how sure is that, and what does the search reach on "
    "patients that took no part in it?",
    "permutation": "Could the result have come about by chance, if the images told nothing of the diagnosis?",
    "depth": "How many of the last layers of a network that knows other images should be tuned, and does choosing "
    "their number pay on patients that took no part in the choice?",
    "data-size": "What are pretrained weights worth when there are many, or few, patients to train on?",
    "convergence": "Does a network that begins with pretrained weights learn faster than one from scratch?",
    "robustness": "How much worse does the network get when images are noisier, shaded, or the outline is off?",
}
"""What each experiment asks, in words for a reader who does not know its name."""


def write_experiment_report(out: Path, content: Mapping[str, Any]) -> Path:
    """Write ``report.html``, ``figures/<key>.png`` and ``tables/<key>.csv`` into the folder of an experiment.

    Args:
        out: the folder; made when it is not there.
        content: what the experiment found, see the module.

    Returns:
        The path of the report. The same content gives the same bytes.

    Raises:
        EvaluationError: the content is not as described.
        OutputError: a file cannot be written.
    """
    out = Path(out)
    _check(content)
    pictures = [experiment_picture(item) for item in content.get("figures", ())]
    calibration = calibrated(content.get("calibration"))
    for picture in (*pictures, *(calibration.pictures if calibration else ())):
        with whole_file(out / "figures" / f"{picture.key}.png") as part:
            part.write_bytes(picture.content)
    for table in content.get("tables", ()):
        write_text(out / "tables" / f"{table['key']}.csv", csv_text([table["header"], *table["rows"]]))
    write_text(out / "report.html", template("experiment.html").render(_shown(content, pictures, calibration)))
    return out / "report.html"


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV text; the no-break spaces of the page become plain ones."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(
        [cell(item).replace("\u00a0", " ") for item in row] for row in rows
    )
    return buffer.getvalue()


def cell(value: Any) -> str:
    """Return one cell of a table as text; None becomes a dash."""
    return number_text(value) if isinstance(value, float) else "–" if value is None else str(value)


def number_text(value: float) -> str:
    """Return a number with at most four significant decimals, and none where it is whole."""
    return f"{value:.4g}"


def _check(content: Mapping[str, Any]) -> None:
    wrong = [name for name, kind in NEEDED.items() if not isinstance(content.get(name), kind)]
    if wrong or content["schema"] != SCHEMA:
        found = f"none or something else in {', '.join(wrong)}" if wrong else f"schema {content['schema']!r}"
        raise EvaluationError(
            expected=f"the content of an experiment ({SCHEMA}) with {', '.join(NEEDED)}", found=found, code="E_CONTENT"
        )
    keys = [f"{kind} {item.get('key')}" for kind in ("tables", "figures") for item in content.get(kind, ())]
    wrong = [key for key, uses in Counter(keys).items() if uses > 1 or not KEY.fullmatch(key.partition(" ")[2])]
    if wrong:
        raise EvaluationError(
            expected="a key for each table and figure that is a file name and is used once",
            found=", ".join(wrong),
            code="E_CONTENT",
        )
    for table in content.get("tables", ()):
        lengths = {len(row) for row in table["rows"]} - {len(table["header"])}
        if lengths:
            raise EvaluationError(
                expected=f"rows of {len(table['header'])} cells, as the header has",
                found=f"rows of {', '.join(map(str, sorted(lengths)))}",
                where=f"table {table['key']}",
                code="E_CONTENT",
            )


def _shown(content: Mapping[str, Any], pictures: Sequence[Picture], calibration: Calibrated | None) -> dict[str, Any]:
    question = content.get("question") or QUESTIONS.get(content["experiment"], [])
    content = {**content, "question": [question] if isinstance(question, str) else question}
    audit = content.get("audit", ())
    return {
        "research_only": RESEARCH_ONLY,
        **{key: content[key] for key in ("title", "experiment", "headline", "question")},
        "warnings": [wording.without_folders(sentence) for sentence in content.get("warnings", ())],
        "most_warnings": MOST_WARNINGS,
        "limits": limits(content),
        "cohort": _cohort(content.get("cohort", {})),
        "protocol": content.get("protocol", []),
        "tables": [_table(table) for table in content.get("tables", ())],
        "first": pictures[:1],
        "pictures": pictures[1:],
        "comparisons": comparison_table(content.get("comparisons", [])),
        "calibration": calibration,
        "failures": [[row["run"], wording.without_folders(str(row["error"]))] for row in content.get("failures", ())],
        "audit": [[row["check"], _outcome(row), row["found"]] for row in audit],
        "leaks": [f"{row['check']} ({row['found']})" for row in audit if _outcome(row) == LEAK],
        "environment": tables.environment_rows(content.get("environment", {})),
        "commands": [wording.without_folders(str(command)) for command in content.get("commands", ())],
        "plan": plan_sentence(content.get("plan", {})),
        "checklist": checklist_rows(content),
        "sources": SOURCES,
    }


def limits(content: Mapping[str, Any]) -> list[str]:
    """Return what the numbers of an experiment leave open: what it says itself, then what holds for all."""
    cohort = content.get("cohort", {})
    sentences = [*content.get("limits", ()), RETRAINING]
    if any(table.get("marked_columns") for table in content.get("tables", ())):
        sentences.append(NOT_DISJOINT_COLUMNS)
    if cohort.get("synthetic"):
        sentences.append("How the method does on real patients: the data are synthetic.")
    if len((cohort.get("sites") or {"rows": ()})["rows"]) == 1:
        sentences.append("How it does on other scanners and protocols: all data come from one site.")
    return [*sentences, "How well lesions are found: they were outlined beforehand by a reader."]


def plan_sentence(plan: Mapping[str, Any]) -> str:
    """Return how many runs were planned and how long they were expected to take."""
    if not plan:
        return ""
    sentence = f"The plan had {wording.plural(plan['runs'], 'run')}"
    if plan.get("seconds") is None:
        return f"{sentence}."
    minutes = plan["seconds"] / 60
    length = (
        "less than two minutes"
        if minutes < 2
        else f"{minutes:.0f} minutes"
        if minutes < 90
        else f"{minutes / 60:.1f} hours"
    )
    return f"{sentence} and was expected to take {length} of computing, one run after the other."


def _outcome(check: Mapping[str, str]) -> str:
    """Return the outcome of a check; a leak of the replica is the published protocol's, and no surprise."""
    replicated = check["outcome"] == LEAK and check["check"].endswith(REPLICA)
    return "LEAK, as in the protocol replicated" if replicated else check["outcome"]


def _cohort(cohort: Mapping[str, Any]) -> dict[str, Any]:
    flow = [[cell(item) for item in row] for row in cohort.get("flow", ())]
    return {
        "name": cohort.get("name", ""),
        "synthetic": cohort.get("synthetic", False),
        "flow": flow,
        **{key: _rows(cohort[key]) if cohort.get(key) else None for key in ("classes", "sites", "missing")},
    }


def _rows(table: Mapping[str, Any]) -> dict[str, Any]:
    return {"header": table["header"], "rows": [[cell(item) for item in row] for row in table["rows"]]}


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_rows(table),
        "title": table["title"],
        "caption": table["caption"],
        "marked": table.get("marked_columns", []),
    }
