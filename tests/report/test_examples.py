import numpy as np
import pandas as pd
import pytest

from mpmri_monai.report.examples import ERRORS_SHOWN, error_answers, example_figures
from mpmri_monai.sequences import GRADES, SEQUENCES, TASKS

TASK = TASKS["hcc_grade"]
FUSION = ("T2", "OUT", "S4")


def captions(store, roles=None):
    return {name: caption for name, _, caption, _ in example_figures(store, SEQUENCES, TASK, FUSION, roles)}


def of_class(store, grade):
    table = store.table[store.table["label_grade"] == grade]
    return table.drop_duplicates("lesion").sort_values("extent_mm")["lesion"].tolist()


def test_the_lesion_of_median_size_stands_for_its_class(store):
    found = captions(store)
    assert list(found) == list(GRADES)
    for grade in GRADES:
        lesions = of_class(store, grade)
        assert lesions[len(lesions) // 2] in found[grade]


def test_test_patients_come_first(store):
    smallest = of_class(store, "well")[0]
    roles = pd.Series(np.where(store.table["lesion"] == smallest, "test", "train"), index=store.table.index)
    assert smallest in captions(store, roles)["well"]


def test_lesions_with_more_sequences_come_first(build):
    store = build.store(patients=9)
    kept = of_class(store, "poorly")[-1]
    others = (store.table["label_grade"] == "poorly") & (store.table["lesion"] != kept)
    store.table.loc[others, "present_T2"] = False
    assert kept in captions(store)["poorly"]


def test_a_class_without_a_lesion_has_no_example(build):
    store = build.store(patients=9)
    store.table.loc[store.table["label_grade"] == "well", "label_grade"] = ""
    assert list(captions(store)) == ["moderately", "poorly"]


@pytest.fixture
def results(store):
    lesions = store.table[store.table["kind"] == "lesion"].drop_duplicates("lesion")[["patient", "study", "lesion"]]
    shares = {"p_well": 0.7, "p_moderately": 0.2, "p_poorly": 0.1}
    return lesions.assign(label="poorly", predicted="well", wrong=np.arange(len(lesions)) < 6, **shares)


def test_errors_are_shown_as_the_network_saw_them(store, results):
    answers = error_answers(store, TASK, FUSION, results)
    assert [answer.lesion for answer in answers] == results["lesion"].tolist()[:ERRORS_SHOWN]
    middle = store.table.index[store.table["sample"] == "P000-L1-01"][0]  # its mask is the largest
    expected = store.images(np.array([middle]), FUSION)[0][:, 10:42, 10:42]
    np.testing.assert_array_equal(answers[0].image, expected)
    assert answers[0].mask.shape == (32, 32)
    assert answers[0].note == "patient P000, truth: poorly"


def test_without_errors_there_is_nothing_to_show(store, results):
    assert error_answers(store, TASK, FUSION, results.assign(wrong=False)) == []
