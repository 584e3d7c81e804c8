from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpmri_monai.phantom.scanner import TILT_DEG, draw_scan
from mpmri_monai.sequences import DCE, SEQUENCES


def clean(scan, sequence):
    """Acquire without noise, and with slices too thin to be averaged."""
    return scan.acquire(sequence, replace(scan.grids[sequence], thickness_mm=0.1), noisy=False)


@pytest.mark.parametrize("sequence", ["T2", "OUT", "S4"])
def test_pixels_are_the_expected_signal_at_their_place(scan, sequence):
    grid, stored = scan.grids[sequence], clean(scan, sequence)
    index = np.random.default_rng(0).integers(0, grid.shape, (300, 3))
    places = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    found = stored[index[:, 2], index[:, 1], index[:, 0]]
    assert found == pytest.approx(scan.expected(sequence, places), abs=0.5001 + 1e-3 * found.max())


def test_the_body_moves_by_the_breath_hold_shift(scan):
    still = replace(scan, shift_mm={name: np.zeros(3) for name in scan.shift_mm}, shading=np.zeros(5))
    places = np.random.default_rng(1).uniform(-60, 60, (200, 3))
    shift = scan.shift_mm["T2"]
    assert np.abs(shift).max() > 0
    moved = replace(scan, shading=np.zeros(5)).expected("T2", places + shift)
    assert moved == pytest.approx(still.expected("T2", places), rel=1e-3, abs=1.0)


def test_dce_phases_share_a_grid_and_stacks_are_tilted_but_little(scan):
    assert len({id(scan.grids[name]) for name in DCE}) == 1
    normals = [scan.grids[name].normal for name in ("T2", "IN", "S0")]
    for one in normals:
        for other in normals:
            assert np.degrees(np.arccos(min(one @ other, 1))) < 2.9 * TILT_DEG
    assert not np.allclose(normals[0], normals[2])


def test_a_crop_of_the_grid_is_the_crop_of_the_image(scan):
    whole = scan.acquire("S2", noisy=False)
    part = scan.grids["S2"].crop((5, 7, 2), (10, 12, 3))
    assert np.array_equal(scan.acquire("S2", part, noisy=False), whole[2:5, 7:19, 5:15])


def test_thick_slices_average_planes_through_their_thickness(scan):
    grid = scan.grids["T2"]
    column, row, plane = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    centers = np.stack([column, row, plane], axis=-1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    planes = [scan.expected("T2", centers + offset * grid.normal) for offset in (-2.0, 0.0, 2.0)]
    assert scan.acquire("T2", noisy=False).transpose(2, 1, 0) == pytest.approx(np.mean(planes, axis=0), abs=4)


def test_noise_is_rician(scan):
    noisy = scan.acquire("S0").astype(float)
    without = scan.acquire("S0", noisy=False).astype(float)
    sigma = scan.protocol("S0").noise * scan.patient.body.signals["liver"]["S0"] * scan.gain["S0"]
    air = noisy[without == 0]
    assert air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.03)  # Rayleigh
    bright = without > 8 * sigma
    assert (noisy - without)[bright].std() == pytest.approx(sigma, rel=0.05)


def test_equal_patients_give_equal_images_and_sequences_have_their_own_noise(scan):
    again = draw_scan(scan.patient)
    assert np.array_equal(again.acquire("S1"), scan.acquire("S1"))
    air = scan.acquire("S1", noisy=False) == 0
    noise = [scan.acquire(name)[air].astype(float) for name in ("S1", "S3")]
    assert abs(np.corrcoef(noise)[0, 1]) < 5 / np.sqrt(air.sum())


def test_every_sequence_of_the_site_is_there(scan):
    assert tuple(scan.grids) == SEQUENCES
