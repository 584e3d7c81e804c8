import numpy as np
import pandas as pd
import pytest

from mpmri_monai.training import SampleData


def make_samples(count=24, seed=0, classes=3, signal=1.0):
    """Samples whose class is written into the brightness of the central pixels."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % classes
    image = rng.random((count, 3, 52, 52), dtype=np.float32) * 0.5
    image[:, 0, 16:36, 16:36] += signal * 0.2 * label[:, None, None]
    table = pd.DataFrame(
        {
            "patient": [f"P{i // 2:03d}" for i in range(count)],
            "study": [f"P{i // 2:03d}-1" for i in range(count)],
            "lesion": [f"L{i}" for i in range(count)],
            "sample": [f"L{i}-00" for i in range(count)],
            "site": "A",
            "present_T2": True,
            "present_OUT": True,
            "present_S4": True,
        }
    )
    return SampleData(
        image=image.clip(0, 1),
        present=np.ones((count, 3), bool),
        label=label.astype(np.int64),
        extent_mm=np.full(count, 25, np.float32),
        table=table,
    )


@pytest.fixture
def samples():
    return make_samples()


@pytest.fixture(name="make_samples")
def make_samples_fixture():
    return make_samples
