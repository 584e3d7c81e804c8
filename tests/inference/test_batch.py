"""Many studies: bad ones cost nobody else's answer, repeats do only what is missing, and no path is written."""

import json
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from mpmri_monai.errors import CatalogueError, ConfigError, ManifestError
from mpmri_monai.inference import batch
from mpmri_monai.inference.batch import DONE, FAILED, answer_all
from mpmri_monai.inference.infer import Answered
from mpmri_monai.inference.infer_command import named_files, point, questions_of
from mpmri_monai.inference.question import Question
from mpmri_monai.inference.seconds import Seconds


class Reader:
    """Answers a study by what is written in its only file; counts how often it is asked."""

    model = SimpleNamespace(identity={"name": "b", "version": "1", "reference_sha256": "r"})
    detector = None

    def __init__(self):
        self.asked = []

    def answer(self, question, out, dicom_out=False, others=()):
        (file,) = Path(question.study).iterdir()
        text = file.read_text()
        self.asked.append(text)
        if text == "bad":
            raise CatalogueError(expected="a study", found=f"nothing in {question.study}", code="E_STUDY")
        if text == "surprise":
            raise RuntimeError(question.study)
        code = f"study-{text}"
        if code in others:
            raise ConfigError(expected="each study once", found="it again", code="E_TWICE")
        lesion = {
            "id": "L1",
            "probabilities": {"well": 0.25, "poorly": 0.75},
            "predicted": "poorly",
            "abstained_because": None,
            "extent_mm": 20.0,
            "warnings": [],
            "range_warnings": ["too large"],
        }
        (out / code).mkdir(parents=True, exist_ok=True)
        (out / code / "result.json").write_text(json.dumps({"lesions": [lesion]}))
        return Answered(code, out / code, Seconds())


@pytest.fixture
def studies(tmp_path):
    """studies("a", "bad") are questions about folders with a person's name, each with one file that holds the word."""

    def make(*texts):
        made = []
        for number, text in enumerate(texts):
            folder = tmp_path / f"DOE_JANE_{number}"
            folder.mkdir(exist_ok=True)
            if not (folder / "image").exists() or (folder / "image").read_text() != text:
                (folder / "image").write_text(text)
            made.append(Question(study=str(folder)))
        return made

    return make


def test_a_bad_study_is_told_and_skipped(studies, tmp_path, capsys):
    entries = answer_all(studies("a", "bad", "surprise", "c"), Reader(), tmp_path / "out")
    assert [entry.state for entry in entries] == [DONE, FAILED, FAILED, DONE]
    rows = pd.read_csv(tmp_path / "out/answers.csv")
    assert rows["number"].tolist() == [1, 2, 3, 4]
    assert rows["predicted"].fillna("").tolist() == ["poorly", "", "", "poorly"]
    assert "E_STUDY" in rows["reason"][1]
    assert "E_STUDY" in capsys.readouterr().err


def test_nothing_written_or_printed_names_a_file(studies, tmp_path, capsys):
    answer_all(studies("a", "bad", "surprise"), Reader(), tmp_path / "out")
    shown = capsys.readouterr()
    for text in (shown.out, shown.err, *(path.read_text() for path in (tmp_path / "out").rglob("*.*"))):
        assert "DOE" not in text


def test_a_repeat_does_only_what_is_missing(studies, tmp_path):
    out, first, again = tmp_path / "out", Reader(), Reader()
    answer_all(studies("a", "bad", "c"), first, out)
    entries = answer_all(studies("a", "good", "c"), again, out)
    assert again.asked == ["good"]
    assert [entry.study for entry in entries] == ["study-a", "study-good", "study-c"]


