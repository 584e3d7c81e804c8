import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from mpmri_monai.evaluation.fitted import VAL, NotFitted, patient_weights
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.evaluation.temperature import Temperature, fit_temperature, nll
from mpmri_monai.sequences import TASKS

GRADE, BACKGROUND = TASKS["hcc_grade"], TASKS["hcc_vs_bg"]


def sharpened(predictions, factor, columns):
    """Probabilities that are surer than they may be: logits times ``factor``."""
    logits = np.log(predictions[columns].to_numpy())
    table = predictions.copy()
    table[columns] = softmax(factor * logits, axis=1)
    return table


def lesions(predictions, task=GRADE):
    return scored(predictions, task, "lesion")


def test_a_temperature_undoes_what_made_the_probabilities_too_sure(drawn):
    table = drawn(np.random.default_rng(0), patients=300, slices=1)
    columns = [f"p_{name}" for name in GRADE.classes]
    as_it_was = fit_temperature(lesions(table), VAL, "s").value
    too_sure = fit_temperature(lesions(sharpened(table, 3, columns)), VAL, "s").value
    assert too_sure == pytest.approx(3 * as_it_was, rel=1e-3)


def test_two_classes_agree_with_logistic_regression_through_the_origin(drawn):
    table = drawn(np.random.default_rng(1), 80, classes=BACKGROUND.classes, task="hcc_vs_bg", slices=2)
    units = lesions(table, BACKGROUND)
    fitted = fit_temperature(units, VAL, "s")
    odds = np.log(units.probabilities[:, 1] / units.probabilities[:, 0])
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8)
    model.fit(odds[:, None], units.truth, sample_weight=patient_weights(units.patients))
    assert 1 / fitted.value == pytest.approx(model.coef_[0, 0], rel=1e-3)


def test_scaling_keeps_the_most_probable_class_and_the_sum(drawn):
    probabilities = lesions(drawn(np.random.default_rng(2))).probabilities
    fitted = fit_temperature(lesions(drawn(np.random.default_rng(2))), VAL, "s")
    scaled = fitted.scaled(probabilities)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert scaled.sum(axis=1) == pytest.approx(1)
    assert np.isfinite(fitted.scaled(np.array([[1.0, 0.0, 0.0]]))).all()


def test_patients_count_once_however_many_lesions_they_have(drawn):
    table = drawn(np.random.default_rng(3), patients=60, slices=1)
    chosen = table[table["patient"] == "P003"]
    copies = [chosen.assign(lesion=f"P003-L{n}", sample=f"P003-L{n}-00") for n in range(5, 60)]
    many = pd.concat([table, *copies], ignore_index=True)
    assert fit_temperature(lesions(many), VAL, "s").value == pytest.approx(
        fit_temperature(lesions(table), VAL, "s").value, rel=1e-4
    )


def test_too_few_patients_of_a_class_and_a_perfect_network_have_none(drawn):
    few = fit_temperature(lesions(drawn(np.random.default_rng(4), patients=9)), VAL, "s")
    assert isinstance(few, NotFitted)
    assert few.as_json()["needed"] == "5 calibration patients of each class"
    perfect = fit_temperature(lesions(drawn(np.random.default_rng(4), patients=60, skill=20)), VAL, "s")
    assert isinstance(perfect, NotFitted)
    assert "no bound" in perfect.why


def test_likelihood_in_closed_form():
    truth, p = np.array([0, 1]), np.array([[0.5, 0.5], [0.75, 0.25]])
    assert nll(truth, p, np.array([1.0, 1.0])) == pytest.approx((np.log(2) + np.log(4)) / 2)
    assert nll(truth, p, np.array([[1.0, 0.0], [0.0, 2.0]])) == pytest.approx([np.log(2), np.log(4)])


def test_values_that_are_no_temperature_are_refused():
    with pytest.raises(ValueError, match="temperature"):
        Temperature.read_value(0)
