import struct
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from highdicom.seg import segread
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLSLossless, RLELossless

from mpmri_monai.catalogue import scan
from mpmri_monai.errors import MaskError
from mpmri_monai.volumes import (
    Geometry,
    MaskRegion,
    Stack,
    check_mask,
    fits,
    mask_regions,
    read_dicom,
    read_region,
    read_seg_mask,
)


def source(make, folder, seed=3, shape=(12, 9, 7)):
    """An oblique DICOM volume, (slice, row, column); frames of packed bits begin inside bytes."""
    stored = np.random.default_rng(0).integers(0, 999, size=shape).astype(np.uint16)
    frame = make.rotation(np.random.default_rng(seed))
    make.write_volume(folder, stored, frame, (2.0, 1.5, 5.0), (10, 20, -30))
    (volume,) = scan(folder, "none").volumes
    images = [pydicom.dcmread(header.path) for header in volume.files]
    return SimpleNamespace(images=images, geometry=read_dicom(volume).geometry, shape=shape, files=volume.files)


@pytest.fixture
def study(make, tmp_path):
    return source(make, tmp_path / "study")


def places(mask, geometry):
    """Voxels of a mask as (slice, row, column) of an image."""
    index = geometry.to_index(mask.points_mm())
    np.testing.assert_allclose(index, np.round(index), atol=1e-3)
    return sorted(map(tuple, np.round(index).astype(int)[:, ::-1].tolist()))


def on(voxels):
    return sorted(map(tuple, np.argwhere(voxels).tolist()))


def region(shape, *slices):
    """A part of the given slices, different in each."""
    voxels = np.zeros(shape, np.uint8)
    for k in slices:
        voxels[k, 2 : 4 + k % 3, 1 : 3 + k % 4] = 1
    return voxels


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["BINARY", "FRACTIONAL"]))
def test_segments_that_overlap_on_any_slices(make, tmp_path_factory, seed, kind):
    """Sparse, several segments, overlapping, oblique: each segment by itself, and as highdicom reads it."""
    folder = tmp_path_factory.mktemp("seg")
    rng = np.random.default_rng(seed)
    study = source(make, folder / "study", seed, (6, 5, 7))
    voxels = np.zeros((*study.shape, 2), np.uint8)
    for segment in range(2):
        for k in rng.choice(6, rng.integers(1, 6), replace=False):
            voxels[k, ..., segment] = rng.random(study.shape[1:]) < 0.3
            voxels[k, 2, 3, segment] = 1
    options = {"fractional_type": "PROBABILITY"} if kind == "FRACTIONAL" else {}
    path = make.write_seg(folder / "seg.dcm", study.images, voxels, kind, **options)
    for segment in (1, 2):
        mask = read_seg_mask(path, segment, "lesion", study.geometry)
        assert places(mask, study.geometry) == on(voxels[..., segment - 1])
        check_mask(mask, study.geometry, "lesion")
        peer = segread(path).get_volume(segment_numbers=[segment], combine_segments=False)
        assert int(mask.voxels.sum()) == int((peer.array >= 0.5).sum())


def test_fractions_count_from_one_half_on(make, study, tmp_path):
    voxels = np.zeros(study.shape)
    voxels[3, 2, 1:5] = 0.2, 0.49, 0.51, 1.0
    path = make.write_seg(tmp_path / "seg", study.images, voxels[..., None], "FRACTIONAL", fractional_type="OCCUPANCY")
    assert places(read_seg_mask(path, 1, "lesion"), study.geometry) == [(3, 2, 3), (3, 2, 4)]
    seg = pydicom.dcmread(path)
    seg.MaximumFractionalValue = 0  # half of nothing would be every voxel
    seg.save_as(path)
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_seg_mask(path, 1, "lesion")


def test_compressed(make, study, tmp_path):
    voxels = region(study.shape, 2, 3, 7)
    options = {"fractional_type": "OCCUPANCY"}
    path = make.write_seg(tmp_path / "seg", study.images, voxels.astype(float)[..., None], "FRACTIONAL", **options)
    seg = pydicom.dcmread(path)
    seg.compress(RLELossless, encoding_plugin="pylibjpeg")
    seg.save_as(path)
    assert places(read_seg_mask(path, 1, "lesion"), study.geometry) == on(voxels)
    seg.PixelData = encapsulate([b"\x01\0\0\0" + bytes(70)] * int(seg.NumberOfFrames))
    seg.save_as(path)
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*damaged"):
        read_seg_mask(path, 1, "lesion")


