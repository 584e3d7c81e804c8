"""A classical classifier in the place of the network's last layer."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import SPPResNet
from mpmri_monai.sequences import task
from mpmri_monai.training import SampleData, predict
from mpmri_monai.training.classical import CLASSICAL_HEADS, _folds_of_patients, fit_classical
from mpmri_monai.transforms.batch import VIEWS

GRADE = task("hcc_grade")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return SPPResNet(in_channels=3, num_classes=3, embedding=8)


@pytest.fixture
def fit(network):
    """fit(head, data) is that head fitted on the features of a network with random weights."""
    return lambda head, data, seed=0, **options: fit_classical(network, head, data, GRADE, "cpu", 32, seed, **options)


def part(data, chosen):
    table = data.table.iloc[chosen]
    return SampleData(data.image[chosen], data.present[chosen], data.label[chosen], data.extent_mm[chosen], table)


@pytest.mark.parametrize("head", CLASSICAL_HEADS)
def test_it_learns_classes_and_answers_as_a_network_does(fit, make_samples, head):
    """The class is written into the images' brightness: new samples are told apart far better than by chance."""
    fitted = fit(head, make_samples(36, seed=1, signal=2.0))
    new = make_samples(36, seed=2, signal=2.0)
    probabilities = predict(fitted, new, "cpu")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities.argmax(axis=1) == new.label).mean() > 0.8
    averaged = predict(fitted, part(new, slice(0, 2)), "cpu", averaging=True)
    np.testing.assert_allclose(averaged.sum(axis=1), 1, atol=1e-6)
    assert np.abs(averaged - probabilities[:2]).max() > 1e-4


@pytest.mark.parametrize("head", CLASSICAL_HEADS)
def test_the_network_stays_as_it_was_and_the_same_seed_gives_the_same_answer(fit, network, samples, head):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, again = (predict(fit(head, samples, seed=3), samples, "cpu") for _ in range(2))
    assert np.array_equal(first, again)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@torch.no_grad()
def test_logistic_regression_is_scikit_learns_on_the_six_views(fit, network, make_samples):
    """The copies weigh as one sample and the classes alike, in a set of 8, 3 and 3 samples."""
    data = part(make_samples(24), [i for i in range(24) if i % 3 == 0 or i < 9])
    counts = np.bincount(data.label)
    weights = (len(data.label) / (3 * counts))[data.label] / VIEWS
    network.eval()
    crop = torch.as_tensor(data.image[..., 10:42, 10:42])
    views = [torch.rot90(crop, k, (2, 3)) for k in range(4)] + [crop.flip(3), crop.flip(2)]
    seen = np.concatenate([network.embed(view, torch.as_tensor(data.present)).double().numpy() for view in views])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    model.fit(seen, np.tile(data.label, 6), logisticregression__sample_weight=np.tile(weights, 6))
    wanted = model.predict_proba(seen[: len(data.label)])
    np.testing.assert_allclose(predict(fit("logistic", data), data, "cpu"), wanted, atol=1e-3)


def test_calibration_folds_keep_patients_apart_and_hold_out_each_view_once(samples):
    folds = _folds_of_patients(samples, GRADE, seed=0)
    patients = np.tile(samples.table["patient"], VIEWS)
    labels = np.tile(samples.label, VIEWS)
    assert len(folds) >= 2
    for fitted, held_out in folds:
        assert not set(patients[fitted]) & set(patients[held_out])
        assert set(labels[fitted]) == {0, 1, 2}
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(len(patients)))


def test_calibration_is_not_on_what_the_svm_was_fitted_on(fit, make_samples):
    """Labels that are noise: an SVM separates its own samples, yet its calibrated probabilities must stay modest."""
    data = make_samples(42, signal=0.0)
    probabilities = predict(fit("svm", data), data, "cpu")
    assert probabilities.max(axis=1).mean() < 0.6


def test_too_few_patients_to_calibrate_an_svm_are_refused(fit, make_samples):
    data = make_samples(3)
    with pytest.raises(ConfigError, match=r"E_HEAD.*2 training patients of every class.*1 with poorly as their worst"):
        fit("svm", data)
    fit("logistic", data)


def test_an_unknown_head_and_a_class_without_samples_are_refused(fit, make_samples):
    with pytest.raises(ConfigError, match="logistic, svm, forest, knn, naive_bayes"):
        fit("network", make_samples(6))
    with pytest.raises(ConfigError, match="features among network, voxels"):
        fit("logistic", make_samples(6), features="pixels")
    with pytest.raises(ConfigError, match="none of poorly"):
        fit("logistic", part(make_samples(6), [0, 1, 3, 4]))


