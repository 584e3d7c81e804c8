"""Regions come back from the SEG voxel by voxel, through our own reader and through highdicom."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.builder import Grid, volume, volumes
from faults.enhanced import multi_frame
from mpmri_monai.report.dicom_answer import RegionOnSeries, write_dicom_answer
from mpmri_monai.volumes import Geometry, Mask, MaskRegion, check_mask, read_region, read_seg_mask


def on_image(mask, geometry):
    """A mask as voxels (slice, row, column) of an image; each has to lie on a voxel."""
    index = geometry.to_index(mask.points_mm())
    np.testing.assert_allclose(index, np.round(index), atol=1e-3)
    voxels = np.zeros(geometry.shape[::-1], bool)
    voxels[tuple(np.round(index).astype(int).T[::-1])] = True
    return voxels


def test_the_same_voxels_come_back(answered, tmp_path):
    seg, *_ = write_dicom_answer(tmp_path / "out", answered.result, answered.regions, answered.files)
    geometry = answered.series.stack.geometry
    for number, region in enumerate(answered.regions.values(), start=1):
        mask = read_seg_mask(seg, number, "lesion", geometry)
        check_mask(mask, geometry, "lesion")
        np.testing.assert_array_equal(on_image(mask, geometry), region.mask.voxels)
        alone = read_seg_mask(seg, number, "lesion")  # the file says enough without the image
        np.testing.assert_array_equal(on_image(alone, geometry), region.mask.voxels)
        peer = segread(seg).get_volume(segment_numbers=[number], combine_segments=False)
        assert int(peer.array.sum()) == int(region.mask.voxels.sum())


def test_it_refers_to_the_phase_that_was_drawn_on(answered, phases, tmp_path):
    """Three phases share one grid and one series; only the referenced images tell them apart."""
    seg, *_ = write_dicom_answer(tmp_path / "out", answered.result, answered.regions, answered.files)
    stacks = {f"S{k}": series.stack for k, series in enumerate(phases)}
    assert read_region(MaskRegion(seg, "segment", 1), stacks, "L1").drawn_on == "S1"


def test_what_the_segments_say(answered, tmp_path):
    answered.result["lesions"][1]["score"] = 0.8  # a candidate that the detector found
    answered.result["study"]["searched_by"] = {"name": "finder", "version": "3", "weights_sha256": "ab" * 32}
    seg, *_ = write_dicom_answer(tmp_path / "out", answered.result, answered.regions, answered.files)
    dataset = pydicom.dcmread(seg)
    assert dataset.SegmentationType == "BINARY"
    assert "research use only" in dataset.ContentDescription.lower()
    given_, found = dataset.SegmentSequence
    assert (given_.SegmentLabel, found.SegmentLabel) == ("Lesion L1", "Lesion L2")
    assert (given_.SegmentAlgorithmType, found.SegmentAlgorithmType) == ("MANUAL", "AUTOMATIC")
    assert given_.TrackingUID != found.TrackingUID
    (algorithm,) = found.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("finder", "3")  # not the bundle that answers


def test_a_found_region_is_no_persons_work_though_its_detector_is_not_named(answered, tmp_path):
    """As in a result of before detectors were named."""
    answered.result["lesions"][1]["score"] = 0.8
    del answered.result["study"]["searched_by"]
    seg, *_ = write_dicom_answer(tmp_path / "out", answered.result, answered.regions, answered.files)
    kinds = [segment.SegmentAlgorithmType for segment in pydicom.dcmread(seg).SegmentSequence]
    assert kinds == ["MANUAL", "AUTOMATIC"]


def test_a_lesion_keeps_its_tracking_uid_and_another_one_has_another(answered, tmp_path):
    def uids():
        seg, *_ = write_dicom_answer(tmp_path / "out", answered.result, answered.regions, answered.files)
        return [segment.TrackingUID for segment in pydicom.dcmread(seg).SegmentSequence]

    first, second = uids(), uids()
    assert first == second
    voxels = answered.regions["L1"].mask.voxels.copy()
    voxels[0, 0, 0] = True
    answered.regions["L1"] = answered.series.region(voxels)
    third = uids()
    assert third[0] != first[0] and third[1] == first[1]


def test_lesions_drawn_on_two_series_make_two_objects(make, tmp_path):
    found = [volume(series=3), volume(series=4, grid=Grid(slices=5, step_mm=7.0))]
    series = [make.stacked(record) for record in make.written(tmp_path / "study", *found)]
    regions = {f"L{k}": one.region(make.ellipsoid(one.shape, (2, 6, 5), 2)) for k, one in enumerate(series)}
    answer = make.result(*map(make.lesion, regions))
    paths = write_dicom_answer(tmp_path / "out", answer, regions, [file for one in series for file in one.files])
    assert [path.name for path in paths[:2]] == ["regions-1.dcm", "regions-2.dcm"]
    for path, one, region in zip(paths, series, regions.values(), strict=False):
        mask = read_seg_mask(path, 1, "lesion", one.stack.geometry)
        np.testing.assert_array_equal(on_image(mask, one.stack.geometry), region.mask.voxels)


def test_frames_of_an_enhanced_file_that_holds_several_phases(make, tmp_path):
    images = [
        image for one in volumes(3, TemporalPositionIdentifier=lambda index, _: index + 1) for image in one.images
    ]
    for shared in (True, False):
        file = SimpleNamespace(images=[multi_frame(images, shared=shared)], truth=None)
        series = [make.stacked(record) for record in make.written(tmp_path / f"study-{shared}", file)]
        assert len(series) == 3
        last = series[2]
        region = last.region(make.ellipsoid(last.shape, (3, 6, 5), (2.2, 4, 3)))
        answer = make.result(make.lesion("L1"))
        seg, *_ = write_dicom_answer(tmp_path / "out", answer, {"L1": region}, last.files)
        stacks = {f"S{k}": one.stack for k, one in enumerate(series)}
        read = read_region(MaskRegion(seg, "segment", 1), stacks, "L1")
        assert read.drawn_on == "S2"
        np.testing.assert_array_equal(on_image(read, last.stack.geometry), region.mask.voxels)


def test_flipped_and_partial_masks_and_boxes_land_on_the_series(make, phases):
    stack = phases[0].stack
    voxels = make.ellipsoid(phases[0].shape, (3, 6, 5), (2, 4, 3))
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = np.array(stack.geometry.shape[:2]) - 1
    flipped = Mask(voxels[:, ::-1, ::-1], Geometry(stack.geometry.affine @ flip, stack.geometry.shape))
    lift = np.eye(4)
    lift[2, 3] = 1
    partial = Mask(voxels[1:6], Geometry(stack.geometry.affine @ lift, (*stack.geometry.shape[:2], 5)), partial=True)
    for mask in (flipped, partial):
        np.testing.assert_array_equal(RegionOnSeries.on(stack, mask, "lesion").mask.voxels, voxels)
    box = np.diag([6.0, 6.0, 6.0, 1.0])
    box[:3, 3] = stack.geometry.to_mm([5, 6, 3])
    inside = RegionOnSeries.on(stack, Mask(np.ones((1, 1, 1), bool), Geometry(box, (1, 1, 1))), "lesion")
    assert inside.mask.volume_ml == pytest.approx(0.216, rel=0.5)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_any_region_on_any_plane(make, tmp_path_factory, seed):
    """Oblique slices, sparse voxels, empty slices in between, several segments that overlap."""
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    grid = Grid(slices=6, rows=9, columns=7, axes=tuple(np.round(axes[:, :2].T.ravel(), 8)), step_mm=rng.uniform(1, 7))
    folder = tmp_path_factory.mktemp("any")
    series = make.stacked(make.written(folder / "study", volume(grid=grid))[0])
    regions = {}
    for name in ("L1", "L2"):
        voxels = rng.random(series.shape) < 0.1
        voxels[rng.random(len(voxels)) < 0.4] = False
        voxels[rng.integers(6), 3, 4] = True
        regions[name] = series.region(voxels)
        np.testing.assert_array_equal(regions[name].mask.voxels, voxels)
    seg, *_ = write_dicom_answer(folder / "out", make.result(*map(make.lesion, regions)), regions, series.files)
    for number, region in enumerate(regions.values(), start=1):
        mask = read_seg_mask(seg, number, "lesion", series.stack.geometry)
        np.testing.assert_array_equal(on_image(mask, series.stack.geometry), region.mask.voxels)