def test_a_compressed_frame_of_another_size_is_not_decoded(make, study, tmp_path):
    voxels = region(study.shape, 2, 3).astype(float)[..., None]
    path = make.write_seg(tmp_path / "seg", study.images, voxels, "FRACTIONAL", fractional_type="OCCUPANCY")
    seg = pydicom.dcmread(path)
    seg.compress(JPEGLSLossless)
    assert seg.NumberOfFrames == 2
    frames = [bytearray(frame) for frame in generate_frames(seg.PixelData, number_of_frames=2)]
    start = frames[1].index(b"\xff\xf7")
    frames[1][start + 5 : start + 9] = b"\xff\xff\xff\xff"  # rows and columns
    seg.PixelData = encapsulate([bytes(frame) for frame in frames])
    seg.save_as(path)
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*damaged"):
        read_seg_mask(path, 1, "lesion")


def test_label_map(make, study, tmp_path):
    voxels = region(study.shape, 2, 3, 4)
    voxels[4, 7:, 5:] = 2
    path = make.write_seg(tmp_path / "seg", study.images, voxels, "LABELMAP")
    for segment in (1, 2):
        assert places(read_seg_mask(path, segment, "lesion"), study.geometry) == on(voxels == segment)
    with pytest.raises(MaskError, match=r"segment 3.*1, 2"):
        read_seg_mask(path, 3, "lesion")


def edited(path, **tags):
    """Write a SEG again with other measures; None removes one."""
    seg = pydicom.dcmread(path)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    for tag, value in tags.items():
        if value is None:
            del measures[tag]
        else:
            setattr(measures, tag, value)
    seg.save_as(path)
    return path


@pytest.mark.parametrize(
    ("tags", "height_mm"),
    [
        ({}, 5.0),
        ({"SpacingBetweenSlices": None, "SliceThickness": 3.0}, 3.0),
        ({"SpacingBetweenSlices": 1.0}, 1.0),
        ({"SpacingBetweenSlices": None, "SliceThickness": None}, None),
    ],
)
def test_a_single_slice_is_as_thick_as_those_of_the_image(make, study, tmp_path, tags, height_mm):
    voxels = region(study.shape, 4)
    path = edited(make.write_seg(tmp_path / "seg", study.images, voxels), **tags)
    mask = read_seg_mask(path, 1, "lesion", study.geometry)
    assert places(mask, study.geometry) == on(voxels)
    assert fits(mask, study.geometry)
    assert mask.volume_ml == pytest.approx(voxels.sum() * 2.0 * 1.5 * 5.0 / 1000)
    if height_mm is None:
        with pytest.raises(MaskError, match="one frame without a slice spacing"):
            read_seg_mask(path, 1, "lesion")
    else:  # by itself, what the file says
        assert read_seg_mask(path, 1, "lesion").geometry.slice_spacing_mm == pytest.approx(height_mm)


def test_slices_far_apart_are_as_thick_as_those_of_the_image(make, study, tmp_path):
    """Their distance is no thickness, and SpacingBetweenSlices is not to be trusted."""
    voxels = region(study.shape, 1, 6, 11)
    path = edited(make.write_seg(tmp_path / "seg", study.images, voxels), SpacingBetweenSlices=1.0)
    mask = read_seg_mask(path, 1, "lesion", study.geometry)
    assert places(mask, study.geometry) == on(voxels)
    assert mask.volume_ml == pytest.approx(voxels.sum() * 2.0 * 1.5 * 5.0 / 1000)
    check_mask(mask, study.geometry, "lesion")


def test_two_slices_of_another_image_do_not_fit(make, study, tmp_path):
    """Slices 10 mm apart are no neighbours on 4 mm slices, and no fifth part of a voxel is forgiven."""
    path = make.write_seg(tmp_path / "seg", study.images, region(study.shape, 1, 3))
    affine = study.geometry.affine.copy()
    affine[:3, 2] *= 4 / 5
    finer = Geometry(affine, study.geometry.shape)
    assert not fits(read_seg_mask(path, 1, "lesion", finer), finer)


def test_frames_off_the_grid_or_twice_in_one_place_are_refused(make, study, tmp_path):
    path = make.write_seg(tmp_path / "seg", study.images, region(study.shape, 2, 3, 4))
    for shift in ([0, 0, 2.0], [0.9, 0, 0]):
        seg = pydicom.dcmread(path)
        plane = seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
        plane.ImagePositionPatient = [
            float(f"{a + b:.6f}") for a, b in zip(plane.ImagePositionPatient, shift, strict=True)
        ]
        seg.save_as(tmp_path / "shifted")
        with pytest.raises(MaskError, match=r"E_MASK_FILE.*one regular grid"):
            read_seg_mask(tmp_path / "shifted", 1, "lesion", study.geometry)
    seg = pydicom.dcmread(path)
    groups = seg.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = groups[0].PlanePositionSequence
    seg.save_as(tmp_path / "twice")
    with pytest.raises(MaskError, match=r"E_MASK_FILE.*one regular grid"):
        read_seg_mask(tmp_path / "twice", 1, "lesion")


