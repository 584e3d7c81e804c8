"""What holds for all studies: names do not matter, lost attributes hand over, and no volume skips a slice."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from faults.builder import (
    CONTRAST_S,
    THIN,
    Study,
    Volume,
    clock,
    each,
    encoded,
    volumes,
)
from faults.cases import CASES
from faults.enhanced import multi_frame
from faults.outcome import Outcome, judge
from faults.own import read
from mpmri_monai.catalogue import Catalogue, scan
from mpmri_monai.errors import CatalogueError

STARTS_S = (-40.0, 16.0, 60.0)
IN_SEQUENCE = {
    "TemporalPositionIdentifier": each(1, 2, 3),
    "TriggerTime": each(0.0, 56000.0, 100000.0),
    "AcquisitionNumber": each(1, 2, 3),
    "AcquisitionTime": each(*(clock(CONTRAST_S + start) for start in STARTS_S)),
    "ContentTime": each(*(clock(CONTRAST_S + start + 5) for start in STARTS_S)),
}
"""Attributes that tell phases apart, in the order in which they hand over."""
REPEATED = {"InstanceNumber": lambda index, k: k + 1}
PLAIN = [case for case in CASES if case.study().pack is None and not case.study().files]
"""Cases that are nothing but images."""


def phases(**tags) -> list[Volume]:
    """Three phases that every attribute tells apart."""
    return volumes(3, series=10, grid=THIN, **IN_SEQUENCE | REPEATED | tags)


def outcome(images: Iterable[Dataset], found: Iterable[Volume]) -> Outcome:
    """Write images, read them, and compare with what is in them."""
    study = Study(list(images), [member.truth for member in found])
    with tempfile.TemporaryDirectory() as folder:
        return judge(read(study.write(Path(folder) / "study")), study.truths)


# -- names, order, folders ----------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(case=st.sampled_from(PLAIN), seed=st.integers(1, 2**32), folders=st.integers(1, 4))
def test_names_order_and_folders_of_files_change_nothing(case, seed, folders):
    study = case.study()
    with tempfile.TemporaryDirectory() as place:
        plain = found_in(study.write(Path(place) / "plain"), case.protocol)
        nested = Path(place) / "nested"
        generator = np.random.default_rng(seed)
        for index in generator.permutation(len(study.images)):
            home = nested / "/".join(f"{generator.integers(folders)}" for _ in range(folders))
            home.mkdir(parents=True, exist_ok=True)
            (home / f"{generator.integers(2**60)}.{index % 3}").write_bytes(encoded(study.images[index]))
        assert found_in(nested, case.protocol) == plain


def found_in(folder, protocol):
    """The catalogue, or the refusal."""
    try:
        return scan(folder, protocol).to_json()
    except CatalogueError as error:
        return str(error)


# -- lost attributes ----------------------------------------------------------


def test_a_lost_attribute_hands_over_to_the_next():
    found = phases()
    images = [image for member in found for image in member.images]
    for keyword in IN_SEQUENCE:
        made = outcome(images, found)
        assert (made.verdict, made.refused, made.warned) == ("right", (), ()), f"before {keyword} is removed"
        for image in images:
            delattr(image, keyword)
    assert outcome(images, found).refused == ("E_AMBIG",)
    for number, image in enumerate(images):
        image.InstanceNumber = number + 1
    made = outcome(images, found)
    assert (made.verdict, made.warned) == ("right", ("W_INORDER",))


KEYWORDS = sorted({element.keyword for element in phases()[0].images[0]} - {"BitsAllocated"})
"""All attributes but the one without which no pixels can be written."""


@pytest.mark.parametrize("everywhere", [True, False], ids=["all images", "one image"])
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_an_attribute_less_is_right_or_refused(keyword, everywhere):
    found = phases()
    images = [image for member in found for image in member.images]
    for image in images if everywhere else images[12:13]:
        delattr(image, keyword)
    assert outcome(images, found).verdict in ("right", "refuses")


FRAME_KEYWORDS = sorted(
    {
        (group.keyword, element.keyword)
        for item in multi_frame(phases()[0].images, shared=False).PerFrameFunctionalGroupsSequence
        for group in item
        for element in group.value[0]
    }
)


@pytest.mark.parametrize("everywhere", [True, False], ids=["all frames", "one frame"])
@pytest.mark.parametrize(("group", "keyword"), FRAME_KEYWORDS)
def test_a_frame_attribute_less_is_right_or_refused(group, keyword, everywhere):
    found = phases()
    file = multi_frame([image for member in found for image in member.images], shared=False)
    items = file.PerFrameFunctionalGroupsSequence
    for item in items if everywhere else items[12:13]:
        delattr(item[group].value[0], keyword)
    assert outcome([file], found).verdict in ("right", "refuses")


# -- never a step that no two neighbouring positions have ---------------------

TEMPORAL = ("TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber", "ContentTime")
"""One of these is spoilt at a time; AcquisitionTime stays."""


@st.composite
def spoilt_studies(draw) -> tuple[list[Dataset], dict[str, int]]:
    """Images of three phases of which some are lost, repeated or mislabelled; and the phase of each by its UID."""
    found = phases(**draw(st.sampled_from([REPEATED, {"InstanceNumber": None}])))
    phase_of = {image.SOPInstanceUID: index for index, member in enumerate(found) for image in member.images}
    images = [image for member in found for image in member.images]
    which = st.integers(0, len(images) - 1)
    keyword = draw(st.sampled_from(TEMPORAL))
    for place in draw(st.lists(which, max_size=6)):
        setattr(images[place], keyword, draw(st.sampled_from([image[keyword].value for image in images])))
    for place in draw(st.lists(which, max_size=4)):
        images[place].InstanceNumber = draw(st.integers(1, 24))
    doubled = draw(st.lists(which, max_size=2))
    lost = draw(st.one_of(st.sets(which, max_size=4), st.integers(0, 7).map(lambda k: {k, k + 8, k + 16})))
    if draw(st.booleans()):  # another phase's image in the place of a lost one, so that the counts stay even
        lost = set(draw(st.sets(which, min_size=1, max_size=2)))
        doubled = [(place + 8) % 24 for place in lost]
    for number, place in enumerate(doubled):
        again = copy.deepcopy(images[place])
        again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = f"2.25.88{number}"
        again.InstanceNumber = draw(st.sampled_from([again.InstanceNumber, 90 + number]))
        phase_of[again.SOPInstanceUID] = phase_of[images[place].SOPInstanceUID]
        images.append(again)
    return [image for index, image in enumerate(images) if index not in lost], phase_of


@settings(max_examples=40, deadline=None)
@given(spoilt_studies())
def test_no_volume_skips_a_position_or_mixes_phases(spoilt):
    images, phase_of = spoilt
    with tempfile.TemporaryDirectory() as folder:
        catalogue = scan(Study(images).write(Path(folder) / "study"), "none")
        _check_volumes(catalogue, phase_of)


@settings(max_examples=20, deadline=None)
@given(spoilt_studies(), st.randoms(use_true_random=False))
def test_no_volume_of_frames_skips_a_position_or_mixes_phases(spoilt, random):
    images, phase_of = spoilt
    random.shuffle(images)
    file = multi_frame(images)
    frames = {f"{file.SOPInstanceUID}#{index}": phase_of[image.SOPInstanceUID] for index, image in enumerate(images)}
    with tempfile.TemporaryDirectory() as folder:
        _check_volumes(scan(Study([file]).write(Path(folder) / "study"), "none"), frames)


def _check_volumes(catalogue: Catalogue, phase_of: dict[str, int]) -> None:
    for volume in catalogue.volumes:
        steps = np.diff([header.position[2] for header in volume.files])
        assert np.allclose(steps, THIN.step_mm, atol=1e-3), "a step that no two neighbouring positions have"
        assert volume.spacing_mm[2] == pytest.approx(THIN.step_mm, abs=1e-3)
        assert len({phase_of[header.instance] for header in volume.files}) == 1, "phases mixed"


# -- the builder itself -------------------------------------------------------


def test_the_builder_writes_what_its_truth_says():
    """Voxel and place of one pixel, straight from the data set and the equation of PS3.3 C.7.6.2.1.1."""
    (made,) = volumes(1, scale=[1.0 + 0.5 * k for k in range(8)])
    image, (row, column) = pydicom.dcmread(_file(made.images[5])), (3, 7)
    x, y = np.array(image.ImageOrientationPatient).reshape(2, 3)
    place = np.array(image.ImagePositionPatient) + x * image.PixelSpacing[1] * column + y * image.PixelSpacing[0] * row
    assert made.truth.affine @ [column, row, 5, 1] == pytest.approx([-place[0], -place[1], place[2], 1])
    assert made.truth.signal[5, row, column] == image.pixel_array[row, column] * image.RescaleSlope


def _file(image: Dataset):
    return pydicom.filebase.DicomBytesIO(encoded(image))