def test_the_size_of_a_lesion_is_a_feature_where_the_network_takes_it(samples):
    torch.manual_seed(0)
    network = SPPResNet(in_channels=3, num_classes=3, embedding=8, size_feature=True)
    noise = SampleData(
        image=np.zeros_like(samples.image),
        present=samples.present,
        label=samples.label,
        extent_mm=np.array([10.0, 25.0, 60.0], np.float32)[samples.label],
        table=samples.table,
    )
    fitted = fit_classical(network, "logistic", noise, GRADE, "cpu", 32, 0)
    assert (predict(fitted, noise, "cpu").argmax(axis=1) == noise.label).all()


def test_rows_of_the_table_may_have_any_index(fit, samples):
    shuffled = SampleData(
        samples.image, samples.present, samples.label, samples.extent_mm, samples.table.set_axis(range(100, 124))
    )
    assert isinstance(shuffled.table, pd.DataFrame)
    expected = predict(fit("svm", samples), samples, "cpu")
    assert np.array_equal(predict(fit("svm", shuffled), shuffled, "cpu"), expected)


SIZE = (2, 7, 7)


def volumes(data, signal):
    """Those samples with a stored crop of 4×11×11 voxels whose central brightness tells the class."""
    image = np.random.default_rng(int(1e6 * data.image.mean())).random((len(data.label), 3, 4, 11, 11)) * 0.6
    image[:, 0, 1:3, 3:8, 3:8] += signal * data.label[:, None, None, None]
    return SampleData(image.astype(np.float32), data.present, data.label, data.extent_mm, data.table)


class Means(nn.Module):
    """Gives features of volumes: the mean of each slice of each channel."""

    def fixed_features(self, image, present=None):
        return image.mean(dim=(3, 4)).flatten(1)


@pytest.mark.parametrize("features", ["network", "voxels"])
@pytest.mark.parametrize("head", CLASSICAL_HEADS)
def test_volumes_are_classified_by_a_network_s_features_or_by_their_voxels(make_samples, head, features):
    data, new = (volumes(make_samples(36, seed=seed, classes=2), signal=0.2) for seed in (1, 2))
    fitted = fit_classical(Means(), head, data, task("hcc_vs_bg"), "cpu", SIZE, 0, features=features)
    probabilities = predict(fitted, new, "cpu", SIZE)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert (probabilities.argmax(axis=1) == new.label).mean() > 0.8


def views_of_voxels(data):
    """Central crops and flags of the six views, flattened by NumPy."""
    crop = data.image[:, :, 1:3, 2:9, 2:9]
    views = [np.rot90(crop, k, (3, 4)) for k in range(4)] + [crop[..., ::-1], crop[..., ::-1, :]]
    return np.concatenate([np.concatenate([v.reshape(len(crop), -1), data.present], axis=1) for v in views])


def test_nearest_neighbours_are_scikit_learns_where_classes_are_as_frequent(make_samples):
    data = volumes(make_samples(36, seed=1), signal=0.02)
    seen, labels = views_of_voxels(data), np.tile(data.label, VIEWS)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(30)).fit(seen, labels)
    new = volumes(make_samples(12, seed=2), signal=0.02)
    fitted = fit_classical(None, "knn", data, GRADE, "cpu", SIZE, 0, features="voxels")
    wanted = model.predict_proba(views_of_voxels(new)[:12])
    assert len(np.unique(wanted)) > 5  # or there would be nothing to compare
    np.testing.assert_allclose(predict(fitted, new, "cpu", SIZE), wanted, atol=1e-9)


def test_principal_components_change_no_svm_of_few_samples(make_samples):
    """With fewer rows than components the distances are those of the voxels; SVC's gamma follows from the variance."""
    data = volumes(make_samples(24, seed=1), signal=0.05)
    seen, labels = views_of_voxels(data), np.tile(data.label, VIEWS)
    gamma = 1 / (seen.shape[1] * StandardScaler().fit_transform(seen).var())
    fitted = fit_classical(None, "svm", data, GRADE, "cpu", SIZE, 0, features="voxels")
    scaled = StandardScaler().fit_transform(seen)
    weights = np.full(len(labels), 1 / VIEWS)
    plain = SVC(gamma=gamma, decision_function_shape="ovr").fit(scaled, labels, sample_weight=weights)
    ours = fitted.classifier["head"].calibrated_classifiers_[0].estimator
    projected = fitted.classifier[:-1].transform(seen.astype(np.float32))
    np.testing.assert_allclose(ours.decision_function(projected), plain.decision_function(scaled), atol=1e-3)


def test_an_absent_channel_is_told_apart_from_a_dark_one(samples):
    data = volumes(samples, signal=0.0)
    data.image[:, 1] = 0
    data.present[:, 1] = data.label == 2
    fitted = fit_classical(None, "logistic", data, GRADE, "cpu", SIZE, 0, features="voxels")
    guessed = predict(fitted, data, "cpu", SIZE).argmax(axis=1) == 2
    assert (guessed == (data.label == 2)).all()
