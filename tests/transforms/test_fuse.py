import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from mpmri_monai.errors import ConfigError
from mpmri_monai.sequences import SEQUENCES
from mpmri_monai.transforms import FuseSequences, FuseSequencesd


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, MetaTensor])
@pytest.mark.parametrize(
    ("fusion", "channels"), [("T2-OUT-S4", [0, 2, 7]), ("S024", [3, 5, 7]), (["S5", "T2"], [8, 0])]
)
def test_channels_in_the_order_of_the_fusion(kind, fusion, channels):
    image = np.random.default_rng(0).random((9, 4, 5)).astype(np.float32)
    fused = FuseSequences(fusion)(kind(image))
    assert type(fused) is type(kind(image))
    np.testing.assert_array_equal(np.asarray(fused), image[channels])


def test_image_and_present_stay_in_step():
    present = np.arange(9) % 2 == 0
    data = {"image": np.arange(9.0)[:, None, None], "present": present, "label": 2}
    fused = FuseSequencesd("T2-IN-S5")(data)
    assert fused["image"].ravel().tolist() == [0, 1, 8]
    assert fused["present"].tolist() == [True, False, True]
    assert fused["label"] == 2
    assert data["present"] is present, "the input is left as it is"


def test_other_anatomy_has_its_own_sequences():
    assert FuseSequences("FLAIR", ("T1", "FLAIR"))(np.arange(2)).tolist() == [1]


def test_wrong_number_of_sequences_is_refused():
    with pytest.raises(ConfigError, match=str(len(SEQUENCES))):
        FuseSequences("T2-OUT-S4")(np.zeros((3, 4, 4)))


def test_unknown_sequence_is_refused():
    with pytest.raises(ConfigError, match="T2-XX"):
        FuseSequences("T2-XX")
