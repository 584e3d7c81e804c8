"""A detector slid over small volumes whose value at every point is known."""

from __future__ import annotations

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from mpmri_monai.cohort import Study
from mpmri_monai.errors import MaskError
from mpmri_monai.samples import Settings
from mpmri_monai.samples.intensity import intensity_windows
from mpmri_monai.samples.locate import Position, crop_plane
from mpmri_monai.samples.plane import ParallelPlanes
from mpmri_monai.samples.sample import take_samples
from mpmri_monai.training import AveragingInferer, Inferer
from mpmri_monai.training.finding import find_in_study
from mpmri_monai.training.search import MOST_CANDIDATES, Detector, _suppress, box_sizes_mm, search
from mpmri_monai.transforms.batch import centre_crop
from mpmri_monai.volumes import Geometry, Mask, Stack

SPOTS_MM = {"one": (np.array([12.0, 6.0, 0.0]), 9.0), "other": (np.array([-24.0, -10.0, 8.0]), 12.0)}
LIVER_MM = 48.0
UNTRIMMED = Settings(trim=0.0)
"""The spots are less than the share of the voxels that is usually cut off."""


class Linear(nn.Module):
    """Any linear function of the window, the flags and the extent: no two windows score alike."""

    def __init__(self, pixels: int = 32, channels: int = 2) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.image = nn.Parameter(torch.randn(channels, pixels, pixels, generator=generator) / pixels)
        self.flag = nn.Parameter(torch.randn(channels, generator=generator))

    def forward(self, image, present=None, extent_mm=None):
        odds = (image * self.image).sum(dim=(1, 2, 3)) + (present * self.flag).sum(dim=1) + extent_mm / 100
        return torch.stack([torch.zeros_like(odds), odds], dim=1)


class Bright(nn.Module):
    """High where the middle of a window is brighter than its border, by far."""

    def forward(self, image, present=None, extent_mm=None):
        side, seen = image.shape[-1] // 4, image[:, 0]
        middle = seen[:, side:-side, side:-side].mean(dim=(1, 2))
        border = torch.cat([seen[:, :2], seen[:, -2:], seen[:, :, :2].mT, seen[:, :, -2:].mT], dim=1).mean(dim=(1, 2))
        odds = 30 * (middle - border) - 8
        return torch.stack([torch.zeros_like(odds), odds], dim=1)


def grid(shape, spacing, degrees=0.0):
    affine = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8]))
    affine[:3, :3] = turn.as_matrix() @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def points(geometry):
    columns, rows, slices = geometry.shape
    k, r, c = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    return geometry.to_mm(np.stack([c, r, k], axis=-1).astype(float))


def stack_of(values, geometry):
    slices = geometry.shape[2]
    return Stack(values, np.ones(slices), np.zeros(slices), geometry)


@pytest.fixture(scope="module")
def study():
    """T2 in thick slices and S3 in thin oblique ones that end within the liver; noise on a body, with two spots."""
    rng = np.random.default_rng(0)
    stacks = {}
    for name, geometry in {
        "T2": grid((64, 60, 18), (2.2, 2.2, 6.0), 4.0),
        "S3": grid((40, 40, 40), (1.9, 1.9, 2.2), 9.0),
    }.items():
        place = points(geometry)
        values = np.where(np.linalg.norm(place, axis=-1) < LIVER_MM + 15, 100.0, 2.0) + rng.normal(
            0, 1, place.shape[:3]
        )
        for centre, radius in SPOTS_MM.values():
            values[np.linalg.norm(place - centre, axis=-1) < radius] += 100
        stacks[name] = stack_of(values.astype(np.float32), geometry)
    fine = grid((60, 60, 50), (2.0, 2.0, 2.5))
    return stacks, Mask(np.linalg.norm(points(fine), axis=-1) < LIVER_MM, fine)


def detector(network, fusion=("T2", "S3"), sizes=(20.0,), settings=None, inferer=None, window=32):
    return Detector(network, inferer or Inferer(), fusion, settings or Settings(), window, 1, sizes)


