import pytest

from mpmri_monai.catalogue.headers.image_kinds import KINDS, image_kind


@pytest.mark.parametrize(
    ("image_type", "kind"),
    [
        ("ORIGINAL PRIMARY M ND NORM", ""),
        ("DERIVED PRIMARY DIFFUSION TRACEW ND", "trace"),
        ("DERIVED SECONDARY PROCESSED", "map"),  # a map of GE, which only its texts name
        ("ORIGINAL PRIMARY T2_STAR NONE", ""),  # weighting of an enhanced image, not a map
        ("DERIVED PRIMARY DIXON WATER", "water"),  # the standard, Siemens, GE
        ("DERIVED PRIMARY W W DERIVED", "water"),  # Philips, classic
        ("ORIGINAL PRIMARY DIXON FAT", "fat"),  # FrameType of Philips
        ("DERIVED PRIMARY M DIXON IN_PHASE DIS2D", "in phase"),
        ("DERIVED PRIMARY IP IP DERIVED", "in phase"),
        ("DERIVED PRIMARY M DIXON OPP_PHASE", "out of phase"),
        ("DERIVED PRIMARY DIXON OUT_PHASE", "out of phase"),
        ("DERIVED PRIMARY DIFFUSION ADC ND NORM", "adc"),
        ("DERIVED PRIMARY DIFFUSION FA", "map"),
        ("ORIGINAL PRIMARY T1 FIELD_MAP", "map"),
        ("WATER FAT", ""),  # the first two values are not about the signal
        ("", ""),
    ],
)
def test_image_types_as_vendors_write_them(image_type, kind):
    found = image_kind(tuple(image_type.split()))
    assert found == kind and (found in KINDS or not found)


def test_values_with_blanks():
    assert image_kind(("DERIVED", "PRIMARY", "M", "T2_STAR MAP")) == "map"
    assert image_kind(("ORIGINAL", "PRIMARY", "B0 MAP", "B0", "UNSPECIFIED")) == "map"
