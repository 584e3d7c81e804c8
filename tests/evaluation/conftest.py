"""Predictions tables drawn at random, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from mpmri_monai.sequences import GRADES


def draw(
    rng: np.random.Generator,
    patients: int = 24,
    *,
    classes: tuple[str, ...] = GRADES,
    skill: float = 1.0,
    slices: int = 3,
    fits: tuple[tuple[int, int], ...] = ((0, 0),),
    decimals: int | None = None,
    task: str = "hcc_grade",
) -> pd.DataFrame:
    """Every patient is tested in every fit; every fifth has a second lesion; labels go round the classes.

    ``skill`` shifts the logit of the true class; few ``decimals`` make ties.
    """
    records = []
    for repeat, outer in fits:
        for number in range(patients):
            for lesion in range(2 if number % 5 == 0 else 1):
                label = (number + lesion) % len(classes)
                for index in range(slices):
                    logits = rng.normal(size=len(classes)) + skill * (np.arange(len(classes)) == label)
                    if decimals is not None:
                        logits = np.round(logits, decimals)
                    p = np.exp(logits) / np.exp(logits).sum()
                    patient = f"P{number:03d}"
                    records.append(
                        {
                            "task": task,
                            "patient": patient,
                            "study": f"{patient}-1",
                            "lesion": f"{patient}-L{lesion + 1}",
                            "sample": f"{patient}-L{lesion + 1}-{index:02d}",
                            "site": "A",
                            "repeat": repeat,
                            "outer": outer,
                            "inner": "",
                            "role": "test",
                            "label": classes[label],
                            **{f"p_{name}": value for name, value in zip(classes, p, strict=True)},
                            "present_T2": True,
                            "present_S4": number % 7 > 0,
                        }
                    )
    return pd.DataFrame(records)


@pytest.fixture
def drawn() -> Callable[..., pd.DataFrame]:
    return draw


@pytest.fixture
def predictions() -> pd.DataFrame:
    return draw(np.random.default_rng(1))
