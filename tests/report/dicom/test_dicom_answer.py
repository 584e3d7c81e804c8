"""The objects as a whole: whose they are, what they are called, and that pixels and characters survive."""

import json
import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from PIL import Image

from mpmri_monai.errors import CatalogueError, ConfigError, MaskError, OutputError
from mpmri_monai.report.dicom_answer import RegionOnSeries, write_dicom_answer
from mpmri_monai.volumes import Geometry, Mask

PATIENT_AND_STUDY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
)  # fmt: skip


def write(folder, answered, **more):
    return write_dicom_answer(folder, answered.result, answered.regions, answered.files, **more)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.arange(60 * 80 * 3, dtype=np.uint32).reshape(60, 80, 3).astype(np.uint8)).save(path)
    return path


def test_objects_belong_to_the_patients_study_in_series_of_their_own(answered, picture, tmp_path):
    paths = write(tmp_path / "out", answered, picture=picture)
    assert [path.name for path in paths] == ["regions-1.dcm", "answer.dcm", "report-1.dcm", "report-2.dcm"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)
    source = pydicom.dcmread(answered.files[0])
    objects = [pydicom.dcmread(path) for path in paths]
    for one in objects:
        for name in PATIENT_AND_STUDY:
            assert str(one.get(name) or "") == str(source.get(name) or ""), name
        assert one.SeriesInstanceUID != source.SeriesInstanceUID
        assert "research use only" in one.SeriesDescription
        assert one.preamble == b"\0" * 128
    assert len({one.SeriesInstanceUID for one in objects}) == 3
    assert len({one.SOPInstanceUID for one in objects}) == 4


def test_every_object_says_who_issued_the_patients_number(make, picture, tmp_path):
    """A PACS of several hospitals takes the same number of another issuer for another patient."""
    from faults.builder import volume

    whose = {"PatientID": "4711", "IssuerOfPatientID": "HOSPITAL_A", "StudyDescription": "MR", "PatientAge": "070Y"}
    series = make.stacked(make.written(tmp_path / "study", volume(**whose))[0])
    regions = {"L1": series.region(make.ellipsoid(series.shape, (3, 6, 5), 2))}
    paths = write_dicom_answer(tmp_path / "out", make.result(make.lesion("L1")), regions, series.files, picture)
    for path in paths:
        one = pydicom.dcmread(path)
        assert {name: one.get(name) for name in whose} == whose, path.name


@pytest.mark.parametrize(
    ("characters", "name", "part"),
    [
        ("GB18030", "Wang^XiaoDong=王^小东", "小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "太郎"),
        ("ISO_IR 100", "Müller^Jörg", "Jörg"),
    ],
)
def test_a_name_in_any_character_set_stays_the_same(make, tmp_path, characters, name, part):
    """As hospitals in China, Japan and Germany write them; the objects are in Unicode."""
    from faults.builder import volume

    found = volume(SpecificCharacterSet=characters, PatientName=name, StudyDescription=part)
    series = make.stacked(make.written(tmp_path / "study", found)[0])
    regions = {"L1": series.region(make.ellipsoid(series.shape, (3, 6, 5), 2))}
    paths = write_dicom_answer(tmp_path / "out", make.result(make.lesion("L1")), regions, series.files)
    for path in paths:
        one = pydicom.dcmread(path)
        assert one.SpecificCharacterSet == "ISO_IR 192"
        assert str(one.PatientName) == name
        assert part.encode() in path.read_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PatientSex", "WEIBLICH"), ("PatientBirthDate", "1950"), ("StudyTime", "9:30"), ("StudyDate", "2024-1")],
)
def test_an_attribute_that_no_object_may_repeat_is_named_and_not_shown(make, tmp_path, name, value):
    from faults.builder import volume

    series = make.stacked(make.written(tmp_path / "study", volume(**{name: value}))[0])
    with pytest.raises(CatalogueError, match=f"whose {name} DICOM does not allow") as caught:
        write_dicom_answer(tmp_path / "out", make.result(make.lesion("L1")), {}, series.files)
    assert value not in str(caught.value)


def test_captures_hold_the_text_and_the_picture(answered, picture, tmp_path):
    *_, text, shown = map(pydicom.dcmread, write(tmp_path / "out", answered, picture=picture))
    for capture in (text, shown):
        assert capture.SOPClassUID.name == "Secondary Capture Image Storage"
        assert (capture.PhotometricInterpretation, capture.SamplesPerPixel) == ("RGB", 3)
        assert "Research use only" in capture.ImageComments
    np.testing.assert_array_equal(shown.pixel_array, np.asarray(Image.open(picture)))
    assert len(np.unique(text.pixel_array.reshape(-1, 3), axis=0)) > 2


