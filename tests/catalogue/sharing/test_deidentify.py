import os
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    BasicTextSRStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)

from mpmri_monai.catalogue import scan
from mpmri_monai.catalogue.sharing.deidentify import deidentify
from mpmri_monai.volumes import read_dicom

DATA = Path(os.environ.get("MPMRI_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
REAL = (
    "qin_prostate_001",
    "enhanced_mr/Philips",
    "enhanced_mr/Siemens",
    pytest.param("prostatex_0218", marks=pytest.mark.slow),
    pytest.param("ge_mr750_multiphase", marks=pytest.mark.slow),
)


def read(folder):
    """Data sets of a folder by series and image number."""
    datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    return {(dataset.SeriesNumber, dataset.InstanceNumber): dataset for dataset in datasets}


def as_kind(dataset, sop_class, modality, series):
    """The image as an object of another kind."""
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.Modality, dataset.SeriesInstanceUID = modality, f"2.25.8{series}"
    return dataset


# -- what stays ------------------------------------------------------------------


def test_a_study_keeps_its_catalogue_and_its_voxels(copied, make):
    study, out, done = copied(make.liver())
    before, after = scan(study), scan(out)
    assert tuple(before.roles) == tuple(after.roles) == done.roles
    assert len(done.roles) == 9
    assert after.ok
    for role in before.roles:
        one, other = before.volume(before.roles[role]), after.volume(after.roles[role])
        assert one.id != other.id
        assert one.time_s == other.time_s
        np.testing.assert_array_equal(one.affine, other.affine)
        np.testing.assert_array_equal(read_dicom(one).stored, read_dicom(other).stored)


@pytest.mark.parametrize("name", REAL)
def test_real_studies_keep_their_pixels_byte_for_byte(tmp_path, name):
    study = DATA / name
    if not study.is_dir():
        pytest.skip("no real data here (MPMRI_TEST_DATA)")
    deidentify(study, tmp_path / "out", tmp_path / "key", protocol="none")
    originals = [pydicom.dcmread(path, force=True) for path in study.rglob("*") if path.is_file()]
    pixels = sorted(dataset.PixelData for dataset in originals if "PixelData" in dataset)
    assert sorted(pydicom.dcmread(path).PixelData for path in (tmp_path / "out").iterdir()) == pixels


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
def test_the_transfer_syntax_stays(copied, make, syntax):
    images = make.t2()
    for image in images:
        if syntax == RLELossless:
            image.compress(syntax)
        else:
            image.file_meta.TransferSyntaxUID = syntax
    study, out, _ = copied(images)
    originals, copies = read(study), read(out)
    for key, copy in copies.items():
        assert copy.file_meta.TransferSyntaxUID == syntax
        assert copy.PixelData == originals[key].PixelData
        np.testing.assert_array_equal(copy.pixel_array, originals[key].pixel_array)


def test_files_without_a_preamble_are_read(tmp_path, make):
    folder = tmp_path / "study"
    folder.mkdir()
    for number, image in enumerate(make.t2()):
        del image.file_meta
        pydicom.dcmwrite(folder / str(number), image, implicit_vr=True, little_endian=True)
    deidentify(folder, tmp_path / "out", tmp_path / "key", "P1")
    assert "T2" in scan(tmp_path / "out").roles


def test_an_archive_can_be_copied(tmp_path, make):
    folder = make.write(tmp_path / "study", make.t2())
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"Li Wei/{path.name}")
    done = deidentify(tmp_path / "study.zip", tmp_path / "out", tmp_path / "key", "P1")
    assert done.images == len(make.t2()) == len(list((tmp_path / "out").iterdir()))


# -- what is replaced ----------------------------------------------------------------


def test_files_say_that_they_are_deidentified_and_how(copied, make):
    _, out, done = copied(make.t2())
    for number, path in enumerate(sorted(out.iterdir()), start=1):
        assert path.name == f"{number:06}.dcm"
        assert path.read_bytes()[:128] == bytes(128)
        dataset = pydicom.dcmread(path)
        assert dataset.PatientName == dataset.PatientID == done.patient == "P001"
        assert dataset.PatientIdentityRemoved == "YES"
        assert "mpmri_monai" in dataset.DeidentificationMethod
        codes = {item.CodeValue for item in dataset.DeidentificationMethodCodeSequence}
        assert codes == {"113100", "113107", "113111"}
        assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
        assert dataset.PatientBirthDate == dataset.AccessionNumber == ""


def test_uids_are_replaced_and_keep_files_together(copied, make):
    study, out, _ = copied(make.liver())
    originals, copies = read(study), read(out)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        pairs = {(str(originals[key][keyword].value), str(copies[key][keyword].value)) for key in originals}
        assert not {old for old, _ in pairs} & {new for _, new in pairs}
        assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs})
    for copy in copies.values():
        assert copy.file_meta.MediaStorageSOPInstanceUID == copy.SOPInstanceUID


