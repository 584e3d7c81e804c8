"""Multi-frame files: every frame as an image of its own, against the classic images and against highdicom."""

import warnings

import highdicom
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from mpmri_monai.catalogue import scan
from mpmri_monai.catalogue.headers.header import Unreadable
from mpmri_monai.catalogue.headers.layout import MAX_FRAMES
from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.pixels import stored as pixels_module
from mpmri_monai.catalogue.pixels.stored import stored_pixels, stored_stack
from mpmri_monai.volumes import read_dicom

GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "FrameType": "MRImageFrameTypeSequence",
    "ComplexImageComponent": "MRImageFrameTypeSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "RepetitionTime": "MRTimingAndRelatedParametersSequence",
    "FlipAngle": "MRTimingAndRelatedParametersSequence",
    "InversionRecovery": "MRModifierSequence",
    "InversionTimes": "MRModifierSequence",
    "TransmitterFrequency": "MRImagingModifierSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "FrameAcquisitionDateTime": "FrameContentSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
    "ContrastBolusAgentAdministered": "ContrastBolusUsageSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}
ROWS, COLUMNS, SLICES = 6, 5, 4


def groups(**attributes) -> Dataset:
    """Functional groups that hold ``attributes``."""
    item = Dataset()
    for keyword, value in attributes.items():
        sequence = GROUPS[keyword]
        if sequence not in item:
            setattr(item, sequence, [Dataset()])
        setattr(item[sequence].value[0], keyword, value)
    return item


