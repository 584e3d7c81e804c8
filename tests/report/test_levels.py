import pandas as pd
import pytest

from mpmri_monai.report.levels import LEVELS, level_names

FLAT, GRID = (32, 32), (4, 25, 25)


@pytest.mark.parametrize(
    ("kinds", "size", "names"),
    [
        (["lesion", "background"], FLAT, LEVELS),
        (["lesion", "background"], GRID, {"lesion": "lesion", "patient": "patient"}),
        (["study", "study"], GRID, {"lesion": "study", "patient": "patient"}),
        (["study", "lesion"], GRID, {"lesion": "lesion", "patient": "patient"}),
        (["background"], FLAT, LEVELS),
    ],
)
def test_a_case_is_called_what_it_is(kinds, size, names):
    assert level_names(pd.DataFrame({"kind": kinds}), size) == names
