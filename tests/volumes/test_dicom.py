import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import JPEGLSLossless

from mpmri_monai.catalogue import scan
from mpmri_monai.errors import CatalogueError
from mpmri_monai.volumes import read_dicom

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def only_volume(folder):
    catalogue = scan(folder, "none")
    assert not catalogue.problems
    (volume,) = catalogue.volumes
    return volume


def known(slices=6, rows=9, columns=7, kind="u2", seed=0):
    return np.random.default_rng(seed).integers(0, 250, size=(slices, rows, columns)).astype(kind)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_oblique_volume_round_trip(make, tmp_path_factory, seed):
    generator = np.random.default_rng(seed)
    frame, spacing = make.rotation(generator), generator.uniform(0.5, 6, 3).round(4)
    origin, stored = generator.uniform(-200, 200, 3), known(seed=seed)
    folder = tmp_path_factory.mktemp("study")
    make.write_volume(folder, stored, frame, spacing, origin, seed=seed)
    record = only_volume(folder)
    stack = read_dicom(record)
    np.testing.assert_array_equal(stack.stored, stored)
    np.testing.assert_allclose(stack.geometry.affine, make.affine_of(frame, spacing, origin), atol=1e-5)
    height = [
        np.dot(np.cross(header.orientation[:3], header.orientation[3:]), header.position) for header in record.files
    ]
    assert np.all(np.diff(height) > 0)
    np.testing.assert_allclose(record.spacing_mm, spacing[[1, 0, 2]], rtol=1e-4)


def test_simpleitk_finds_the_same_voxels_at_the_same_places(make, tmp_path):
    frame, stored = make.rotation(np.random.default_rng(4)), known()
    make.write_volume(tmp_path, stored, frame, (1.2, 0.8, 3.0), (10, -20, 30))
    stack = read_dicom(only_volume(tmp_path))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    generator = np.random.default_rng(5)
    for column, row, k in generator.integers(0, (7, 9, 6), size=(20, 3)).tolist():
        here = stack.geometry.to_mm([column, row, k])
        index = image.TransformPhysicalPointToIndex((LPS_TO_RAS[:3, :3] @ here).tolist())
        assert image.GetPixel(index) == stack.stored[k, row, column]


@pytest.mark.parametrize("kind", ["u1", "u2", "i2", "i4"])
def test_stored_types_and_slopes_of_each_slice(make, tmp_path, kind):
    stored, slopes = known(kind=kind), np.linspace(0.5, 2, 6).round(3)
    make.write_volume(tmp_path, stored, np.eye(3), (1, 1, 2), (0, 0, 0), slopes=slopes)
    stack = read_dicom(only_volume(tmp_path))
    np.testing.assert_array_equal(stack.stored, stored)
    assert stack.stored.dtype == np.dtype(kind)
    for k in range(6):
        np.testing.assert_allclose(stack.block(k, slice(None), slice(None)), stored[k] * slopes[k] + 0.5, rtol=1e-6)


def test_compressed_volume_is_the_same(make, tmp_path):
    stored = known()
    images = make.write_volume(tmp_path / "native", stored, np.eye(3), (1, 1, 2), (0, 0, 0))
    (tmp_path / "jpeg").mkdir()
    for index, dataset in enumerate(images):
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.save_as(tmp_path / "jpeg" / str(index), enforce_file_format=True)
    one, other = only_volume(tmp_path / "native"), only_volume(tmp_path / "jpeg")
    assert one.id == other.id
    assert read_dicom(one).digest == read_dicom(other).digest


def test_mixed_stored_types_are_widened(make, tmp_path):
    make.write_volume(tmp_path, known(kind="u2"), np.eye(3), (1, 1, 2), (0, 0, 0))
    signed = (known(kind="i2") - 100).astype("i2")
    make.write_volume(tmp_path / "b", signed, np.eye(3), (1, 1, 2), (0, 0, 12), SeriesInstanceUID="2.25.2")
    for index, path in enumerate(sorted((tmp_path / "b").iterdir())):
        import pydicom

        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = f"2.25.77{index}"
        dataset.save_as(path)
    stack = read_dicom(only_volume(tmp_path))
    np.testing.assert_array_equal(stack.stored, np.concatenate([known(kind="u2").astype(int), signed.astype(int)]))


def test_truncated_and_vanished_files_are_told_by_series_and_image(make, tmp_path):
    make.write_volume(tmp_path, known(), np.eye(3), (1, 1, 2), (0, 0, 0))
    record = only_volume(tmp_path)
    path = record.files[2].path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CatalogueError, match=rf"E_TRUNCATED.*series 5, image {record.files[2].instance_number}"):
        read_dicom(record)
