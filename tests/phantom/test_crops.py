from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpmri_monai.phantom.crops import lesion_crops
from mpmri_monai.phantom.patients import draw_patient, plan
from mpmri_monai.phantom.presets import PRESETS
from mpmri_monai.phantom.scanner import draw_scan
from mpmri_monai.phantom.truth import ceiling, truth_table

LEAST_GAP = 0.08
"""Mean signals and size must stay this far below the ceiling (accuracy): the class has to be read from structure."""


def test_crops_have_their_shape_and_range(scan):
    crops = lesion_crops(scan, 0, ("T2", "OUT", "S4"), pixels=20)
    assert crops.shape[1:] == (3, 20, 20)
    assert len(crops) >= 1
    assert crops.min() >= 0
    assert crops.max() <= 1


def test_the_lesion_fills_the_crop_and_stands_out_from_the_liver(scan):
    crop = lesion_crops(scan, 1, ("S2",), pixels=33, reach=2.0).mean(axis=0)[0]
    lesion, around = crop[12:21, 12:21].mean(), np.median(np.r_[crop[:3].ravel(), crop[-3:].ravel()])
    assert lesion > 1.1 * around  # arterial enhancement


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_mean_signals_and_size_stay_well_below_the_ceiling(name):
    chosen = PRESETS[name]
    everything = chosen.anatomy.sequences
    sequences = [one for one in everything if all(one in site.sequences for site in chosen.sites)]
    patients = [draw_patient(chosen, one, 11) for one in plan(chosen, 120, 11)]
    features, grades = [], []
    for patient in patients:
        scan = draw_scan(patient)
        for k, lesion in enumerate(patient.body.lesions):
            means = lesion_crops(scan, k, sequences, pixels=8, reach=0.7).mean(axis=(0, 2, 3))
            features.append([*means, np.log(lesion.radius)])
            grades.append(lesion.label)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    baseline = cross_val_score(model, np.array(features), grades, cv=5).mean()
    share = np.array(chosen.class_weights) / sum(chosen.class_weights)
    best = ceiling(truth_table(patients, share), everything)["accuracy"]["mean"]
    assert baseline < best - LEAST_GAP
    print(f"{name}: baseline {baseline:.3f}, ceiling {best:.3f}")
