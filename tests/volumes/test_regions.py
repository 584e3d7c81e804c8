import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from mpmri_monai.catalogue import scan
from mpmri_monai.errors import MaskError
from mpmri_monai.volumes import Geometry, MaskRegion, Stack, mask_regions, read_dicom, read_region

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
LPS = np.array([-1.0, -1.0, 1.0])
SHAPE = (6, 9, 8)


@pytest.fixture
def study(make, tmp_path):
    """Two oblique series on one grid (S0, S3) and one on another (T2), with the data sets of S3."""
    frame = make.rotation(np.random.default_rng(3))
    stacks, images = {}, {}
    for number, (name, spacing) in enumerate({"T2": (2, 2, 7), "S0": (2, 1.5, 5), "S3": (2, 1.5, 5)}.items()):
        stored = np.random.default_rng(number).integers(0, 999, size=SHAPE).astype(np.uint16)
        folder = tmp_path / name
        written = make.write_volume(folder, stored, frame, spacing, (10, 20, -30))
        for item, path in zip(written, sorted(folder.iterdir()), strict=True):
            assert path.exists() and item.SOPInstanceUID
        for path in folder.iterdir():
            item = pydicom.dcmread(path)
            item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = f"{item.SOPInstanceUID}.{number}"
            item.SeriesInstanceUID = f"2.25.2.{number}"
            item.save_as(path)
        (volume,) = scan(folder, "none").volumes
        stacks[name] = read_dicom(volume)
        images[name] = [pydicom.dcmread(header.path) for header in volume.files]
    return stacks, images


def lesion():
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[2:5, 3:6, 1:5] = 1
    return voxels


def square(geometry, k, low=1, high=5):
    corners = [[low, low, k], [high, low, k], [high, high, k], [low, high, k]]
    return geometry.to_mm(np.array(corners, float)) * LPS


def anonymous(stacks):
    """The same stacks with references that nothing points to."""
    return {name: replace(stack, instances=()) for name, stack in stacks.items()}


def save(path, voxels, geometry):
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), geometry.affine), path)
    return path


def test_regions_of_a_label_map(tmp_path):
    voxels = lesion()
    voxels[0, 0, 0] = 7
    path = save(tmp_path / "PLANTED.nii.gz", voxels, Geometry(np.eye(4), SHAPE[::-1]))
    assert mask_regions(path) == (MaskRegion(path, "value", 1), MaskRegion(path, "value", 7))
    with pytest.raises(MaskError, match="E_MASK_EMPTY") as raised:
        mask_regions(save(path, voxels * 0, Geometry(np.eye(4), SHAPE[::-1])))
    assert "PLANTED" not in str(raised.value)
    for bad in (np.arange(voxels.size).reshape(SHAPE).astype(np.int16), -voxels.astype(np.int16)):
        with pytest.raises(MaskError, match=r"E_MASK_FILE.*values from"):
            mask_regions(save(path, bad, Geometry(np.eye(4), SHAPE[::-1])))


def test_regions_of_a_seg_by_number_and_code(make, study, tmp_path):
    _, images = study
    labels = {1: (codes.SCT.AnatomicalStructure, codes.SCT.Liver)}
    voxels = np.stack([lesion()] * 2, axis=-1)
    path = make.write_seg(tmp_path / "seg", images["S3"], voxels, labels=labels)
    assert mask_regions(path) == (
        MaskRegion(path, "segment", 1, "SCT:10200004", anatomy=True),
        MaskRegion(path, "segment", 2, "SCT:52988006"),
    )
    seg = pydicom.dcmread(path)
    seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeValue = "PLANTED^NAME"
    seg.save_as(path)
    assert "PLANTED" not in repr(mask_regions(path))


