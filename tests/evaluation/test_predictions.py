import numpy as np
import pandas as pd
import pytest

from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import class_names, read_predictions, write_predictions
from mpmri_monai.evaluation.predictions import check_predictions


def test_rows_in_any_order_give_the_same_bytes(predictions, tmp_path):
    write_predictions(tmp_path / "a.csv", predictions)
    write_predictions(tmp_path / "b.csv", predictions.sample(frac=1, random_state=3))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_reading_and_writing_again_changes_nothing(predictions, tmp_path):
    write_predictions(tmp_path / "a.csv", predictions)
    again = read_predictions(tmp_path / "a.csv")
    write_predictions(tmp_path / "b.csv", again)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert class_names(again) == ("well", "moderately", "poorly")
    assert again["present_S4"].dtype == bool
    np.testing.assert_allclose(again["p_well"], predictions["p_well"], atol=0.5e-8)


def test_columns_stand_in_the_order_of_the_contract(predictions, tmp_path):
    write_predictions(tmp_path / "a.csv", predictions[predictions.columns[::-1]])
    header = (tmp_path / "a.csv").read_text().splitlines()[0].split(",")
    keys = ["task", "patient", "study", "lesion", "sample", "site", "repeat", "outer", "inner", "role", "label"]
    assert header[: len(keys)] == keys
    assert [name.split("_")[0] for name in header[len(keys) :]] == ["p"] * 3 + ["present"] * 2


def test_rows_are_sorted_by_number_of_the_repeat(drawn, tmp_path):
    write_predictions(tmp_path / "a.csv", drawn(np.random.default_rng(0), 2, fits=((10, 0), (9, 0))))
    assert pd.read_csv(tmp_path / "a.csv")["repeat"].is_monotonic_increasing


def test_names_that_look_like_numbers_stay_text(predictions, tmp_path):
    write_predictions(tmp_path / "a.csv", predictions.assign(patient="007", study="NA", label=""))
    again = read_predictions(tmp_path / "a.csv")
    assert set(again["patient"]) == {"007"}
    assert set(again["study"]) == {"NA"}
    assert set(again["label"]) == {""}


def test_probabilities_of_float32_are_written_alike(predictions, tmp_path):
    write_predictions(tmp_path / "a.csv", predictions.astype({"p_well": np.float32}))
    assert len(read_predictions(tmp_path / "a.csv")) == len(predictions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="site"), "no site"),
        (lambda t: t.assign(confidence=1), "unknown confidence"),
        (lambda t: t.drop(columns=["p_well", "p_moderately", "p_poorly"]), "p_<class>"),
        (lambda t: pd.concat([t, t.head(2)]), "2 again"),
        (lambda t: t.assign(repeat="first"), "whole numbers"),
        (lambda t: t.assign(repeat="9" * 30), "whole numbers"),
        (lambda t: t.assign(label=None), "NaN or None"),
    ],
)
def test_other_tables_are_refused_and_nothing_is_written(predictions, tmp_path, change, message):
    with pytest.raises(EvaluationError, match=message):
        write_predictions(tmp_path / "a.csv", change(predictions))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(EvaluationError):
        read_predictions(tmp_path / "a.csv")


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="No such file"):
        read_predictions(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("column", "value", "expected"), [("role", "Test", "train, val, test"), ("inner", "nan", "fold")]
)
def test_a_role_or_an_inner_fold_that_is_none_is_refused(predictions, column, value, expected):
    """Its rows would be left out of every number without a word."""
    predictions.loc[:2, column] = value
    with pytest.raises(EvaluationError, match=rf"{expected}.*{value}' in 3 rows"):
        check_predictions(predictions, "here")
