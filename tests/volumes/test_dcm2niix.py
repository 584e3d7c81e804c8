"""Voxels and affines of real studies against dcm2niix, which shares no code with this project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai.catalogue import scan
from mpmri_monai.volumes import read_dicom

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
DCM2NIIX = shutil.which("dcm2niix") or shutil.which("dcm2niix", path=Path(sys.executable).parent)
AFFINE_TOLERANCE_MM = 2e-3
"""NIfTI keeps affines as float32, and positions in headers have about this many decimals."""
SIGNAL_TOLERANCE = 3e-5
"""dcm2niix rescales with numbers of single precision (part of the largest signal)."""

pytestmark = pytest.mark.skipif(DCM2NIIX is None, reason="dcm2niix is not installed")


def converted(folder: Path, out: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Volumes by dcm2niix as (signal, affine), with their axes in the order and direction of the patient's."""
    out.mkdir()
    command = [str(DCM2NIIX), "-z", "n", "-b", "n", "-f", "%s_%p_%e", "-o", str(out), str(folder)]
    subprocess.run(command, capture_output=True, timeout=120, check=False)  # a localizer makes it fail in part
    volumes = []
    for path in sorted(out.glob("*.nii")):
        image = nibabel.as_closest_canonical(nibabel.load(path))
        signal = image.get_fdata()
        each = signal[..., None] if signal.ndim == 3 else signal
        volumes += [(each[..., index], image.affine) for index in range(each.shape[3])]
    return volumes


def read(record) -> tuple[np.ndarray, np.ndarray]:
    stack = read_dicom(record)
    signal = stack.stored * stack.slope[:, None, None] + stack.intercept[:, None, None]
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(signal.transpose(2, 1, 0), stack.geometry.affine))
    return image.get_fdata(), image.affine


@pytest.mark.parametrize(
    ("name", "volumes"),
    [
        ("enhanced_mr/Siemens", 4),
        ("enhanced_mr/Philips", 2),
        ("ge_mr750_multiphase", 20),
        ("qin_prostate_001/ADC", 1),
        ("prostatex_0218", 15),
    ],
)
def test_every_volume_is_one_of_dcm2niix(tmp_path, name, volumes):
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name}: set MPMRI_TEST_DATA to the folder of real data")
    others = converted(DATA / name, tmp_path / "nifti")
    records = scan(DATA / name, "none").volumes
    assert len(records) == volumes
    for record in records:
        signal, affine = read(record)
        assert any(
            signal.shape == other.shape
            and np.allclose(affine, its, atol=AFFINE_TOLERANCE_MM)
            and np.allclose(signal, other, rtol=0, atol=SIGNAL_TOLERANCE * np.abs(signal).max())
            for other, its in others
        ), f"series {record.series_number}, phase {record.phase}"