def test_regions_of_an_rtstruct_by_number(make, study, tmp_path):
    geometry = study[0]["S3"].geometry
    path = make.write_rtstruct(tmp_path / "rt", {5: [square(geometry, 2)], 2: [square(geometry, 3)], 9: []})
    assert mask_regions(path) == (MaskRegion(path, "roi", 2), MaskRegion(path, "roi", 5))
    structure = pydicom.dcmread(path)
    structure.RTROIObservationsSequence = [pydicom.Dataset(), pydicom.Dataset()]
    for item, number, kind in zip(structure.RTROIObservationsSequence, (2, 5), ("ORGAN", "PLANTED"), strict=True):
        item.ReferencedROINumber, item.RTROIInterpretedType = number, kind
    structure.save_as(path)
    assert mask_regions(path) == (MaskRegion(path, "roi", 2, "ORGAN", anatomy=True), MaskRegion(path, "roi", 5))
    with pytest.raises(MaskError, match=r"E_MASK_EMPTY.*at least one region"):
        mask_regions(make.write_rtstruct(tmp_path / "rt", {9: []}))
    with pytest.raises(MaskError, match="numbered from 1"):
        mask_regions(make.write_rtstruct(tmp_path / "rt", {0: [square(geometry, 2)]}))


def test_one_file_a_lesion(study, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    with pytest.raises(MaskError, match="an empty folder"):
        mask_regions(folder)
    (folder / ".hidden").write_text("nothing")
    paths = [save(folder / name, lesion(), study[0]["S3"].geometry) for name in ("b.nii", "a.nii.gz")]
    assert mask_regions(folder) == (MaskRegion(paths[1], "value", 1), MaskRegion(paths[0], "value", 1))
    (folder / "notes.txt").write_text("PLANTED")
    with pytest.raises(MaskError, match="E_MASK_FILE"):
        mask_regions(folder)


def test_a_seg_says_what_it_was_drawn_on(make, study, tmp_path):
    """S0 and S3 share the grid; only the references tell them apart."""
    stacks, images = study
    region = MaskRegion(make.write_seg(tmp_path / "seg", images["S3"], lesion()), "segment", 1)
    mask = read_region(region, stacks, "L1")
    assert mask.drawn_on == "S3" and mask.voxels.sum() == 36
    assert read_region(region, stacks, "L1", drawn_on="S3").drawn_on == "S3"
    with pytest.raises(MaskError, match=r"E_MASK_SOURCE.*images of S0.*found one that refers to images of S3"):
        read_region(region, stacks, "L1", drawn_on="S0")
    assert read_region(region, anonymous(stacks), "L1").drawn_on == "S0"  # by its grid
    assert read_region(region, anonymous(stacks), "L1", drawn_on="S3").drawn_on == "S3"


def test_without_references_the_frame_of_reference_has_to_agree(make, study, tmp_path):
    stacks, images = study
    region = MaskRegion(make.write_seg(tmp_path / "seg", images["S3"], lesion()), "segment", 1)
    other = {name: replace(stack, frame_of_reference="2.25.77") for name, stack in stacks.items()}
    assert read_region(region, other, "L1").drawn_on == "S3"  # it names the images, so there is nothing to doubt
    for drawn_on in (None, "S3"):
        with pytest.raises(MaskError, match="E_MASK_FRAME") as raised:
            read_region(region, anonymous(other), "L1", drawn_on)
        assert "2.25" not in str(raised.value)


def test_contours_are_filled_on_the_image_that_they_refer_to(make, study, tmp_path):
    stacks, _ = study
    geometry = stacks["T2"].geometry
    contours = [(square(geometry, k), {}, stacks["T2"].instances[k]) for k in (2, 3)]
    region = MaskRegion(make.write_rtstruct(tmp_path / "rt", {1: contours}), "roi", 1)
    mask = read_region(region, stacks, "L1")
    assert mask.drawn_on == "T2" and mask.voxels.sum() == 50
    assert mask.volume_ml == pytest.approx(50 * 2 * 2 * 7 / 1000)
    with pytest.raises(MaskError, match=r"E_MASK_SOURCE.*refers to images of T2"):
        read_region(region, stacks, "L1", drawn_on="S3")


def test_contours_that_refer_to_a_series_or_to_nothing(make, study, tmp_path):
    stacks, _ = study
    contours = {1: [square(stacks["S3"].geometry, k) for k in (2, 3)]}
    series = stacks["S3"].instances
    region = MaskRegion(make.write_rtstruct(tmp_path / "rt", contours, series=series), "roi", 1)
    assert read_region(region, stacks, "L1").drawn_on == "S3"
    both = stacks["S3"].instances + stacks["T2"].instances
    for references, words in ((), "none"), (both, "several"):
        region = MaskRegion(make.write_rtstruct(tmp_path / "rt", contours, series=references), "roi", 1)
        with pytest.raises(MaskError, match=f"E_MASK_SOURCE.*{words}.*name the sequence in drawn_on"):
            read_region(region, stacks, "L1")
        assert read_region(region, stacks, "L1", drawn_on="S3").voxels.sum() == 50
    phases = stacks["S0"].instances + stacks["S3"].instances
    region = MaskRegion(make.write_rtstruct(tmp_path / "rt", contours, series=phases), "roi", 1)
    assert read_region(region, stacks, "L1").drawn_on == "S0"  # on one grid it does not matter
    wrong = MaskRegion(make.write_rtstruct(tmp_path / "rt", contours, frame="2.25.77"), "roi", 1)
    with pytest.raises(MaskError, match="E_MASK_FRAME"):
        read_region(wrong, stacks, "L1", drawn_on="S3")


def test_a_region_refers_to_the_images_of_its_own_frame_of_reference(make, study, tmp_path):
    """One file with contours on two examinations that share no space."""
    stacks, _ = study
    contours = {1: [square(stacks["S3"].geometry, k) for k in (2, 3)]}
    path = make.write_rtstruct(tmp_path / "rt", contours, series=stacks["S3"].instances)
    other = make.write_rtstruct(tmp_path / "other", contours, "2.25.77", series=stacks["T2"].instances)
    structure = pydicom.dcmread(path)
    structure.ReferencedFrameOfReferenceSequence += pydicom.dcmread(other).ReferencedFrameOfReferenceSequence
    structure.save_as(path)
    region = MaskRegion(path, "roi", 1)
    assert read_region(region, stacks, "L1").drawn_on == "S3"
    with pytest.raises(MaskError, match=r"E_MASK_SOURCE.*refers to images of S3"):
        read_region(region, stacks, "L1", drawn_on="T2")


def test_frames_of_an_enhanced_file_are_told_apart(make, study, tmp_path):
    """Two phases in one file: only the frame numbers say which one the contours were drawn on."""
    stacks, _ = study
    enhanced = {
        "S0": replace(stacks["S0"], instances=tuple(f"2.25.66#{k}" for k in range(6))),
        "S3": replace(stacks["S3"], instances=tuple(f"2.25.66#{k}" for k in range(6, 12))),
    }
    contour = [(square(stacks["S3"].geometry, 2), {}, "2.25.66#8")]
    region = MaskRegion(make.write_rtstruct(tmp_path / "rt", {1: contour}), "roi", 1)
    assert read_region(region, enhanced, "L1").drawn_on == "S3"
    whole = MaskRegion(make.write_rtstruct(tmp_path / "rt", {1: contour[:]}, series=["2.25.66"]), "roi", 1)
    assert read_region(whole, enhanced, "L1").drawn_on == "S3"


def test_a_label_map_on_the_grid_of_another_sequence_says_which(study, tmp_path):
    stacks, _ = study
    region = MaskRegion(save(tmp_path / "mask.nii", lesion(), stacks["T2"].geometry), "value", 1)
    assert read_region(region, stacks, "L1").drawn_on == "T2"
    with pytest.raises(MaskError, match=r"E_MASK_OUT.*What to do: put T2 into drawn_on"):
        read_region(region, stacks, "L1", drawn_on="S3")
    del stacks["T2"]
    with pytest.raises(MaskError, match=r"E_MASK_OUT.*33% of its voxels outside"):
        read_region(region, stacks, "L1")
    affine = stacks["S0"].geometry.affine.copy()
    affine[:3, 3] += 40
    stacks["S0"] = replace(stacks["S0"], geometry=Geometry(affine, SHAPE[::-1]))
    with pytest.raises(MaskError, match=r"E_MASK_GRID.*8 x 9 x 6 voxels of 2.00 x 2.00 x 7.00 mm, like none of S0 S3"):
        read_region(region, stacks, "L1")
    with pytest.raises(MaskError, match=r"the sequence T2.*a study with S0 S3"):
        read_region(region, stacks, "L1", drawn_on="T2")


def test_real_seg_of_a_prostate():
    folder = DATA / "qin_prostate_001"
    if not folder.is_dir():
        pytest.skip("no qin_prostate_001: set MPMRI_TEST_DATA to the folder of real data")
    catalogue = scan(folder, "none")
    stacks = {"ADC": read_dicom(catalogue.volumes[0])}
    regions = mask_regions(catalogue.objects[0].path)
    assert [(region.number, region.code, region.anatomy) for region in regions] == [
        (1, "SRT:G-A460", False),
        (2, "SRT:T-D05E4", True),
        (3, "SRT:M-01100", False),
        (4, "SRT:T-9200B", True),
    ]
    masks = {region.number: read_region(region, stacks, "region") for region in regions}
    assert {mask.drawn_on for mask in masks.values()} == {"ADC"}
    assert masks[4].contains(masks[3].points_mm()).mean() > 0.95  # the lesion lies in the prostate
    assert isinstance(stacks["ADC"], Stack)


def test_contours_on_one_of_two_images_in_a_real_multi_frame_file(make, tmp_path):
    """Signal and field map of one Philips file share the grid; frame numbers tell which one was drawn on."""
    path = DATA / "enhanced_mr" / "Philips" / "IM_0027_fMAP.dcm"
    if not path.is_file():
        pytest.skip("no enhanced_mr: set MPMRI_TEST_DATA to the folder of real data")
    (tmp_path / "image").write_bytes(path.read_bytes())
    image = pydicom.dcmread(path, stop_before_pixels=True)
    stacks = {volume.id: read_dicom(volume) for volume in scan(tmp_path, "none").volumes}
    assert len(stacks) == 2
    for drawn_on, stack in stacks.items():
        contours = [(square(stack.geometry, k, 20, 30), {}, stack.instances[k]) for k in (3, 4)]
        written = make.write_rtstruct(tmp_path / "contours", {1: contours}, frame=stack.frame_of_reference)
        structure = pydicom.dcmread(written)
        structure.PatientID, structure.StudyInstanceUID = image.PatientID, image.StudyInstanceUID
        structure.save_as(written)
        (region,) = mask_regions(written)
        mask = read_region(region, stacks, "L1")
        assert mask.drawn_on == drawn_on and mask.voxels.sum() == 2 * 11 * 11
        (found,) = scan(tmp_path, "none").objects
        assert found.kind == "RTSTRUCT" and found.volume == drawn_on


def test_a_segment_that_refers_to_one_sequence_and_has_the_grid_of_another(make, study, tmp_path):
    """Neither can be put into drawn_on, so nobody is told to."""
    stacks, images = study
    path = make.write_seg(tmp_path / "seg", images["S3"], lesion())
    swapped = {
        "T2": replace(stacks["T2"], instances=stacks["S3"].instances),
        "S3": replace(stacks["S3"], instances=stacks["T2"].instances),
    }
    with pytest.raises(MaskError, match=r"E_MASK.*it refers to T2, but has the grid of S3: export it again"):
        read_region(MaskRegion(path, "segment", 1), swapped, "L1")
