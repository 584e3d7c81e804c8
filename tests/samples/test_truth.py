"""Crops against the phantom: what the analytic body would show at the very points that were sampled."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpmri_monai import catalogue
from mpmri_monai.cohort import Study
from mpmri_monai.phantom.patients import HELD_OUT, Plan, draw_patient, plan
from mpmri_monai.phantom.presets import preset
from mpmri_monai.phantom.scanner import Grid, draw_scan
from mpmri_monai.phantom.study import write_study
from mpmri_monai.samples import Settings, sample_study
from mpmri_monai.samples.intensity import Window
from mpmri_monai.samples.plane import CropPlane
from mpmri_monai.samples.resample import take_crop
from mpmri_monai.sequences import GRADES, SEQUENCES
from mpmri_monai.volumes import Geometry, Stack

SEED = 4


@pytest.fixture(scope="module")
def scan():
    quick = preset("quick")
    return draw_scan(draw_patient(quick, plan(quick, 3, SEED)[0], SEED))


PIXEL_MM = 0.4
"""Fine enough that interpolating the phantom's textures inside a slice hardly matters; slices stay 2.2 mm apart."""


def acquired(scan, sequence, tilt_deg):
    """A noise-free stack of thin slices around the lesion, turned by ``tilt_deg``."""
    centre = lesion_mm(scan)
    turn = Rotation.from_rotvec(np.radians(tilt_deg) * np.array([0.8, 0.6, 0.0])).as_matrix()
    shape = (120, 120, 20)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-PIXEL_MM, -PIXEL_MM, 2.2])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    stored = scan.acquire(sequence, Grid(affine, shape, 2.2), noisy=False)
    return Stack(stored, np.ones(shape[2]), np.zeros(shape[2]), Geometry(affine, shape))


def lesion_mm(scan):
    return np.asarray(scan.patient.body.lesions[0].center, float)


@pytest.mark.parametrize("sequence", ["T2", "OUT", "S4"])
@pytest.mark.parametrize("tilt_deg", [0.0, 1.5, 12.0])
def test_crop_shows_the_body_at_the_acquired_places(scan, sequence, tilt_deg):
    stack = acquired(scan, sequence, tilt_deg)
    across, down, _ = Rotation.from_euler("xyz", [1, -2, 5], degrees=True).as_matrix()
    plane = CropPlane(lesion_mm(scan) + np.array([1.0, -2.0, 0.7]), across, down, 0.9, 40)
    crop = take_crop(stack, plane, Window(0, 1e4))

    points, geometry = plane.points_mm(), stack.geometry
    height = (points - geometry.affine[:3, 3]) @ geometry.normal
    step = np.rint(height / 2.2) * 2.2 - height
    truth = scan.expected(sequence, points + step[..., None] * geometry.normal)
    wrong = scan.expected(sequence, points + (step + 2.2)[..., None] * geometry.normal)
    spread = truth.std()
    assert crop.covered.all()
    assert rms(crop.signal - truth) < 0.07 * spread
    assert rms(crop.signal - wrong) > 0.25 * spread, "a neighbouring slice would show"


def rms(values):
    return np.sqrt(np.mean(values**2))


@pytest.mark.slow
def test_whole_way_through_dicom(tmp_path):
    """A study as the scanner writes it -> samples whose mean signals are those of the body at the same place."""
    held_out = write_study(tmp_path / "study", "quick", number=0)
    quick = preset("quick")
    patient = draw_patient(quick, Plan(0, quick.sites[0], (GRADES[0],)), quick.seed, stream=HELD_OUT)
    scan = draw_scan(patient)
    roles = catalogue.scan(held_out.dicom).roles
    study = Study(
        patient="N001",
        study="N001-1",
        site="A",
        images={sequence: {"dicom": "dicom", "volume": volume} for sequence, volume in roles.items()},
        organs={"liver": held_out.organ_mask.name},
        lesions=[{"id": "L1", "region": {"mask": held_out.lesion_mask.name, "value": 1}, "drawn_on": "S3"}],
    )
    samples = sample_study(study, tmp_path / "study", Settings(), SEQUENCES)
    assert {sample.kind for sample in samples} == {"lesion", "background"}
    for sample in samples:
        assert sample.present.all() and sample.flags == ()
        plane = sampled_plane(sample, scan)
        points = plane.points_mm()[sample.mask]
        for i, sequence in enumerate(SEQUENCES):
            truth = scan.expected(sequence, acquired_places(points, scan.grids[sequence])).mean()
            assert sample.signal[i] == pytest.approx(truth, rel=0.06), (sample.sample, sequence)
            assert sample.offset_mm[i] <= scan.grids[sequence].thickness_mm / 2 + 0.02


def acquired_places(points, grid):
    """The points moved along the grid's normal onto the nearest slice."""
    normal, spacing = grid.affine[:3, 2], np.linalg.norm(grid.affine[:3, 2])
    height = (points - grid.affine[:3, 3]) @ normal / spacing
    return points + ((np.rint(height / spacing) * spacing - height) / spacing)[:, None] * normal


def sampled_plane(sample, scan):
    """The samples' own plane, rebuilt from the grid of T2."""
    axes = scan.grids["T2"].affine[:3, :3]
    across, down = axes[:, 0] / np.linalg.norm(axes[:, 0]), axes[:, 1] / np.linalg.norm(axes[:, 1])
    return CropPlane(sample.position_mm, across, down, sample.pitch_mm, sample.image.shape[-1])