def test_long_answers_go_on_to_further_pages(make, answered, tmp_path):
    lesions = [make.lesion(f"L{k}", warnings=["a warning"] * 5) for k in range(1, 30)]
    paths = write_dicom_answer(tmp_path / "out", make.result(*lesions), {}, answered.files)
    assert [path.name for path in paths] == ["answer.dcm", *(f"report-{k}.dcm" for k in range(1, len(paths)))]
    assert len(paths) > 3


def test_a_study_without_lesions_has_an_answer_too(make, answered, tmp_path):
    assert len(write_dicom_answer(tmp_path / "out", make.result(), {}, answered.files)) == 2


def test_a_repeat_replaces_the_objects_of_the_earlier_answer(make, answered, picture, tmp_path):
    write(tmp_path / "out", answered, picture=picture)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    paths = write_dicom_answer(tmp_path / "out", make.result(make.lesion("L1")), {}, answered.files)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in paths} | {"notes.txt"}


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="no dsrdump: install dcmtk")
def test_dcmtk_reads_the_report(answered, tmp_path):
    paths = write(tmp_path / "out", answered)
    done = subprocess.run(["dsrdump", paths[1]], capture_output=True, text=True, check=True, timeout=60)
    assert not re.search("^[EF]:", done.stderr, re.MULTILINE)
    assert "Comprehensive 3D SR Document" in done.stdout
    assert "UNVERIFIED" in done.stdout and "PRELIMINARY" in done.stdout
    assert 'Probability of poorly (research use only)")="0.65"' in done.stdout
    assert '(61026006,SCT,"Grade 3: poorly differentiated")' in done.stdout


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="no dcmdump: install dcmtk")
def test_dcmtk_reads_every_object(answered, picture, tmp_path):
    for path in write(tmp_path / "out", answered, picture=picture):
        done = subprocess.run(["dcmdump", "-q", path], capture_output=True, text=True, check=True, timeout=60)
        assert not re.search("^[EF]:", done.stderr, re.MULTILINE)


def test_identifiers_lie_in_no_error(answered, planted, tmp_path):
    """A file that is not an image, images of two studies, a region of unknown images, a picture that is none."""
    (tmp_path / "text").write_text("ACC-4711")
    moved = pydicom.dcmread(answered.files[0])
    moved.StudyInstanceUID = "2.25.987654321"
    moved.save_as(tmp_path / "moved")
    no_uid = pydicom.dcmread(answered.files[0])
    del no_uid.SeriesInstanceUID
    no_uid.save_as(tmp_path / "no_uid")
    attempts = [
        (CatalogueError, "E_FILE", {"source": [tmp_path / "text"]}),
        (CatalogueError, "E_FILE", {"source": [tmp_path / "no_uid"]}),
        (CatalogueError, "E_DICOM_OUT", {"source": [*answered.files, tmp_path / "moved"]}),
        (CatalogueError, "E_DICOM_OUT", {"source": []}),
        (MaskError, "E_MASK_GRID", {"source": answered.files[1:]}),
        (MaskError, "E_MASK_FILE", {"regions": {"L9": answered.regions["L1"]}}),
        (ConfigError, "E_FILE", {"picture": tmp_path / "text"}),
    ]
    known = {"result": answered.result, "regions": answered.regions, "source": answered.files}
    for kind, code, options in attempts:
        with pytest.raises(kind) as caught:
            write_dicom_answer(tmp_path / "out", **(known | options))
        assert caught.value.code == code
        assert not any(value in str(caught.value) for value in (*planted.values(), "2.25."))
    assert not (tmp_path / "out").exists()


def test_images_without_geometry_are_refused(answered, tmp_path):
    for path in answered.files:
        image = pydicom.dcmread(path)
        del image.PixelSpacing
        image.save_as(path)
    with pytest.raises(CatalogueError, match="E_NOGEOM"):
        write(tmp_path / "out", answered)


def test_a_place_that_cannot_be_written_is_named(answered, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        write(tmp_path / "out", answered)


def test_a_region_needs_voxels_and_an_image_for_each_slice():
    geometry = Geometry(np.eye(4), (4, 3, 2))
    empty, full = (Mask(np.full((2, 3, 4), value), geometry) for value in (False, True))
    for mask, instances in ((empty, ("a", "b")), (full, ("a",)), (full, ())):
        with pytest.raises(MaskError, match="E_MASK_GRID"):
            RegionOnSeries(mask, instances)


def test_the_answer_is_read_as_it_is_written(answered, tmp_path):
    """The content of result.json after a round trip through the file gives the same objects."""
    answered.result = json.loads(json.dumps(answered.result))
    write(tmp_path / "out", answered)