def test_changed_files_other_questions_other_bundles_and_lost_answers_are_answered_anew(studies, tmp_path):
    out, questions = tmp_path / "out", studies("a", "b", "c", "d")
    answer_all(questions, Reader(), out)
    (out / "study-b/result.json").unlink()
    changed = [*questions[:2], Question(study=questions[2].study, allow_missing=True), *studies("a", "b", "c", "e")[3:]]
    reader = Reader()
    answer_all(changed, reader, out)
    assert reader.asked == ["b", "c", "e"]
    newer = Reader()
    newer.model = SimpleNamespace(identity=Reader.model.identity | {"reference_sha256": "other"})
    answer_all(questions[:1], newer, out)
    assert newer.asked == ["a"]


def test_an_answer_to_another_question_in_its_place_does_not_count(studies, tmp_path):
    """A command that is cut short may have written a later answer for the study, and not yet the table."""
    out, (asked,) = tmp_path / "out", studies("a")
    answer_all([asked], Reader(), out)
    (out / "study-a/result.json").write_text(json.dumps({"lesions": []}))
    again = Reader()
    answer_all([asked], again, out)
    assert again.asked == ["a"]


def test_earlier_answers_of_the_folder_stay_in_its_table(studies, tmp_path):
    first, second = studies("a", "b")
    answer_all([first], Reader(), tmp_path / "out")
    answer_all([second], Reader(), tmp_path / "out")
    assert set(pd.read_csv(tmp_path / "out/answers.csv")["study"]) == {"study-a", "study-b"}


def test_the_same_study_twice_has_one_answer(studies, tmp_path):
    entries = answer_all(studies("a", "a"), Reader(), tmp_path / "out")
    assert [entry.state for entry in entries] == [DONE, FAILED]
    assert "E_TWICE" in entries[1].reason


def test_a_table_that_is_none_is_refused(studies, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / batch.BATCH).write_text("{}")
    with pytest.raises(ManifestError, match="another folder"):
        answer_all(studies("a"), Reader(), out)


def test_studies_and_masks_go_together_in_order():
    asked = Question(allow_missing=True)
    first, second = questions_of(["a", "b"], ["m", "n"], asked)
    assert (first.study, first.lesion_mask, first.allow_missing) == ("a", "m", True)
    assert (second.study, second.lesion_mask) == ("b", "n")


@pytest.mark.parametrize(
    ("studies", "masks", "asked"),
    [
        ([], [], Question()),
        (["a", "b"], ["m"], Question()),
        (["a", "b"], [], Question(at=((0, 0, 0),), size_mm=9)),
        (["a"], [], Question(nifti={"T2": "x"})),
        ([], ["m", "n"], Question(nifti={"T2": "x"})),
    ],
)
def test_what_does_not_go_together_is_refused(studies, masks, asked):
    with pytest.raises(ConfigError):
        questions_of(studies, masks, asked)


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "a,b,c", "", "nan,2,3", "1,2,inf"])
def test_a_point_is_three_numbers(text):
    assert point("1,-2.5,3") == (1.0, -2.5, 3.0)
    with pytest.raises(ConfigError, match="X,Y,Z"):
        point(text)


@pytest.mark.parametrize("texts", [["T2"], ["=file"], ["T2="], ["T2=a", "T2=b"]])
def test_files_are_given_to_sequences_once(texts):
    with pytest.raises(ConfigError, match="SEQUENCE=FILE"):
        named_files(texts)


def test_seconds_of_inner_steps_count_once(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    seconds = Seconds()
    with seconds.of("outer"), seconds.of("inner"):
        pass
    assert seconds.spent == {"outer": 2.0, "inner": 1.0}


def test_one_table_is_of_one_bundle(studies, tmp_path):
    """Answers of older weights under the name of newer ones would be read as theirs."""
    first, second = studies("a", "b")
    answer_all([first], Reader(), tmp_path / "out")
    newer = Reader()
    newer.model = SimpleNamespace(identity=Reader.model.identity | {"reference_sha256": "other"})
    answer_all([second], newer, tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/answers.csv")["study"].tolist() == ["study-b"]
    assert (tmp_path / "out/study-a/result.json").is_file()
