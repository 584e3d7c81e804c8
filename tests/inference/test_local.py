"""Who of the local patients the bundle has seen, and lesions as they are answered."""

import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.errors import BundleError, ConfigError, LeakageError
from mpmri_monai.evaluation.fitted import VAL, Seen, salted
from mpmri_monai.evaluation.predictions import check_predictions
from mpmri_monai.evaluation.temperature import Temperature
from mpmri_monai.inference.local import (
    as_answered,
    pick_device,
    refuse_seen,
    seen_among,
    temperature_among,
    trusted_bundle,
)
from mpmri_monai.sequences import TASKS

TASK = TASKS["hcc_grade"]


def model(seen, fitted=()):
    entries = None if seen is None else [{"salt": "s", "patients": [salted("s", patient) for patient in seen]}]
    return SimpleNamespace(reference={"trained_on": {"seen": entries}}, fitted=fitted)


def temperature(*patients, value=0.5):
    seen = Seen(VAL, "t", frozenset(salted("t", patient) for patient in patients), {})
    return Temperature(TASK.name, TASK.classes, value, seen)


def test_patients_of_training_and_of_calibration_are_refused_by_number():
    bundle = model(["P1", "P2"], [temperature("P3")])
    assert seen_among(bundle, ["P9", "P3", "P1"]) == ["P1", "P3"]
    with pytest.raises(LeakageError, match="2 of 3") as error:
        refuse_seen(bundle, ["P9", "P3", "P1"], "local")
    assert error.value.code == "E_LEAK"


def test_others_pass_and_it_is_said_how_that_is_known():
    assert refuse_seen(model(["P1"]), ["P9"], "local") == "checked by their codes"
    assert "not checked" in refuse_seen(model(None), ["P9"], "local")
    assert "the user states" in refuse_seen(model(["P1"]), ["P1"], "local", other_people=True)


def test_what_was_fitted_is_looked_at_where_training_is_unknown():
    with pytest.raises(LeakageError):
        refuse_seen(model(None, [temperature("P1")]), ["P1"], "local")


def slices():
    columns = {"task": TASK.name, "patient": "P1", "study": "P1-1", "lesion": ["L1", "L1", "L2"], "site": "B"}
    columns |= {"sample": ["a", "b", "a"], "repeat": 0, "outer": 0, "inner": "", "role": "test", "label": "well"}
    columns |= {"p_well": [0.2, 0.4, 0.1], "p_moderately": [0.6, 0.4, 0.1], "p_poorly": [0.2, 0.2, 0.8]}
    return pd.DataFrame(columns | {"present_T2": [True, False, False]})


def test_a_lesion_is_answered_by_the_mean_and_then_the_temperature():
    table = check_predictions(as_answered(slices(), TASK, None), "lesions")
    assert table["lesion"].tolist() == ["L1", "L2"]
    assert table.loc[0, ["p_well", "p_moderately", "p_poorly"]].tolist() == pytest.approx([0.3, 0.5, 0.2])
    assert table["present_T2"].tolist() == [True, False]
    sure = as_answered(slices(), TASK, temperature(value=0.5))
    squared = np.array([0.3, 0.5, 0.2]) ** 2
    assert sure.loc[0, ["p_well", "p_moderately", "p_poorly"]].tolist() == pytest.approx(squared / squared.sum())


def test_the_temperature_is_found_among_what_was_fitted():
    one = temperature("P1")
    assert temperature_among([object(), one]) is one
    assert temperature_among([]) is None


def test_a_device_that_the_machine_has_not_is_refused_in_words():
    assert pick_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="E_DEVICE"):
        pick_device("abacus")


@pytest.mark.parametrize("metadata", ["[]", "1", None])
def test_a_bundle_without_a_table_of_metadata_is_refused(shipped, tmp_path, metadata):
    bundle = tmp_path / "b"
    shutil.copytree(shipped, bundle)
    (bundle / "configs" / "metadata.json").unlink()
    if metadata is not None:
        (bundle / "configs" / "metadata.json").write_text(metadata)
    with pytest.raises(BundleError, match=r"configs/metadata\.json"), trusted_bundle(bundle):
        pass
