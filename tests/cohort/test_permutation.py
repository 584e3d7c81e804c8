"""Permuted labels: independent of the images, patients kept as wholes."""

import numpy as np
import pandas as pd

from mpmri_monai.cohort import permuted_labels
from mpmri_monai.sequences import task

GRADE, DETECTION = task("hcc_grade"), task("hcc_vs_bg")
ORGAN = task("organ", {"organ": ("liver", "kidney", "spleen")})


def grades(patients=30):
    rows = [(f"P{i:02d}", f"L{k}", GRADE.classes[(i + k) % 3]) for i in range(patients) for k in range(1 + i % 2)]
    return pd.DataFrame(rows, columns=["patient", "lesion", "label"])


def regions(patients=400):
    rows = [(f"P{i:03d}", "hcc") for i in range(patients)] + [(f"P{i:03d}", "background") for i in range(patients)] * 2
    return pd.DataFrame(rows, columns=["patient", "label"])


def organs(patients=600):
    rows = [(f"P{i:03d}", name) for i in range(patients) for name in ORGAN.classes for _ in range(2)]
    return pd.DataFrame(rows, columns=["patient", "label"])


def worst(rows, labels):
    rank = labels.map(GRADE.classes.index)
    return rank.groupby(rows["patient"]).max()


def test_a_patient_gets_the_worst_class_of_another_for_all_his_lesions():
    rows = grades()
    labels = permuted_labels(rows, GRADE, 0)
    assert labels.groupby(rows["patient"]).nunique().max() == 1
    before, after = worst(rows, rows["label"]), worst(rows, labels)
    assert sorted(before) == sorted(after)
    assert (before != after).any()


def test_seeds_differ_and_the_order_of_rows_does_not_matter():
    for rows, question in ((grades(), GRADE), (regions(), DETECTION), (organs(), ORGAN)):
        labels = permuted_labels(rows, question, 1)
        assert not labels.equals(permuted_labels(rows, question, 2))
        shuffled = rows.sample(frac=1, random_state=0)
        pd.testing.assert_series_equal(permuted_labels(shuffled, question, 1).sort_index(), labels)


def test_lesion_and_background_are_exchanged_in_half_of_the_patients():
    rows = regions()
    labels = permuted_labels(rows, DETECTION, 0)
    changed = (labels != rows["label"]).groupby(rows["patient"])
    assert (changed.nunique() == 1).all()  # a patient as a whole, or not at all
    share = changed.first().mean()
    assert abs(share - 0.5) < 4 * np.sqrt(0.25 / 400)


def test_of_three_classes_in_each_patient_no_name_stays_more_often_than_by_chance():
    rows = organs()
    labels = permuted_labels(rows, ORGAN, 0)
    pairs = labels.groupby([rows["patient"], rows["label"]])
    assert (pairs.nunique() == 1).all()  # what belonged together still does
    assert (pairs.first().groupby("patient").nunique() == 3).all()
    for name in ORGAN.classes:
        share = (labels[rows["label"] == name] == name).mean()
        assert abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / 600)


def test_a_label_that_most_patients_hold_one_class_of_keeps_its_counts():
    kind = task("kind", {"kind": ("benign", "malignant")})
    rows = pd.DataFrame([(f"P{i:02d}", kind.classes[i < 6]) for i in range(60)], columns=["patient", "label"])
    labels = permuted_labels(rows, kind, 0)
    assert labels.value_counts().to_dict() == {"benign": 54, "malignant": 6}
    assert not labels.equals(rows["label"])