def test_empty_damaged_and_oversized_files_are_refused(make, study, tmp_path, monkeypatch):
    path = make.write_seg(tmp_path / "seg", study.images, region(study.shape, 2, 3))
    seg = pydicom.dcmread(path)
    for tag, message in (("PerFrameFunctionalGroupsSequence", "damaged"), ("PixelData", "damaged")):
        broken = deepcopy(seg)
        del broken[tag]
        broken.save_as(tmp_path / "broken")
        with pytest.raises(MaskError, match=f"E_MASK_FILE.*{message}"):
            read_seg_mask(tmp_path / "broken", 1, "lesion")
    blank = deepcopy(seg)
    blank.PixelData = bytes(len(seg.PixelData))
    blank.save_as(tmp_path / "blank")
    with pytest.raises(MaskError, match="E_MASK_EMPTY"):
        read_seg_mask(tmp_path / "blank", 1, "lesion")
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_seg_mask(study.files[0].path, 1, "lesion")
    monkeypatch.setattr("mpmri_monai.volumes.seg.MAX_SEG_VOXELS", 100)
    with pytest.raises(MaskError, match="E_LIMIT"):
        read_seg_mask(path, 1, "lesion")


def test_frames_kilometres_apart_make_no_grid(make, study, tmp_path):
    seg = pydicom.dcmread(make.write_seg(tmp_path / "seg", study.images, region(study.shape, 2, 3, 4)))
    plane = seg.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0]
    positions = [g.PlanePositionSequence[0].ImagePositionPatient for g in seg.PerFrameFunctionalGroupsSequence]
    step = np.array(positions[1], float) - np.array(positions[0], float)
    plane.ImagePositionPatient = [float(f"{value:.12g}") for value in np.array(positions[0], float) + 2**25 * step]
    seg.save_as(tmp_path / "seg")
    with pytest.raises(MaskError, match="E_LIMIT"):
        read_seg_mask(tmp_path / "seg", 1, "lesion")


def test_deflated_files_are_not_unpacked(make, study, tmp_path):
    path = make.write_seg(tmp_path / "seg", study.images, region(study.shape, 2, 3))
    seg = pydicom.dcmread(path)
    seg.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    seg.save_as(path)
    with pytest.raises(MaskError, match=r"E_LIMIT.*deflated"):
        read_seg_mask(path, 1, "lesion")


def element(group, number, kind, value):
    return struct.pack("<HH2sH", group, number, kind, len(value)) + value


@pytest.mark.parametrize("levels", [50, 5000])
def test_nested_sequences_do_not_end_in_a_traceback(tmp_path, levels):
    """Lengths are given, so that pydicom does not look inside until it is asked to."""
    inner = b""
    for _ in range(levels):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
        inner = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, len(item)) + item
    kind = b"1.2.840.10008.5.1.4.1.1.66.4"
    meta = element(2, 2, b"UI", kind) + element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")
    meta = element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta
    (tmp_path / "nested").write_bytes(bytes(128) + b"DICM" + meta + element(8, 0x16, b"UI", kind) + inner)
    stack = Stack(np.zeros((2, 2, 2)), np.ones(2), np.zeros(2), Geometry(np.eye(4), (2, 2, 2)))
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        read_region(MaskRegion(tmp_path / "nested", "segment", 1), {"T2": stack}, "lesion")
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        mask_regions(tmp_path / "nested")


def test_frames_without_references_find_their_image_whatever_comes_first(make, study, tmp_path):
    """Frames on slices 2, 4 and 7: not every smallest gap is one slice, and the first image has other slices."""
    path = make.write_seg(tmp_path / "seg", study.images, region(study.shape, 2, 4, 7))
    seg = pydicom.dcmread(path)
    del seg.ReferencedSeriesSequence
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    seg.save_as(path)
    affine = study.geometry.affine @ np.diag([1, 1, 1.7, 1])
    grids = {"T2": Geometry(affine, (7, 9, 7)), "S0": study.geometry}
    stacks = {
        name: Stack(np.zeros(grid.shape[::-1], np.uint8), np.ones(count), np.zeros(count), grid)
        for name, grid in grids.items()
        for count in [grid.shape[2]]
    }
    (one,) = mask_regions(path)
    mask = read_region(one, stacks, "lesion")
    assert mask.drawn_on == "S0"
    assert places(mask, study.geometry) == on(region(study.shape, 2, 4, 7))
    with pytest.raises(MaskError, match=r"E_MASK_GRID.*put S0 into drawn_on"):
        read_region(one, stacks, "lesion", "T2")
