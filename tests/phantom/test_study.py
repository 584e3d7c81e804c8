from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest

from mpmri_monai.catalogue import scan as scan_study
from mpmri_monai.errors import OutputError
from mpmri_monai.phantom import presets
from mpmri_monai.phantom.masks import lesion_mask
from mpmri_monai.phantom.patients import Plan, draw_patient, plan
from mpmri_monai.phantom.scanner import draw_scan
from mpmri_monai.phantom.study import write_patient, write_study
from mpmri_monai.phantom.truth import read_truth
from mpmri_monai.sequences import DCE


def written(root: Path, preset, site: int = 0, number: int = 0, grades=("well", "poorly"), seg_every: int = 1000):
    patient = draw_patient(preset, Plan(number, preset.sites[site], grades), seed=7)
    return patient, write_patient(root, patient, seg_every)


@pytest.fixture(scope="module")
def study(tmp_path_factory, quick):
    """The folder of one patient's study."""
    root = tmp_path_factory.mktemp("study")
    patient, _ = written(root, quick)
    return root / patient.name


def images(folder: Path) -> list[pydicom.Dataset]:
    found = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    return [one for one in found if one.Modality == "MR"]


@pytest.mark.parametrize("site", [0, 1, 2], ids=["GE", "Siemens", "Philips"])
@pytest.mark.parametrize("number", [0, 1])
def test_the_catalogue_finds_every_sequence_with_its_voxels(tmp_path, sites, site, number):
    patient, _ = written(tmp_path, sites, site, number)
    catalogue = scan_study(tmp_path / patient.name / "dicom")
    assert set(catalogue.roles) == set(patient.site.sequences)
    examination = draw_scan(patient)
    for name, identifier in catalogue.roles.items():
        record, grid = catalogue.volume(identifier), examination.grids[name]
        stored = examination.acquire(name)
        found = {}
        for file in record.files:
            dataset = pydicom.dcmread(file.path)
            index = np.linalg.inv(grid.affine) @ [*(np.array(dataset.ImagePositionPatient) * (-1, -1, 1)), 1]
            assert index == pytest.approx([0, 0, round(index[2]), 1], abs=1e-3)
            found[round(index[2])] = dataset.pixel_array
        assert np.array_equal(np.stack([found[k] for k in range(len(stored))]), stored), name


def test_one_or_six_dynamic_series(tmp_path, quick):
    for number, expected in ((0, 1), (1, 6)):
        patient, _ = written(tmp_path, quick, number=number)
        dynamic = {
            one.SeriesInstanceUID
            for one in images(tmp_path / patient.name / "dicom")
            if one.MRAcquisitionType == "3D" and one.ImageType[0] == "ORIGINAL"
        }
        assert len(dynamic) == expected


def test_dual_echo_is_one_series_with_out_of_phase_first(study, quick):
    dual = [one for one in images(study / "dicom") if one.RepetitionTime == quick.sites[0].dual.tr_ms]
    assert len({one.SeriesInstanceUID for one in dual}) == 1
    assert {(float(one.EchoTime), int(one.EchoNumbers)) for one in dual} == {(1.15, 1), (2.3, 2)}


def test_file_names_say_nothing_about_order(study):
    numbers = [(int(one.SeriesNumber), int(one.InstanceNumber)) for one in images(study / "dicom")]
    rank = np.argsort(np.argsort([a * 1000 + b for a, b in numbers]))
    assert abs(np.corrcoef(rank, np.arange(len(rank)))[0, 1]) < 0.3


def test_identifiers_are_unique_valid_and_deterministic(tmp_path, quick):
    _, first = written(tmp_path / "a", quick)
    _, second = written(tmp_path / "b", quick)
    assert first.content == second.content
    files = {
        path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*") if path.is_file()
    }
    again = {
        path.relative_to(tmp_path / "b"): path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file()
    }
    assert files == again
    uids = [one.SOPInstanceUID for one in images(tmp_path / "a" / "P001" / "dicom")]
    assert len(set(uids)) == len(uids)
    assert all(one.is_valid for one in uids)


def test_a_segmentation_written_later_is_the_same_file(tmp_path, brain):
    files = []
    for folder in ("a", "b"):
        patient, _ = written(tmp_path / folder, brain, grades=("healthy",), seg_every=1)
        files.append((tmp_path / folder / patient.name / "lesions.dcm").read_bytes())
    assert files[0] == files[1]


def test_content_hash_changes_with_a_voxel(tmp_path, quick):
    noisier = replace(quick, sites=(replace(quick.sites[0], t2=replace(quick.sites[0].t2, noise=0.0401)),))
    assert written(tmp_path / "a", quick)[1].content != written(tmp_path / "b", noisier)[1].content


