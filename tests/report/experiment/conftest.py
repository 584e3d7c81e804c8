"""What an experiment could find: every part that its report can show."""

import numpy as np
import pytest

from mpmri_monai.sequences import GRADES, SEQUENCES


def paper_table():
    """A table as the experiment ``tables`` makes them, with a column that is not patient-disjoint."""
    rows = [("T211*", 0.681, 0.55), ("T2S24", 0.706, 0.57), ("S024", 0.724, 0.61), ("T21*S4", 0.777, 0.64)]
    return {
        "key": "table6",
        "title": "Table 6: grade of the lesion, ResNet20+SPP",
        "caption": "Accuracy. In brackets 95 % intervals over patients; ± is the SD over 10 repeats, not an interval.",
        "header": ["fusion", "paper", "slices", "lesions", "± SD", "replica", "optimism", "ceiling"],
        "rows": [
            [name, paper, f"{ours:.3f} [{ours - 0.12:.3f}, {ours + 0.11:.3f}]", f"{ours + 0.02:.3f}", "± 0.04",
             f"{paper + 0.09:.3f} [0.760, 0.910]", f"{paper + 0.09 - ours:.3f} [0.110, 0.310]", f"{ours + 0.2:.3f}"]
            for name, paper, ours in rows
        ],
        "marked_columns": [5, 6],
    }  # fmt: skip


def every_figure():
    """One figure of each kind, with None where a value is not defined."""
    rng = np.random.default_rng(3)
    epochs, fpr = list(range(1, 31)), np.linspace(0, 1, 41)

    def side(values, by):
        return [float(np.clip(value + by, 0, 1)) for value in values]

    def bar(name, value, group=""):
        ends = {"low": value - 0.1, "high": value + 0.08, "ceiling": min(value + 0.15, 1.0)}
        return {"name": name, "value": value, "group": group, **ends}

    learnt = {name: list(top - 0.35 * np.exp(-np.array(epochs) / 6)) for name, top in (("GAP", 0.62), ("SPP", 0.66))}
    roc = {name: list(fpr**power) for name, power in (("well", 0.25), ("moderately", 0.6), ("poorly", 0.35))}
    single = [
        bar(name, 0.5 + 0.03 * index, group) for index, name in enumerate(SEQUENCES) for group in ("ours", "paper")
    ]
    single.append({"name": "none", "value": None, "low": None, "high": None, "ceiling": None, "group": "ours"})
    triples = [
        f"{a}-{b}-{c}" for i, a in enumerate(SEQUENCES) for j, b in enumerate(SEQUENCES[:i]) for c in SEQUENCES[:j]
    ]
    kept = {"coverage": [0.5, 0.7, 0.8, 0.9, 1.0], "risk": [0.1, 0.16, 0.21, 0.27, 0.33]}
    sigma = [0.0, 0.02, 0.05, 0.1]
    noise = {"name": "T2-OUT-S4", "x": sigma, "mean": [0.66, 0.64, 0.55, None]}
    noise |= {"low": [0.5, 0.5, 0.4, None], "high": [0.8, 0.78, 0.7, None]}
    data = {
        "bars": {"metric": "accuracy of lesions", "bars": single},
        "epochs": {"curves": [{"name": k, "epoch": epochs, "mean": v, "sd": [0.04] * 30} for k, v in learnt.items()]},
        "roc_band": {"curves": [
            {"name": k, "fpr": list(fpr), "mean": v, "low": side(v, -0.08), "high": side(v, 0.08)}
            for k, v in roc.items()
        ]},
        "tsic": {"classes": [
            {"name": k, "x": SEQUENCES[3:], "mean": [1, 1.3 + s, 1.7 + s, 1.6, 1.4 - s, 1.3 - s],
             "low": [0.9] * 6, "high": [1.9] * 6} for k, s in (("well", 0.0), ("moderately", 0.1), ("poorly", 0.2))
        ]},
        "embedding": {"classes": list(GRADES), "panels": [
            {"title": title, "points": rng.normal(size=(60, 2)).tolist(), "labels": [GRADES[i % 3] for i in range(60)]}
            for title in ("GAP, 2 units", "SPP, 2 units")
        ]},
        "reliability": {"bins": [
            {"confidence": c, "accuracy": a, "low": a - 0.15, "high": min(a + 0.12, 1), "n": n}
            for c, a, n in ((0.45, 0.4, 12), (0.6, 0.5, 20), (0.75, 0.62, 18), (0.92, 0.8, 25))
        ] + [{"confidence": None, "accuracy": None, "low": None, "high": None, "n": 0}]},
        "risk_coverage": {"curves": [
            {"name": "network", **kept, "low": side(kept["risk"], -0.08), "high": side(kept["risk"], 0.1)}
        ]},
        "curves": {"y_label": "accuracy of lesions", "panels": [
            {"title": title, "x_label": label, "curves": [noise]}
            for title, label in (("Rician noise", "σ"), ("Shading", "amplitude"), ("Shift", "mm"), ("Gain", "factor"))
        ]},
        "histogram": {"null": rng.normal(0.5, 0.05, 99).tolist(), "observed": 0.78},
        "wins": {"metric": "macro AUC", "bars": [
            {**bar(name, 0.45 + 0.003 * index), "probability": 0.3 if index == 83 else 0.008}
            for index, name in enumerate(triples)
        ]},
    }  # fmt: skip
    return [
        {"key": kind, "title": f"A figure of {kind}", "caption": "Bars: 95 % intervals over patients.", "kind": kind,
         "data": values} for kind, values in data.items()
    ]  # fmt: skip