def multi_frame(frames: list[Dataset], shared: Dataset | None = None, **tags) -> Dataset:
    """An enhanced MR file whose voxels tell frame, row and column."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "2.25.31"
    file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID = "SECRET", "2.25.1", "2.25.7"
    file.FrameOfReferenceUID, file.SeriesNumber, file.InstanceNumber = "2.25.5", 7, 1
    file.Modality, file.ImageType = "MR", ["ORIGINAL", "PRIMARY", "T1", "MIXED"]
    file.ComplexImageComponent, file.MRAcquisitionType, file.EchoPulseSequence = "MIXED", "3D", "GRADIENT"
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.NumberOfFrames = len(frames)
    file.SharedFunctionalGroupsSequence = [shared or stack_groups()]
    file.PerFrameFunctionalGroupsSequence = frames
    file.PixelData = voxels(len(frames)).tobytes()
    for keyword, value in tags.items():
        setattr(file, keyword, value)
    return file


def voxels(frames: int) -> np.ndarray:
    frame, row, column = np.ogrid[:frames, :ROWS, :COLUMNS]
    return (40 * frame + 6 * row + column).astype(np.uint16)


def stack_groups(**attributes) -> Dataset:
    return groups(
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PixelSpacing=[1.5, 1.25],
        RepetitionTime=4.0,
        FlipAngle=12.0,
        TransmitterFrequency=127.7,
        **attributes,
    )


def frame(slice_index: int, **attributes) -> Dataset:
    return groups(ImagePositionPatient=[-50.0, -60.0, 3.0 * slice_index], **attributes)


def saved(file: Dataset, path, syntax=None):
    if syntax:
        file.file_meta.TransferSyntaxUID = syntax
    file.save_as(path, enforce_file_format=True)
    return path


def volumes_of(file: Dataset, tmp_path) -> list:
    (tmp_path / "study").mkdir()
    saved(file, tmp_path / "study" / "one")
    catalogue = scan(tmp_path / "study", "none")
    assert not catalogue.problems
    return list(catalogue.volumes)


def first_voxels(volume) -> list[int]:
    """Which frames a volume is made of."""
    return (read_dicom(volume).stored[:, 0, 0] // 40).tolist()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_frame_says_what_its_own_groups_the_shared_ones_and_the_file_say(tmp_path, syntax):
    own = {"EffectiveEchoTime": 2.5, "DiffusionBValue": 800.0, "TemporalPositionIndex": 3, "InversionTimes": 220.0}
    own |= {"RescaleSlope": 0.5, "RescaleIntercept": -7, "FlipAngle": 30.0, "InversionRecovery": "YES"}
    own |= {"FrameAcquisitionDateTime": "20240102101530.25+0100", "FrameType": ["DERIVED", "PRIMARY", "DIXON", "WATER"]}
    file = multi_frame([frame(0), frame(1, **own)], stack_groups(EffectiveEchoTime=1.25), MagneticFieldStrength=3.0)
    plain, special = read_headers(saved(file, tmp_path / "one", syntax))
    assert (plain.frame, special.frame) == (0, 1)
    assert (plain.instance, special.instance) == ("2.25.31#0", "2.25.31#1")
    assert (plain.position, special.position) == ((-50, -60, 0), (-50, -60, 3))
    assert plain.pixel_spacing == special.pixel_spacing == (1.5, 1.25)
    assert (plain.echo_time_ms, special.echo_time_ms) == (1.25, 2.5)
    assert (plain.flip_angle_deg, special.flip_angle_deg) == (12, 30)
    assert (plain.scanning_sequence, special.scanning_sequence) == (("GR",), ("GR", "IR"))
    assert (plain.inversion_time_ms, special.inversion_time_ms) == (None, 220)
    assert (special.b_value, special.temporal_position, special.slope, special.intercept) == (800, 3, 0.5, -7)
    assert (plain.image_kind, special.image_kind) == ("", "water")
    assert special.image_type == ("DERIVED", "PRIMARY", "DIXON", "WATER")
    assert (special.imaging_frequency_mhz, special.field_strength_t, special.acquisition_type) == (127.7, 3.0, "3D")
    assert special.acquisition_time_s % 86400 == 10 * 3600 + 15 * 60 + 30.25
    assert plain.component == "magnitude", "MIXED is said of the file, not of a frame"
    assert "SECRET" not in repr(special) and "2.25" not in repr(special)


def test_phases_and_kinds_of_one_file_become_volumes_whatever_the_order_of_frames(tmp_path):
    kinds = (["ORIGINAL", "PRIMARY", "DIXON", "WATER"], ["ORIGINAL", "PRIMARY", "DIXON", "FAT"])
    told = [(k, kind, phase) for kind in range(2) for phase in range(3) for k in range(SLICES)]
    order = np.random.default_rng(0).permutation(len(told))
    frames = [frame(told[i][0], FrameType=kinds[told[i][1]], TemporalPositionIndex=1 + told[i][2]) for i in order]
    volumes = volumes_of(multi_frame(frames), tmp_path)
    assert [volume.split_by for volume in volumes] == [("ImageType", "TemporalPositionIdentifier")] * 6
    found = {
        (volume.files[0].image_kind, volume.files[0].temporal_position): [told[order[i]] for i in first_voxels(volume)]
        for volume in volumes
    }
    for index, kind in enumerate(("water", "fat")):
        for phase in range(3):
            assert found[kind, 1 + phase] == [(k, index, phase) for k in range(SLICES)]


def test_a_constant_temporal_index_is_passed_over_for_the_time_of_the_frames(tmp_path):
    frames = [
        frame(k, TemporalPositionIndex=1, FrameAcquisitionDateTime=f"2024010210{phase:02}00")
        for phase in range(3)
        for k in range(SLICES)
    ]
    volumes = volumes_of(multi_frame(frames), tmp_path)
    assert [volume.split_by for volume in volumes] == [("AcquisitionTime",)] * 3
    assert [volume.time_s for volume in volumes] == [0, 60, 120]
    assert [first_voxels(volume) for volume in volumes] == [[4 * phase + k for k in range(4)] for phase in range(3)]


def test_trigger_delays_and_b_values_split_frames(tmp_path):
    for name, attribute in (("NominalCardiacTriggerDelayTime", "TriggerTime"), ("DiffusionBValue", "DiffusionBValue")):
        (folder := tmp_path / name).mkdir()
        frames = [frame(k, **{name: 400.0 * step}) for k in range(SLICES) for step in range(2)]
        volumes = volumes_of(multi_frame(frames), folder)
        assert [volume.split_by for volume in volumes] == [(attribute,)] * 2
        assert [first_voxels(volume) for volume in volumes] == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_slices_of_one_file_agree_with_highdicom(tmp_path):
    file = multi_frame([frame(k, FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"]) for k in (2, 0, 3, 1)])
    (volume,) = volumes_of(file, tmp_path)
    stack = read_dicom(volume)
    (path,) = {header.path for header in volume.files}
    other = highdicom.imread(path).get_volume(apply_real_world_transform=False)
    index = np.linalg.solve(other.affine, np.array([-50.0, -60.0, 6.0, 1.0])).round().astype(int)[:3]  # frame 0
    assert np.array_equal(other.array[index[0]], stack.stored[2])
    at_slice_2 = stack.geometry.affine @ [0, 0, 2, 1]
    assert np.allclose(at_slice_2[:3], [50, 60, 6]), "RAS+ has the opposite signs of DICOM's x and y"


def test_legacy_converted_files_are_the_classic_images_they_were_made_of(make, tmp_path):
    classic = make.dynamic(delays_s=(0, 30))
    for dataset in classic:
        dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyTime = "", "", "100000"
        dataset.StudyID = dataset.AccessionNumber = dataset.Manufacturer = ""
        dataset.ReferringPhysicianName, dataset.AcquisitionDate, dataset.ContentDate = "", "20240102", "20240102"
        dataset.BodyPartExamined, dataset.VolumetricProperties = "LIVER", "VOLUME"
        dataset.PatientPosition = "HFS"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = highdicom.legacy.LegacyConvertedEnhancedMRImage(
            classic, series_instance_uid="2.25.70", series_number=70, sop_instance_uid="2.25.71", instance_number=1
        )
    (tmp_path / "legacy").mkdir()
    converted.save_as(tmp_path / "legacy" / "one")
    own = scan(tmp_path / "legacy", "none")
    first = scan(make.write(tmp_path / "classic", classic), "none")
    assert len(own.volumes) == len(first.volumes) == 2 and not own.problems
    for volume, other in zip(own.volumes, first.volumes, strict=True):
        assert volume.files[0].frame is not None
        assert np.array_equal(read_dicom(volume).stored, read_dicom(other).stored)
        assert np.allclose(volume.affine, other.affine)
        assert (volume.echo_time_ms, volume.time_s) == (other.echo_time_ms, other.time_s)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_frames_are_decoded_from_a_file_that_is_parsed_once(tmp_path, monkeypatch, syntax):
    file = multi_frame([frame(k) for k in range(SLICES)], Rows=64, Columns=64)
    pixels = np.random.default_rng(1).integers(0, 2**12, (SLICES, 64, 64)).astype(np.uint16)
    file.PixelData = pixels.tobytes()
    file.compress(syntax, generate_instance_uid=False)
    headers = read_headers(saved(file, tmp_path / "one"))
    assert all(header.pixel_offset is None for header in headers)
    read, calls = pixels_module.read_with_pixels, []
    monkeypatch.setattr(pixels_module, "read_with_pixels", lambda *args: calls.append(1) or read(*args))
    order = [2, 0, 3, 1]
    assert np.array_equal(stored_stack([headers[k] for k in order]), pixels[order])
    assert len(calls) == 1
    assert np.array_equal(stored_pixels(headers[3]), pixels[3])


def test_positions_that_only_philips_private_groups_hold_are_no_geometry(tmp_path):
    private = Dataset()
    private.ImagePositionPatient, private.EchoTime, private.EchoNumbers = [1, 2, 3], "1.5", "2"
    with_public, without = frame(0), groups(EffectiveEchoTime=2.0)
    for item in (with_public, without):
        item.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [private])
    (header,) = read_headers(saved(multi_frame([with_public]), tmp_path / "both"))
    assert header.position == (-50, -60, 0) and header.echo_number == 2 and header.instance == "2.25.31#0"
    found = read_headers(saved(multi_frame([without]), tmp_path / "private"))
    assert isinstance(found, Unreadable) and found.code == "E_NOGEOM"


def test_contrast_that_was_not_given_for_a_frame(tmp_path):
    frames = [frame(0, ContrastBolusAgentAdministered="NO"), frame(1, ContrastBolusAgentAdministered="YES")]
    agent = Dataset()
    agent.ContrastBolusAgentNumber = 1
    before, after = read_headers(saved(multi_frame(frames, ContrastBolusAgentSequence=[agent]), tmp_path / "one"))
    assert (before.contrast_agent, after.contrast_agent) == (False, True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"NumberOfFrames": 3, "PixelData": voxels(3).tobytes()}, "E_HEADER"),
        ({"PixelData": voxels(1).tobytes()}, "E_TRUNCATED"),
        ({"NumberOfFrames": MAX_FRAMES + 1}, "E_LIMIT"),
        ({"NumberOfFrames": -1}, "E_LIMIT"),
        ({"PerFrameFunctionalGroupsSequence": []}, "E_HEADER"),
        ({"SharedFunctionalGroupsSequence": []}, "E_NOGEOM"),
    ],
)
def test_files_that_contradict_themselves_are_refused(tmp_path, change, code):
    found = read_headers(saved(multi_frame([frame(0), frame(1)], **change), tmp_path / "one"))
    assert isinstance(found, Unreadable) and found.code == code


def test_frames_are_the_same_whether_their_sequences_state_a_length_or_not(tmp_path):
    file = multi_frame([frame(k) for k in range(SLICES)])
    stated = read_headers(saved(file, tmp_path / "one"))
    for item in (file.SharedFunctionalGroupsSequence[0], *file.PerFrameFunctionalGroupsSequence):
        item.is_undefined_length_sequence_item = True
    delimited = read_headers(saved(file, tmp_path / "one"))
    file["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    without_length = read_headers(saved(file, tmp_path / "one"))
    places = [[(one.position, one.echo_time_ms, one.instance) for one in found] for found in (stated, delimited)]
    assert places[0] == places[1] and len(stated) == len(without_length) == SLICES
    assert [one.position for one in without_length] == [one.position for one in stated]
