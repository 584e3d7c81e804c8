import numpy as np
from rich.console import Console

from mpmri_monai.evaluation import evaluate, metrics_table
from mpmri_monai.sequences import TASKS


def printed(result) -> str:
    console = Console(width=160, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(metrics_table(result))
    return capture.get()


def test_table_shows_levels_counts_and_intervals(drawn):
    result = evaluate(drawn(np.random.default_rng(0)), TASKS["hcc_grade"], bootstraps=50)
    text = printed(result)
    accuracy = result["levels"]["lesion"]["metrics"]["accuracy"]
    assert f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]" in text
    for word in ("slice", "lesion", "patient", "n poorly", "macro auc", "research use only"):
        assert word in text


def test_undefined_metric_says_so(drawn):
    table = drawn(np.random.default_rng(0))
    text = printed(evaluate(table[table["label"] != "poorly"], TASKS["hcc_grade"], bootstraps=5))
    assert "undefined" in text


def test_value_without_interval_stands_alone(drawn):
    perfect = drawn(np.random.default_rng(0), skill=100.0)
    assert "1.000 [no interval]" in printed(evaluate(perfect, TASKS["hcc_grade"], bootstraps=5))