def make_content():
    """What the experiment ``tables`` could find, with every part that a report can show."""
    passed = {"outcome": "passed", "found": "0 of 48 patients"}
    return {
        "schema": "mpmri-monai/experiment/1",
        "experiment": "tables",
        "title": "The paper's tables, patient-disjoint and as published",
        "headline": [
            "On 51 lesions of 48 patients, the network named the right grade in 64 % (95 % interval 51 to 76 %) when "
            "no patient was on both sides of a split; always naming the commonest grade is right in 57 %.",
            "Copied as published, with images of one patient on both sides, the same network seems to reach 87 % "
            "(76 to 91 %). The difference, 23 points (11 to 31), is optimism, not skill.",
            "A classifier that knew how the lesions were generated would reach 84 %.",
        ],
        "warnings": ["study P007-1 was left out: E_MISSING: expected S3; found none in /srv/pacs/export"],
        "cohort": {
            "name": "paper",
            "synthetic": True,
            "flow": [["studies in the manifest", 48], ["studies that could be sampled", 47], ["lesions", 51]],
            "classes": {"header": ["class", "patients", "lesions"], "rows": [["well", 10, 11], ["moderately", 33, 35]]},
            "sites": {"header": ["site", "patients", "lesions"], "rows": [["A", 47, 51]]},
        },
        "protocol": ["Patients are divided 3:2, ten times.", "The last epoch of 30 is tested."],
        "tables": [paper_table()],
        "figures": every_figure(),
        "comparisons": [{"a": "SPP", "b": "GAP", "difference": {"value": 0.03, "low": -0.05, "high": 0.11}, "p": 0.41}],
        "failures": [{"run": "grade-T2-IN-OUT/repeat3", "error": "E_DISK: expected space in /mnt/fast; found none"}],
        "audit": [{"check": "patients across roles", **passed}, {"check": "same images under two names", **passed}],
        "environment": {"software": {"monai": "1.6.1"}, "device": "cpu", "threads": 1, "workers": 2},
        "commands": ["mpmri experiment tables --bundle /home/somebody/bundles/hcc_grade --manifest /data/M.json"],
        "plan": {"runs": 680, "seconds": 21000},
    }  # fmt: skip


@pytest.fixture(scope="session", name="make_content")
def content_maker():
    """A function that returns the content of an experiment, fresh at each call."""
    return make_content
