import numpy as np
import pandas as pd
import pytest

from mpmri_monai.report.examples import ERRORS_SHOWN, error_answers, example_figures, plane_figures
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


def shown(axes):
    return axes.images[0].get_array()


def test_of_3d_samples_the_middle_plane_is_shown_and_then_all_planes(build):
    store = build.grid_store()
    (_, _, caption, figure), *_ = example_figures(store, SEQUENCES, TASK, FUSION, None)
    row = next(row for row, lesion in enumerate(store.table["lesion"]) if f"Lesion {lesion} of" in caption)
    stored = store.images(np.array([row]), SEQUENCES)[0]
    assert "middle plane, outlined" in caption
    np.testing.assert_array_equal(shown(figure.axes[0]), stored[0, 4])
    (_, title, caption, figure), *others = plane_figures(store, SEQUENCES, TASK, FUSION, None)
    assert title == "Planes: well" and len(others) == 2
    assert "all 5 planes that the network sees" in caption and "6 mm apart, 32 mm wide, the lesion outlined" in caption
    for axes, plane in zip(figure.axes[:5], stored[0, 2:7], strict=True):
        np.testing.assert_array_equal(shown(axes), plane[10:42, 10:42])


def test_2d_samples_have_no_planes(store):
    assert list(plane_figures(store, SEQUENCES, TASK, FUSION, None)) == []


def test_in_whole_studies_nothing_is_called_a_lesion_or_outlined(build, results):
    store = build.grid_store(kind="study")
    figures = [
        *example_figures(store, SEQUENCES, TASK, FUSION, None),
        *plane_figures(store, SEQUENCES, TASK, FUSION, None),
    ]
    assert len(figures) == 6
    for _, _, caption, figure in figures:
        assert (
            caption.startswith("The whole study of patient P0") and "esion" not in caption and "outlined" not in caption
        )
        assert not any(axes.collections for axes in figure.axes)
    answers = error_answers(store, TASK, FUSION, results.assign(lesion="whole"))
    assert [(answer.noun, answer.lesion, answer.mask) for answer in answers[:1]] == [("study", "P000-1", None)]
    assert answers[0].image.shape == (3, 5, 32, 32)


def test_errors_in_3d_keep_all_that_the_network_saw(build, results):
    (first, *_) = error_answers(build.grid_store(), TASK, FUSION, results)
    assert first.image.shape == (3, 5, 32, 32) and first.mask.shape == (5, 32, 32) and first.noun == "lesion"