@pytest.mark.parametrize("as_seg", [False, True], ids=["NIfTI", "SEG"])
def test_masks_are_the_lesions_on_the_portal_phase(tmp_path, quick, as_seg):
    patient, result = written(tmp_path, quick, seg_every=1 if as_seg else 1000)
    examination = draw_scan(patient)
    truth = lesion_mask(examination)
    assert set(np.unique(truth)) == {0, 1, 2}
    path = tmp_path / result.labels[0]["mask"]
    if not as_seg:
        image = nib.load(path)
        assert image.affine == pytest.approx(examination.grids["S3"].affine, abs=1e-4)
        assert np.array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), truth)
        return
    segmentation = hd.seg.segread(path)
    for row in result.labels:
        assert row["value"] == ""
        volume = segmentation.get_volume(segment_numbers=[row["segment"]])
        assert int(volume.array.sum()) == int((truth == row["segment"]).sum())
    series = segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert series in {one.SeriesInstanceUID for one in images(tmp_path / patient.name / "dicom")}


def test_the_liver_mask_holds_the_lesions(study):
    liver = np.asarray(nib.load(study / "liver.nii.gz").dataobj)
    lesions = np.asarray(nib.load(study / "lesions.nii.gz").dataobj)
    assert liver.sum() > 5 * (lesions > 0).sum() > 0
    assert (liver[lesions > 0] == 1).mean() > 0.97


def test_clutter_is_there(study, quick):
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in (study / "dicom").iterdir()]
    assert sum(one.Modality == "SR" for one in found) == 1
    assert sum(one.get("ImageType", [""])[0] == "DERIVED" for one in found) == quick.sites[0].dce.slices
    localizer = [one for one in found if one.SeriesNumber == 1]
    assert len({tuple(one.ImageOrientationPatient) for one in localizer}) == 3


def test_clocks_follow_the_protocol(tmp_path, quick):
    patient, _ = written(tmp_path, quick, number=1)  # six series
    catalogue = scan_study(tmp_path / patient.name / "dicom")
    times = [catalogue.volume(catalogue.roles[name]).time_s for name in DCE]
    assert times == sorted(times)
    assert np.subtract(times[1:], times[1]) == pytest.approx([0, 10, 44, 164, 284], abs=5)


def test_a_held_out_study_stands_alone(tmp_path, quick, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "small", quick)
    study = write_study(tmp_path / "new", "small", number=2)
    assert set(scan_study(study.dicom).roles) == set(quick.sites[0].sequences)
    assert read_truth(study.truth)["label"].tolist() == ["poorly"]
    assert nib.load(study.lesion_mask).shape == nib.load(study.organ_mask).shape
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "dicom",
        "lesions.nii.gz",
        "liver.nii.gz",
        "truth.csv",
    ]
    in_cohort = draw_patient(quick, Plan(2, quick.sites[0], ("poorly",)), quick.seed)
    assert in_cohort.body.lesions[0].radius * 2 != pytest.approx(read_truth(study.truth)["diameter_mm"][0])
    with pytest.raises(OutputError):
        write_study(tmp_path / "new", "small", number=2)


@pytest.mark.parametrize("vendor", ["GE", "SIEMENS", "PHILIPS"])
def test_the_brain_protocol_finds_the_head_in_the_words_of_every_vendor(tmp_path, brain, vendor):
    site = replace(brain.sites[0], vendor=vendor)
    patient = draw_patient(brain, Plan(0, site, ("healthy",)), seed=7)
    result = write_patient(tmp_path, patient, seg_every=1000)
    catalogue = scan_study(tmp_path / "B001" / "dicom", protocol="brain")
    assert set(catalogue.roles) == {"T2"}
    assert result.labels[0]["brain"] == "healthy"
    assert all(one.StudyDescription == "MR BRAIN" for one in images(tmp_path / "B001" / "dicom"))
    mask = np.asarray(nib.load(tmp_path / result.labels[0]["mask"]).dataobj)
    head = np.asarray(nib.load(tmp_path / "B001" / "brain.nii.gz").dataobj)
    assert mask.any()
    assert head[mask > 0].all()


def test_the_smallest_region_does_not_hide_between_two_slices(brain):
    spacing = brain.sites[0].t2.spacing_mm
    for one in plan(brain, 40, 1):
        lesion = draw_patient(brain, one, 1).body.lesions[0]
        assert brain.diameter_range_mm[0] * lesion.axes[2] > spacing


def test_an_unlabelled_study_tells_nothing_of_its_regions(tmp_path, source):
    patient = draw_patient(source, Plan(0, source.sites[0], ("healthy", "unhealthy")), seed=7)
    result = write_patient(tmp_path, patient, source.seg_every, labelled=False)
    assert result.labels == [{"patient": "S001", "study": "S001-1", "site": "K", "folder": "S001/dicom"}]
    assert sorted(path.name for path in (tmp_path / "S001").iterdir()) == ["brain.nii.gz", "dicom"]
