import pickle

import pytest

from mpmri_monai.catalogue.roles.protocol import NEVER_S, protocol, shipped
from mpmri_monai.errors import ConfigError
from mpmri_monai.sequences import SEQUENCES

OWN = """
schema: mpmri-monai/protocol/1
name: knee
sequences: [PD]
roles:
  PD: {scanning_sequence: SE, echo_time_ms: [20, 40], plane: sagittal}
"""


def test_shipped_protocols_hold_what_they_say():
    assert shipped() == ("brain", "liver", "none", "prostate")
    assert protocol("liver").sequences == SEQUENCES
    assert protocol("brain").sequences == ("T1", "T1CE", "T2", "FLAIR")
    assert protocol("prostate").sequences == ("T2", "ADC", "HBV", "DCE0", "DCE1", "DCE2", "DCE3")
    assert protocol("none").sequences == ()
    for name in shipped():
        assert pickle.loads(pickle.dumps(protocol(name))) == protocol(name)


def test_windows_of_the_liver_touch_half_way_between_the_delays():
    windows = [phase.window_s for phase in protocol("liver").dynamic.phases]
    assert windows == [(-NEVER_S, 0), (0, 21), (21, 43), (43, 120), (120, 210), (210, NEVER_S)]


def test_a_protocol_of_ones_own(make, tmp_path, scanned):
    (tmp_path / "knee.yaml").write_text(OWN)
    images = make.t2()
    for dataset in images:
        dataset.EchoTime = 30.0
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = (
            [0, 1, 0, 0, 0, -1],
            [
                dataset.ImagePositionPatient[2],
                0,
                0,
            ],
        )
    catalogue = scanned(images, tmp_path / "knee.yaml")
    assert list(catalogue.roles) == ["PD"] and catalogue.ok and catalogue.protocol == "knee"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: knee", "name: liver", "a name of its own"),
        ("[PD]", "[PD, T2]", "described once"),
        ("[PD]", "[PD-1]", "sequences.0"),
        ("echo_time_ms", "echo_tme_ms", "did you mean echo_time_ms?"),
        ("sequences: [PD]", "sequences: [PD]\nname: knees", "name is given twice"),
        ("mpmri-monai/protocol/1", "mpmri-monai/protocol/2", "schema"),
        ("roles:", "dynamic: {}\nroles:", "dynamic.conditions"),
        (OWN, "- PD", "no keys and values"),
        (OWN, "a: [", "line"),
    ],
)
def test_a_faulty_file_is_refused_and_the_place_named(tmp_path, old, new, said):
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace(old, new))
    with pytest.raises(ConfigError, match=r"E_RULES: own.yaml") as caught:
        protocol(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["livr", "nothing.yaml"])
def test_an_unknown_protocol_is_refused(name):
    with pytest.raises(ConfigError):
        protocol(name)


def test_yaml_cannot_make_objects(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("schema: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError):
        protocol(path)
