import numpy as np
import pytest

from mpmri_monai.errors import OutputError
from mpmri_monai.report import LesionAnswer, answer_picture, draw_answer, draw_answers
from mpmri_monai.report.style import RESEARCH_ONLY

FUSION = ("T2", "OUT", "S4")
PRESENT = dict.fromkeys(FUSION, True)
PROBABILITIES = {"well": 0.1, "moderately": 0.25, "poorly": 0.65}


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(size=(3, 32, 32)).astype(np.float32)


def words(figure):
    parts = [figure, *figure.subfigs]
    found = [text.get_text() for part in parts for text in part.texts]
    found += [part.get_suptitle() for part in figure.subfigs]
    found += [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [axes.get_title() for axes in figure.axes]


def test_every_channel_the_colours_and_the_probabilities_are_shown(image):
    figure = draw_answer(image, None, FUSION, PRESENT, PROBABILITIES, "L1", "poorly")
    found = words(figure)
    assert {"T2", "OUT", "S4", "as red, green, blue", "probability"} <= set(found)
    assert {"0.10", "0.25", "0.65", "Lesion L1: poorly (0.65)", RESEARCH_ONLY} <= set(found)
    np.testing.assert_allclose(figure.axes[3].images[0].get_array(), np.moveaxis(image, 0, -1))


def test_of_a_3d_sample_the_middle_plane_is_drawn(image):
    planes = np.stack([image * 0, image, image * 0.5], axis=1)
    mask = np.zeros((3, 32, 32), bool)
    mask[1, 8:20, 8:20] = True
    figure = draw_answer(planes, mask, FUSION, PRESENT, PROBABILITIES, "L1", "poorly")
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), image[0])
    np.testing.assert_allclose(figure.axes[3].images[0].get_array(), np.moveaxis(image, 0, -1))
    assert len(figure.axes[0].collections) == 1


def test_a_whole_study_is_not_called_a_lesion(image):
    answer = LesionAnswer("P1-1", image, None, FUSION, PRESENT, PROBABILITIES, "poorly", noun="study")
    assert "Study P1-1: poorly (0.65)" in words(draw_answers([answer]))


def test_a_classifier_that_abstains_says_so(image):
    assert "Lesion L1: abstains" in words(draw_answer(image, None, FUSION, PRESENT, PROBABILITIES, "L1", None))


def test_an_absent_channel_is_marked_and_has_no_colour_image(image):
    found = words(draw_answer(image, None, FUSION, PRESENT | {"OUT": False}, PROBABILITIES, "L1", "poorly"))
    assert "absent" in found and "not complete" in found


def test_lesions_with_different_numbers_of_channels_stack_in_one_file(tmp_path, image):
    mask = np.zeros((32, 32), dtype=bool)
    mask[10:20, 10:20] = True
    one = LesionAnswer("L1", image, mask, FUSION, PRESENT, PROBABILITIES, "poorly")
    two = LesionAnswer("L2", image[:1], None, ("T2",), {"T2": True}, PROBABILITIES, None)
    path = answer_picture(tmp_path / "answer.png", [one, two])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert {"Lesion L1: poorly (0.65)", "Lesion L2: abstains"} <= set(words(draw_answers([one, two])))


def test_a_study_without_lesions_still_gives_a_picture():
    assert any("No lesion was given" in text for text in words(draw_answers([])))


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, image):
    (tmp_path / "file").write_text("in the way")
    answer = LesionAnswer("L1", image, None, FUSION, PRESENT, PROBABILITIES, "poorly")
    with pytest.raises(OutputError):
        answer_picture(tmp_path / "file" / "folder" / "answer.png", [answer])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
