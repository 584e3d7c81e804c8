import numpy as np
import pytest

from mpmri_monai.report.sequences_figure import sequences_and_fusions
from mpmri_monai.sequences import PAPER_FUSIONS, SEQUENCES, fusion_name

PRESENT = dict.fromkeys(SEQUENCES, True)


@pytest.fixture
def crops():
    return np.random.default_rng(0).uniform(size=(9, 52, 52))


@pytest.fixture
def mask():
    mask = np.zeros((52, 52), dtype=bool)
    mask[20:30, 20:30] = True
    return mask


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def test_every_sequence_and_every_named_fusion_is_shown_once(crops, mask):
    titles = list(panels(sequences_and_fusions(crops, mask, SEQUENCES, PRESENT, ("T2", "OUT", "S4"), 32)))
    assert titles[:9] == list(SEQUENCES)
    assert titles[9] == "T2-OUT-S4\n(this run)"
    assert len(titles) == 9 + len(PAPER_FUSIONS)


def test_channels_become_red_green_and_blue_in_the_order_of_the_fusion(crops, mask):
    figure = sequences_and_fusions(crops, mask, SEQUENCES, PRESENT, ("S5", "T2", "IN"), 32)
    colours = panels(figure)["S5-T2-IN\n(this run)"].images[0].get_array()
    np.testing.assert_allclose(colours, np.stack([crops[8], crops[0], crops[1]], axis=-1))


def test_a_fusion_with_an_absent_sequence_is_not_shown_as_an_image(crops, mask):
    figure = sequences_and_fusions(crops, mask, SEQUENCES, PRESENT | {"OUT": False}, ("T2", "OUT", "S4"), 32)
    found = panels(figure)
    assert [text.get_text() for text in found["T2-OUT-S4\n(this run)"].texts] == ["OUT\nabsent"]
    assert [text.get_text() for text in found["OUT"].texts] == ["absent"]
    assert not found["S0-S2-S4\n(paper: S024)"].texts


def test_other_anatomy_shows_only_fusions_that_it_has(crops):
    figure = sequences_and_fusions(crops[:2], None, ("T1", "FLAIR"), {"T1": True, "FLAIR": True}, ("T1", "FLAIR"), 32)
    assert list(panels(figure)) == ["T1", "FLAIR"]


def test_names_of_the_paper_go_with_the_canonical_form(crops, mask):
    titles = panels(sequences_and_fusions(crops, mask, SEQUENCES, PRESENT, ("T2", "S0"), 32))
    assert {f"{fusion_name(names)}\n(paper: {paper})" for paper, names in PAPER_FUSIONS.items()} <= set(titles)