def sample_at(place, size, stacks, settings, fusion):
    """The sample that preparing a study would take at this place."""
    planes = ParallelPlanes.of(stacks["T2"].geometry)
    across, down, offset = (
        float(place @ axis) for axis in (planes.row_direction, planes.column_direction, planes.normal)
    )
    plane = crop_plane(planes, across, down, offset, size, settings)
    position = Position("BG-1", "background", 0, plane, plane.disc(size), size, planes.spacing_mm)
    windows = intensity_windows(stacks, settings.trim, settings.joint_dce, settings.window)
    entry = Study(patient="P1", study="P1-1", site="A", images={name: f"{name}.nii" for name in stacks})
    (sample,) = take_samples(entry, stacks, windows, [position], fusion, settings)
    return sample


@pytest.mark.parametrize(
    ("settings", "averaging"),
    [(Settings(), False), (Settings(through_plane="slab_mean", joint_dce=True), False), (Settings(), True)],
)
@torch.no_grad()
def test_every_window_is_the_sample_that_would_be_taken_there(study, settings, averaging):
    stacks, liver = study
    fusion, size, network = ("T2", "S3"), 20.0, Linear()
    inferer = AveragingInferer(32) if averaging else Inferer()
    seen = settings.stored_pixels if averaging else 32
    found = search(stacks, liver, detector(network, fusion, (size,), settings, inferer, seen))
    values, geometry = found.probability_map.stored, found.probability_map.geometry
    looked = np.argwhere(values > 0)
    assert found.windows == len(looked)
    partial = 0
    for k, row, column in np.random.default_rng(1).permutation(looked)[:25]:
        place = geometry.to_mm([column, row, k])
        assert liver.contains(place)
        sample = sample_at(place, size, stacks, settings, fusion)
        image = torch.from_numpy(centre_crop(sample.image, seen))[None]
        present = torch.from_numpy(sample.present)[None]
        logits = inferer(image, network, present=present, extent_mm=torch.tensor([size]))
        assert values[k, row, column] == pytest.approx(float(torch.softmax(logits.double(), dim=1)[0, 1]), abs=1e-5)
        partial += int(not sample.present.all())
    assert 0 < partial < 25, "some windows show one sequence, some both"


def test_bright_spots_are_found_in_place_and_size(study):
    stacks, liver = study
    found = search(stacks, liver, detector(Bright(), ("T2",), box_sizes_mm(12, 36, UNTRIMMED), UNTRIMMED))
    assert [candidate.score for candidate in found.candidates] == sorted(
        (candidate.score for candidate in found.candidates), reverse=True
    )
    for centre, radius in SPOTS_MM.values():
        near = [c for c in found.candidates[:2] if np.linalg.norm(np.array(c.center_mm) - centre) < 6]
        assert len(near) == 1
        assert radius <= near[0].size_mm <= 4 * radius
        assert near[0].score > 0.7
    assert found.candidates[2].score < 0.3


def test_a_large_lesion_is_found_once():
    """A small box at the rim of a lesion in a large one is not another lesion; one that only touches it is."""
    centre = np.array([[0.0, 0, 0], [20, 0, 0], [0, 24, 0]])
    found = dict(_suppress(centre, np.array([30.0, 17, 17]), np.array([0.9, 0.8, 0.7])))
    assert {best: same.tolist() for best, same in found.items()} == {0: [0, 1], 2: [2]}


def test_candidates_are_about_different_places_in_the_region(study):
    stacks, liver = study
    size = 20.0
    candidates = search(stacks, liver, detector(Linear(), sizes=(size,))).candidates
    assert 5 < len(candidates) <= MOST_CANDIDATES
    for n, one in enumerate(candidates):
        assert np.linalg.norm(one.center_mm) < LIVER_MM + 4, "half the stride, at the most"
        for other in candidates[:n]:
            assert np.linalg.norm(np.subtract(one.center_mm, other.center_mm)) > size / 4


def test_a_part_without_slices_is_told(study):
    stacks, liver = study
    assert search(stacks, liver, detector(Linear())).reached == 1.0
    whole = stacks["T2"]
    half = stack_of(whole.stored[:9], Geometry(whole.geometry.affine, (*whole.geometry.shape[:2], 9)))
    assert 0.4 < search({**stacks, "T2": half}, liver, detector(Linear())).reached < 0.6


