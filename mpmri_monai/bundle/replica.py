"""The stored copies of published protocols: each of the six views of a sample counts as a sample of its own.

They exist to measure what that protocol promises too much; see ``cohort.NOT_DISJOINT``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from mpmri_monai.training import SampleData
from mpmri_monai.transforms.batch import view

COPIES = ("", "+rot90", "+rot180", "+rot270", "+fliplr", "+flipud")
"""What is added to the name of a sample for each view, in the order of ``transforms.batch.view``."""


def with_copies(data: SampleData) -> SampleData:
    """Return every sample of ``data`` in its six views (Jia et al. 2019), the names of the copies marked."""
    images = torch.from_numpy(data.image)
    times = len(COPIES)
    tables = [data.table.assign(sample=data.table["sample"] + mark) for mark in COPIES]
    return SampleData(
        image=np.concatenate([view(images, index).numpy() for index in range(times)]),
        present=np.tile(data.present, (times, 1)),
        label=np.tile(data.label, times),
        extent_mm=np.tile(data.extent_mm, times),
        table=pd.concat(tables),
    )
