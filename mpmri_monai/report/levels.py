"""What a case is called at each level of ``metrics.json``, which follows from what the samples of a cohort are."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

LEVELS = {"slice": "slice", "lesion": "lesion", "patient": "patient"}
"""By level: the noun for a case. A sample of a lesion is one of its slices."""
WHOLE = "study"
"""Kind of a sample that shows a study without lesions, which is labelled as a whole."""


def level_names(table: pd.DataFrame, size: Sequence[int]) -> dict[str, str]:
    """Return the levels that say something of these samples, and the noun for a case of each.

    A 3D sample is the lesion as a whole, so its two levels are one. Where all samples show studies without lesions, the
    lesion level is that of the study.

    Args:
        table: of a samples store.
        size: what the network sees, (row, column) or (depth, row, column).
    """
    names = {level: noun for level, noun in LEVELS.items() if level != "slice" or len(size) == 2}
    kinds = set(table["kind"]) - {"background"}
    return names | ({"lesion": WHOLE} if kinds == {WHOLE} else {})
