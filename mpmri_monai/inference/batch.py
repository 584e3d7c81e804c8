"""Many studies, one answer each: a bad one is reported and skipped, a repeated command does only what is missing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mpmri_monai import artefacts
from mpmri_monai.artefacts import file_digest
from mpmri_monai.errors import ManifestError, MpmriError
from mpmri_monai.inference.answer import RESULT
from mpmri_monai.inference.infer import Answered, Reader
from mpmri_monai.inference.question import Question

BATCH_SCHEMA = "mpmri-monai/batch/1"
BATCH, ANSWERS = "batch.json", "answers.csv"
DONE, FAILED = "done", "failed"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What became of one study. No path is in it: names of files often hold the name of a person."""

    number: int
    """Place among the studies as they were given."""
    key: str
    """Of the study's files and of all that its answer depends on."""
    state: str
    """`DONE` or `FAILED`."""
    study: str | None = None
    """Code, which is the name of the answer's folder; None where the study could not be told."""
    reason: str | None = None
    """Why it failed."""
    result: str | None = None
    """SHA-256 of the answer's ``result.json``: whatever else lies in its place is no answer to this question."""
    seconds: dict[str, float] = field(default_factory=dict)


def answer_all(questions: Sequence[Question], reader: Reader, out: Path, dicom_out: bool = False) -> list[Entry]:
    """Answer every study that is not answered yet, and write ``batch.json`` and ``answers.csv`` after each.

    Args:
        questions: the studies, as they were given.
        reader: answers.
        out: folder of the answers; earlier ones in it stay, in the tables too when the same bundle gave them.
        dicom_out: also write DICOM objects.

    Returns:
        What became of each, in the same order.

    Raises:
        OutputError: the table cannot be written.
        ManifestError: the folder's table is none.
    """
    bundle = reader.model.identity
    made_by = (bundle, reader.detector and reader.detector.identity, dicom_out)
    earlier_ones = [entry for entry in read_batch(out, bundle) if entry.state == DONE]
    known = {entry.key: entry for entry in earlier_ones if _is_there(out, entry)}
    entries: list[Entry] = []
    for number, question in enumerate(questions, start=1):
        key = question.key(*made_by)
        earlier = known.get(key)
        if earlier is not None:
            print(f"Study {number} of {len(questions)}: answered before ({earlier.study})")
            entry = replace(earlier, number=number)
        else:
            print(f"Study {number} of {len(questions)}")
            taken = {str(one.study) for one in entries if one.state == DONE}
            entry = _answered(question, number, key, partial(reader.answer, out=out, dicom_out=dicom_out, others=taken))
        entries.append(entry)
        known = {k: one for k, one in known.items() if one.study is None or one.study != entry.study} | {key: entry}
        _write(out, bundle, list(known.values()))
    return entries


def read_batch(out: Path, bundle: Mapping[str, str]) -> list[Entry]:
    """Return what became of the studies of earlier commands with this folder; nothing where there were none, or where
    another bundle answered them: one table is of one bundle.

    Args:
        out: folder of the answers.
        bundle: as of `TrainedModel.identity`, which stands in the table.

    Raises:
        ManifestError: ``batch.json`` is none.
    """
    path = out / BATCH
    if not path.is_file():
        return []
    try:
        content = artefacts.read_json(path)
        if content["schema"] != BATCH_SCHEMA:
            raise ValueError(content["schema"])
        return [Entry(**entry) for entry in content["studies"]] if content["bundle"] == bundle else []
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            expected=f"{BATCH} of schema {BATCH_SCHEMA}",
            found="something else",
            where=str(path),
            fix="name another folder for the answers",
            code="E_BATCH",
        ) from error


def _answered(question: Question, number: int, key: str, answer: Callable[[Question], Answered]) -> Entry:
    try:
        answered = answer(question)
    except MpmriError as error:
        reason = question.without_paths(str(error))
    except Exception as error:  # one study's surprise must not cost the answers of the others
        reason = f"E_UNEXPECTED: a {type(error).__name__} that is not explained"
        logger.debug("study %d of those given", number, exc_info=error)
    else:
        print(f"Seconds: {answered.seconds}")
        written = file_digest(answered.folder / RESULT)
        return Entry(number, key, DONE, answered.code, seconds=answered.seconds.rounded(), result=written)
    print(f"failed: {reason}", file=sys.stderr)
    return Entry(number, key, FAILED, reason=reason)


def _result(out: Path, entry: Entry) -> Path:
    return out / str(entry.study) / RESULT


def _is_there(out: Path, entry: Entry) -> bool:
    """Return whether the answer still lies where it was written; another one may, if a later command was cut short."""
    path = _result(out, entry)
    return path.is_file() and file_digest(path) == entry.result


def _write(out: Path, bundle: Mapping[str, str], entries: Sequence[Entry]) -> None:
    content = {
        "schema": BATCH_SCHEMA,
        "research_use_only": True,
        "bundle": bundle,
        "studies": [asdict(entry) for entry in entries],
    }
    artefacts.write_json(out / BATCH, content)
    rows = [row for entry in entries for row in _rows(entry, out)]
    artefacts.write_text(out / ANSWERS, pd.DataFrame(rows).to_csv(index=False))


def _rows(entry: Entry, out: Path) -> list[dict[str, Any]]:
    """Return the rows of the table: one a lesion, one a study that failed or in which nothing was found."""
    start = {"number": entry.number, "study": entry.study, "state": entry.state, "reason": entry.reason}
    if entry.state == FAILED:
        return [start]
    result = artefacts.read_json(_result(out, entry))
    lesions = [
        {
            **start,
            "lesion": lesion["id"],
            "predicted": lesion["predicted"],
            **{f"p_{name}": p for name, p in lesion["probabilities"].items()},
            "abstained_because": lesion["abstained_because"],
            "conformal_set": "|".join(lesion.get("conformal_set", ())),
            "agreement": lesion.get("agreement"),
            "score": lesion.get("score"),
            "extent_mm": lesion["extent_mm"],
            "warnings": len(lesion["warnings"]) + len(lesion["range_warnings"]),
        }
        for lesion in result["lesions"]
    ]
    return lesions or [start]
