import pytest
from pydantic import ValidationError

from mpmri_monai.catalogue.headers.reading import read_headers
from mpmri_monai.catalogue.roles.conditions import Conditions

GRADIENT_ECHO = {"ScanningSequence": "GR", "MRAcquisitionType": "3D", "EchoTime": 2.3, "RepetitionTime": 5.0}
SAGITTAL = [0, 1, 0, 0, 0, -1]


@pytest.fixture
def header(make, tmp_path):
    def read(**tags):
        (path,) = make.write(tmp_path / "one", [make.image(4, 0, **GRADIENT_ECHO | tags)]).iterdir()
        (found,) = read_headers(path)
        path.unlink()
        return found

    return read


@pytest.mark.parametrize(
    ("conditions", "tags", "fits"),
    [
        ({"echo_time_ms": (2.3, 4)}, {}, True),
        ({"echo_time_ms": (2.4, 4)}, {}, False),
        ({"echo_time_ms": (0, 4)}, {"EchoTime": None}, False),
        ({"scanning_sequence": ["SE", "GR"]}, {}, True),
        ({"scanning_sequence": "GR"}, {"ScanningSequence": ["EP", "GR"]}, False),
        ({"scanning_sequence": "EP"}, {"ScanningSequence": ["EP", "GR"]}, True),
        ({"acquisition": "2D"}, {}, False),
        ({"inverted": False}, {"InversionTime": 0}, True),
        ({"inverted": False}, {"InversionTime": 2500}, False),
        ({"inverted": True}, {"ScanningSequence": ["GR", "IR"]}, True),
        ({"inversion_time_ms": (1500, 3500)}, {"InversionTime": 2500}, True),
        ({"flip_angle_deg": (10, 20)}, {"FlipAngle": 12}, True),
        ({"fat_suppressed": True}, {"ScanOptions": ["PFP", "FS"]}, True),
        ({"fat_suppressed": False}, {"ScanOptions": ["PFP", "FS"]}, False),
        ({"fat_suppressed": False}, {"ScanOptions": "PFP"}, True),
        ({"fat_suppressed": False}, {}, False),  # nothing is known
        ({"fat_suppressed": True}, {"SpectrallySelectedSuppression": "FAT"}, True),
        ({"fat_suppressed": True}, {"SpectrallySelectedSuppression": "WATER"}, False),
        ({"fat_suppressed": True}, {"SpectrallySelectedExcitation": "WATER"}, True),
        ({"b_value": (800, 2000)}, {"DiffusionBValue": 1000.0}, True),
        ({"plane": "axial"}, {}, True),
        ({"plane": "axial"}, {"ImageOrientationPatient": SAGITTAL}, False),
        ({"plane": ["coronal", "sagittal"]}, {"ImageOrientationPatient": SAGITTAL}, True),
        ({}, {"ImageType": ["DERIVED", "PRIMARY", "M"]}, False),
        ({"derived": True}, {"ImageType": ["DERIVED", "PRIMARY", "M"]}, True),
        ({"image_kind": "trace"}, {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]}, True),
        ({"image_kind": ["", "trace"]}, {"ImageType": ["DERIVED", "SECONDARY", "PROCESSED"]}, False),
        ({}, {"ImageType": ["ORIGINAL", "PRIMARY", "WATER"]}, False),
        ({"image_kind": ["", "water"]}, {"ImageType": ["DERIVED", "PRIMARY", "WATER"]}, True),
        ({"image_kind": "adc"}, {}, False),
        ({}, {"ComplexImageComponent": "PHASE"}, False),
        ({"fat_phase": "in"}, {}, True),
        ({"fat_phase": "in"}, {"ImagingFrequency": 63.9}, False),
        (
            {"fat_phase": "in", "image_kind": ["out of phase"]},
            {"ImageType": ["DERIVED", "PRIMARY", "OUT_PHASE"]},
            False,
        ),
        ({"series_number": [3, 4]}, {}, True),
        ({"series_number": 3}, {}, False),
        ({"texts": "^ax.*t2"}, {"SeriesDescription": "AX FS T2"}, True),
        ({"texts": "^ax.*t2"}, {"SeriesDescription": "AX FS T1"}, False),
        ({"texts": "脂肪"}, {"SpecificCharacterSet": "GB18030", "SeriesDescription": "T2 脂肪抑制"}, True),
    ],
)
def test_an_image_meets_a_condition_or_not(header, conditions, tags, fits):
    assert Conditions(**conditions).fits(header(**tags)) is fits


def test_one_of_several_ways_is_enough_and_the_nearest_one_is_shown(header):
    ways = Conditions(
        any_of=[
            {"scanning_sequence": "SE", "echo_time_ms": (0, 1)},
            {"scanning_sequence": "GR", "repetition_time_ms": (0, 4)},
        ]
    )
    assert ways.fits(header(RepetitionTime=3.0))
    evidence = ways.evidence(header(), "T1")
    assert ("T1: repetition time 0 to 4 ms", "does not fit") in [(entry.rule, entry.outcome) for entry in evidence]


def test_free_text_is_compared_and_never_quoted(header):
    one = header(SeriesDescription="SECRET name")
    (entry,) = (entry for entry in Conditions(texts="SECRET").evidence(one, "T2") if "pattern" in entry.rule)
    assert entry.outcome == "fits" and "SECRET" not in str(entry)


@pytest.mark.parametrize(
    "conditions",
    [
        {"echo_time_ms": (4, 2)},
        {"texts": "("},
        {"plane": "oblique"},
        {"echo_time": (1, 2)},
        {"b_value": (0, float("nan"))},
    ],
)
def test_conditions_that_make_no_sense_are_refused(conditions):
    with pytest.raises(ValidationError):
        Conditions(**conditions)