def test_a_region_outside_the_images_is_refused(study):
    stacks, liver = study
    affine = np.array(liver.geometry.affine)
    for shift in ((0, 0, 900.0), (900.0, 0, 0)):
        affine[:3, 3] = liver.geometry.affine[:3, 3] + shift
        with pytest.raises(MaskError) as error:
            search(stacks, Mask(liver.voxels, Geometry(affine, liver.geometry.shape)), detector(Linear()))
        assert error.value.code == "E_MASK_OUT"


def test_sizes_are_no_farther_apart_than_needed():
    sizes = box_sizes_mm(13.1, 53.9, Settings())
    assert len(sizes) == 5
    np.testing.assert_allclose(np.diff(np.log(sizes)), np.log(53.9 / 13.1) / 5)
    for extent in np.geomspace(13.1, 53.9, 50):
        assert min(max(extent / size, size / extent) for size in sizes) <= 2**0.25 + 1e-9
    assert box_sizes_mm(20, 20, Settings()) == (20.0,)


def test_no_box_is_smaller_than_those_of_training_samples():
    assert box_sizes_mm(4, 40, Settings(minimum_box_mm=15)) == box_sizes_mm(15, 40, Settings())
    assert box_sizes_mm(3, 6, Settings()) == (10.0,)


@pytest.fixture
def files(tmp_path, study):
    """A study as files: liver and, as a trap, lesion masks that do not exist."""
    stacks, liver = study
    for name, stack in stacks.items():
        nibabel.save(
            nibabel.Nifti1Image(stack.stored.transpose(2, 1, 0), stack.geometry.affine), tmp_path / f"{name}.nii"
        )
    on_t2 = np.array(liver.contains(points(stacks["T2"].geometry)), np.uint8)
    image = nibabel.Nifti1Image(on_t2.transpose(2, 1, 0), stacks["T2"].geometry.affine)
    nibabel.save(image, tmp_path / "liver.nii")
    lesion = {"id": "L1", "region": {"mask": "absent.nii", "value": 1}}
    entry = {"patient": "P1", "study": "P1-1", "site": "A", "images": {"T2": "T2.nii", "S3": "S3.nii"}}
    return tmp_path, Study(**entry, organs={"liver": "liver.nii"}, lesions=(lesion,)), Study(**entry)


def test_the_liver_is_searched_and_lesion_masks_are_not_looked_at(files):
    folder, with_liver, _ = files
    findings = find_in_study(with_liver, folder, detector(Bright(), ("T2",), (20.0,), UNTRIMMED))
    assert (findings.searched, findings.notes) == ("liver", ())
    assert len([c for c in findings.found.candidates if c.score > 0.5]) == 2


def test_without_a_liver_the_body_is_searched_and_that_is_said(files):
    folder, with_liver, without = files
    eyes = detector(Bright(), ("T2",), (20.0,), UNTRIMMED)
    findings = find_in_study(without, folder, eyes)
    assert findings.searched == "body"
    assert "no liver mask" in findings.notes[0] and "means nothing" in findings.notes[1]
    knowing = replace(eyes, settings=Settings(trim=0.0, background_kinds=["liver", "body"]))
    assert len(find_in_study(without, folder, knowing).notes) == 1
    assert findings.found.windows > 1.5 * find_in_study(with_liver, folder, eyes).found.windows


def test_the_liver_may_be_drawn_on_a_sequence_that_the_detector_does_not_see(files):
    folder, with_liver, _ = files
    coarse = np.diag([4.0, 4.0, 4.0, 1.0])
    coarse[:3, 3] = -60
    index = np.stack(np.meshgrid(*[np.arange(31)] * 3, indexing="ij"), axis=-1)
    inside = np.linalg.norm(index * 4.0 - 60, axis=-1) < LIVER_MM
    nibabel.save(nibabel.Nifti1Image(inside.astype(np.uint8), coarse), folder / "drawn.nii")
    nibabel.save(nibabel.Nifti1Image(inside.astype(np.int16), coarse), folder / "S5.nii")
    images = {**with_liver.images, "S5": "S5.nii"}
    study = with_liver.model_copy(update={"images": images, "organs": {"liver": "drawn.nii"}})
    eyes = detector(Bright(), ("T2",), (20.0,), UNTRIMMED)
    findings = find_in_study(study, folder, eyes)
    assert len([c for c in findings.found.candidates if c.score > 0.5]) == 2