@pytest.mark.parametrize("code", ["P1", "P2", "P3"])
def test_one_offset_moves_dates_and_times_also_over_midnight(copied, make, code):
    start_s = 24 * 3600 - 50  # contrast starts before midnight, the portal phase comes after it
    images = make.dynamic(start_s=start_s)
    for image in images:
        image.AcquisitionDate = image.ContentDate = "20240103" if image.AcquisitionTime < "12" else "20240102"
        image.ContrastBolusAgent, image.ContrastBolusStartTime = "agent", make.clock(start_s)
    study, out, _ = copied(images, patient=code)
    before, after = scan(study), scan(out)
    assert [volume.time_s for volume in before.volumes] == [volume.time_s for volume in after.volumes]
    assert after.ok == before.ok
    originals, copies = read(study), read(out)
    assert {original.AcquisitionDate for original in originals.values()} == {"20240102", "20240103"}
    shifts = {moment(copies[key]) - moment(original) for key, original in originals.items()}
    assert len(shifts) == 1
    assert shifts.pop() < timedelta(0)


def moment(dataset):
    return datetime.strptime(dataset.AcquisitionDate + dataset.AcquisitionTime, "%Y%m%d%H%M%S.%f")


def test_later_studies_of_a_patient_keep_their_distance(copied, make):
    first, later = make.t2(), make.t2()
    for image in later:
        image.AcquisitionDate, image.StudyInstanceUID = "20240109", "2.25.3"
    for image in first:
        image.AcquisitionDate = "20240102"
    folders = [copied(images, name)[1] for images, name in ((first, "first"), (later, "later"))]
    copies = [read(folder)[3, 1] for folder in folders]
    assert moment(copies[1]) - moment(copies[0]) == timedelta(days=7)
    assert copies[0].FrameOfReferenceUID == copies[1].FrameOfReferenceUID


def test_the_code_is_made_from_the_key_unless_given(tmp_path, make):
    study = make.write(tmp_path / "study", make.t2())
    codes = [
        deidentify(study, tmp_path / name, tmp_path / key).patient for name, key in (("1", "a"), ("2", "a"), ("3", "b"))
    ]
    assert codes[0] == codes[1] != codes[2]
    assert "SECRET" not in codes[0]


def test_free_text_is_left_out_wherever_it_stands(copied, make):
    images = make.t2()
    for image in images:
        image.StudyDescription = image.SeriesDescription = "Wang liver"
        image.ScanningSequence, image.Manufacturer = "SE", "GE MEDICAL Wang"
        image.ImageType = ["ORIGINAL", "PRIMARY", "WANG"]
        image.EchoTime = 85
        image.ContrastBolusAgent = "Primovist for Wang"
        image.add_new(0x00181081, "IS", "60")
        block = image.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x39, "IS", [800, 0, 0, 0])
        block.add_new(0x01, "LO", "Wang")
        image.private_block(0x0099, "Wang", create=True).add_new(1, "LO", "Wang")
        image.ReferencedImageSequence = [Dataset()]
        image.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence = [Dataset()]
        code = image.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence[0]
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "121326", "DCM", "Wang"
    _, out, _ = copied(images)
    for path in out.iterdir():
        assert b"WANG" not in path.read_bytes().upper()
        dataset = pydicom.dcmread(path)
        assert dataset.Manufacturer == "GE"
        assert dataset.ContrastBolusAgent == "AGENT"
        assert dataset.ImageType == ["ORIGINAL", "PRIMARY", "OTHER1"]
        assert dataset[0x0043, 0x1039].value == [800, 0, 0, 0]
        assert dataset.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "121326"


def test_text_in_a_place_for_numbers_is_left_out(copied, make):
    images = make.t2()
    for image in images:
        image.add_new(0x00181060, "LO", "Wang")  # TriggerTime
        image.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0xA0, "UN", b"Wang Xiaodong ")
    _, out, _ = copied(images)
    for path in out.iterdir():
        assert b"Wang" not in path.read_bytes()


