"""What was fitted beside the weights is applied to answers, and only to those it is for."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from mpmri_monai.artefacts import file_digest
from mpmri_monai.errors import BundleError, EvaluationError
from mpmri_monai.evaluation.conformal import ClassConditionalSets, MarginalSets
from mpmri_monai.evaluation.fitted import VAL, Seen
from mpmri_monai.evaluation.temperature import Temperature
from mpmri_monai.inference import TrainedModel
from mpmri_monai.samples import Settings
from mpmri_monai.sequences import GRADES

SEEN = Seen(VAL, "s", frozenset(["h"]), dict.fromkeys(GRADES, 9))
P = np.array([[0.5, 0.3, 0.2]])


def temperature(value=2.0, classes=GRADES):
    return Temperature("hcc_grade", classes, value, SEEN)


def sets(kind, *quantiles):
    return kind("hcc_grade", GRADES, {"alpha": 0.1, "quantiles": dict(zip(GRADES, quantiles, strict=True))}, SEEN)


@pytest.fixture
def model(tmp_path):
    """model(*fitted) is the model of a bundle whose reference holds these; without any, it lacks the entry."""

    def make(*fitted):
        (tmp_path / "configs").mkdir(exist_ok=True)
        (tmp_path / "configs/metadata.json").write_text("{}")
        (tmp_path / "model.pt").write_bytes(b"weights")
        reference = {
            "schema": "mpmri-monai/reference/1",
            "task": "hcc_grade",
            "sequences": ["T2"],
            "fusion": "T2",
            "pixels": 32,
            "samples": Settings().model_dump(mode="json"),
            "network": {},
            "weights_sha256": file_digest(tmp_path / "model.pt"),
            "present": {},
            "ranges": {},
        }
        if fitted:
            reference["fitted"] = [part if isinstance(part, dict) else part.as_json() for part in fitted]
        (tmp_path / "reference.json").write_text(json.dumps(reference))
        return TrainedModel(tmp_path, tmp_path)

    return make


def test_references_of_before_calibration_still_answer(model):
    old = model()
    assert (old.calibrated(P) == P).all()
    assert old.conformal_sets(P) is None
    assert old.calibration() == {"temperature": None, "conformal_sets": None}


def test_the_temperature_is_applied(model):
    calibrated = model(temperature()).calibrated(P)
    assert calibrated == pytest.approx(softmax(np.log(P) / 2, axis=1))
    assert calibrated.argmax() == P.argmax()


def test_sets_are_made_from_the_network_s_own_probabilities(model):
    marginal = model(temperature(), sets(MarginalSets, 0.72, 0.72, 0.72))
    assert marginal.conformal_sets(P) == [["well", "moderately"]]
    assert marginal.calibration()["conformal_sets"] == {"kind": "conformal_marginal", "coverage": 0.9}


def test_class_conditional_sets_go_before_marginal_ones(model):
    both = model(sets(MarginalSets, 0.72, 0.72, 0.72), sets(ClassConditionalSets, 0.6, 0.6, 0.85))
    assert both.conformal_sets(P) == [["well", "poorly"]]
    assert both.calibration()["conformal_sets"]["kind"] == "conformal_by_class"


def test_what_was_fitted_for_other_classes_is_refused(model):
    with pytest.raises(BundleError, match="temperature"):
        model(temperature(classes=("poorly", "moderately", "well")))


def test_an_entry_that_cannot_be_read_is_refused(model):
    with pytest.raises(EvaluationError):
        model(temperature().as_json() | {"value": "warm"})
