"""Small volumes whose value at every point of the body is known."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpmri_monai.cohort import parse_manifest
from mpmri_monai.volumes import Geometry, Mask, Stack

LESION_MM = {"centre": np.array([8.0, 5.0, 0.0]), "radius": 12.0}


def oblique_geometry(rng, shape, spacing, max_deg=25.0, centre=(0.0, 0.0, 0.0), flip=False):
    """A grid of ``shape`` (columns, rows, slices) around ``centre``, turned about a random axis."""
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(rng.uniform(-max_deg, max_deg))).as_matrix()
    scale = np.diag(spacing) @ (np.diag([1, -1, 1]) if flip else np.eye(3))
    affine = np.eye(4)
    affine[:3, :3] = turn @ scale
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, tuple(shape))


def grid_mm(geometry):
    """Voxel centres in RAS+ mm, (slice, row, column, 3)."""
    columns, rows, slices = geometry.shape
    k, r, c = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    return geometry.to_mm(np.stack([c, r, k], axis=-1).astype(float))


def stack_of(values, geometry, slope=1.0, intercept=0.0):
    slices = geometry.shape[2]
    return Stack(values, np.full(slices, slope), np.full(slices, intercept), geometry)


def write_nifti(path, values, geometry):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), geometry.affine), path)


@pytest.fixture
def make_geometry():
    return oblique_geometry


@pytest.fixture
def make_stack():
    return stack_of


@pytest.fixture
def make_grid():
    return grid_mm


@pytest.fixture
def make_ball():
    """(geometry, centre, radius) -> Mask of the voxels whose centres lie in a ball."""

    def ball(geometry, centre=LESION_MM["centre"], radius=LESION_MM["radius"]):
        return Mask(np.linalg.norm(grid_mm(geometry) - centre, axis=-1) <= radius, geometry)

    return ball


@pytest.fixture
def cohort(tmp_path):
    """A manifest of three NIfTI studies; T2 and OUT at 6 mm, S0 and S3 at 2.2 mm; the third study has no OUT."""
    return write_cohort(tmp_path / "cohort")


def write_cohort(folder, studies=3):
    rng = np.random.default_rng(3)
    entries = []
    for number in range(studies):
        thick = oblique_geometry(rng, (40, 36, 10), (3.0, 3.0, 6.0), 1.0)
        thin = oblique_geometry(rng, (44, 44, 28), (2.5, 2.5, 2.2), 1.0)
        place = folder / f"P{number}"
        images = {"T2": thick, "OUT": thick, "S0": thin, "S3": thin}
        if number == 2:
            del images["OUT"]
        for sequence, geometry in images.items():
            values = rng.integers(50, 60, geometry.shape[::-1]) + grid_mm(geometry)[..., 0]
            write_nifti(place / f"{sequence}.nii", values.astype(np.int16), geometry)
        points = grid_mm(thin)
        lesion = np.linalg.norm(points - LESION_MM["centre"], axis=-1) <= LESION_MM["radius"]
        liver = (np.abs(points[..., :2]) <= 45).all(-1)
        write_nifti(place / "lesions.nii", lesion.astype(np.uint8), thin)
        write_nifti(place / "liver.nii", liver.astype(np.uint8), thin)
        entries.append(
            {
                "patient": f"P{number}",
                "study": f"P{number}-1",
                "site": "A",
                "images": {sequence: f"P{number}/{sequence}.nii" for sequence in images},
                "organs": {"liver": f"P{number}/liver.nii"},
                "lesions": [
                    {
                        "id": "L1",
                        "region": {"mask": f"P{number}/lesions.nii", "value": 1},
                        "drawn_on": "S3",
                        "labels": {"grade": "well" if number else "poorly"},
                    }
                ],
            }
        )
    content = {
        "schema": "mpmri-monai/manifest/1",
        "name": "small",
        "sequences": ["T2", "IN", "OUT", "S0", "S3"],
        "classes": {"grade": ["well", "moderately", "poorly"]},
        "studies": entries,
    }
    return parse_manifest(content, folder, where="test")