def test_nothing_travels_beside_the_pixels(copied, make):
    """Behind the last pixel, in pixels of a nested data set, in tables of offsets, and behind all pixels."""
    images = make.t2()
    for image in images:
        image.ReferencedImageSequence = [Dataset()]
        image.ReferencedImageSequence[0].add_new(0x7FE00010, "OW", b"Wang Xiaodong ")
        image.add_new(0x7FE00001, "OV", b"Wang  Xi")
        image.add_new(0xFFFCFFFC, "OB", b"Wang Xiaodong ")
        image.PixelData += b"Wang Xiaodong "
    _, out, _ = copied(images)
    for path in out.iterdir():
        assert b"Wang" not in path.read_bytes()
        assert len(pydicom.dcmread(path).PixelData) == 2 * 12 * 10


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize(("sign", "high"), [(0, 0), (1, 0xF000)])
def test_an_overlay_in_the_unused_bits_of_pixels_is_left_out(copied, make, syntax, sign, high):
    images, order = make.t2(), "<" if syntax.is_little_endian else ">"
    stored = np.arange(120, dtype=np.uint16) | 0x800  # negative, when the highest of 12 bits is a sign
    drawn = np.where(np.arange(120) % 7, 0, 0x9000).astype(np.uint16)
    for image in images:
        image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 11, sign
        image.file_meta.TransferSyntaxUID = syntax
        image.PixelData = (stored | drawn).astype(f"{order}u2").tobytes()
        image["PixelData"].VR = "OW"
    _, out, _ = copied(images)
    for path in out.iterdir():
        copy = np.frombuffer(pydicom.dcmread(path).PixelData, f"{order}u2")
        np.testing.assert_array_equal(copy, stored | high)


# -- what is left out ------------------------------------------------------------------


def test_screens_reports_and_burned_in_text_are_left_out_and_counted(copied, make):
    extra = [
        as_kind(make.image(50, 0), SecondaryCaptureImageStorage, "OT", 50),
        as_kind(make.image(51, 0), BasicTextSRStorage, "SR", 51),
        make.image(52, 0, BurnedInAnnotation="YES"),
        make.image(53, 0, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]),
        make.image(54, 0, ConversionType="WSD"),
        make.image(55, 0, ImageType=["DERIVED", "SECONDARY", "SCREEN_SAVE"]),
    ]
    _, out, done = copied([*make.liver(), *extra])
    assert dict(done.dropped) == {
        "a screen capture (SC)": 1,
        "a structured report (SR)": 1,
        "images with burned-in text or from a screen": 4,
    }
    assert done.images == len(make.liver()) == len(list(out.iterdir()))


# -- masks --------------------------------------------------------------------------------


def contours(images):
    """An RTSTRUCT with one region on each of the images."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = images[0].file_meta.TransferSyntaxUID
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.99"
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, getattr(images[0], keyword))
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.Modality = "2.25.98", 90, "RTSTRUCT"
    dataset.InstanceNumber = 1
    region = Dataset()
    region.ROINumber, region.ROIName, region.ReferencedFrameOfReferenceUID = 4, "Wang tumour", "2.25.5"
    dataset.StructureSetROISequence = [region]
    drawn = Dataset()
    drawn.ReferencedROINumber, drawn.ContourSequence = 4, []
    for image in images:
        x, y, z = image.ImagePositionPatient
        contour, reference = Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        contour.ContourImageSequence, contour.ContourGeometricType = [reference], "CLOSED_PLANAR"
        contour.NumberOfContourPoints = 3
        contour.ContourData = [x + 2, y + 2, z, x + 8, y + 2, z, x + 2, y + 9, z]
        drawn.ContourSequence.append(contour)
    dataset.ROIContourSequence = [drawn]
    return dataset


def test_contours_stay_on_their_images_and_lose_their_names(copied, make):
    study, out, done = copied([*make.liver(), contours(make.t2()[1:4])])
    before, after = scan(study), scan(out)
    assert done.objects == (("RTSTRUCT", 1),)
    assert after.objects[0].volume == after.roles["T2"]
    dataset = pydicom.dcmread(after.objects[0].path)
    assert dataset.StructureSetROISequence[0].ROIName == "ROI 4"
    from mpmri_monai.volumes.rtstruct import read_rtstruct_mask

    masks = [
        read_rtstruct_mask(catalogue.objects[0].path, 4, read_dicom(volume).geometry, "L1").voxels
        for catalogue in (before, after)
        for volume in [catalogue.volume(catalogue.roles["T2"])]
    ]
    assert masks[0].any()
    np.testing.assert_array_equal(*masks)


def test_segments_of_a_real_study_are_the_same(tmp_path):
    from mpmri_monai.volumes import read_seg_mask

    study = DATA / "qin_prostate_001"
    if not study.is_dir():
        pytest.skip("no real data here (MPMRI_TEST_DATA)")
    deidentify(study, tmp_path / "out", tmp_path / "key", protocol="none")
    before, after = scan(study, "none"), scan(tmp_path / "out", "none")
    for segment in (1, 2, 3, 4):
        one, other = (read_seg_mask(catalogue.objects[0].path, segment, "L1") for catalogue in (before, after))
        np.testing.assert_array_equal(one.voxels, other.voxels)
        np.testing.assert_allclose(one.geometry.affine, other.geometry.affine)
    assert pydicom.dcmread(after.objects[0].path).SegmentSequence[0].SegmentLabel == "Segment 1"
    assert after.objects[0].volume == after.volumes[0].id
