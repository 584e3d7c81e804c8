"""How often the intervals of the metrics hold the true value: simulated cohorts with alike lesions in one patient.

``python benchmarks/coverage.py`` takes about six minutes of one core and writes the table that the reports quote,
``mpmri_monai/evaluation/coverage.csv``, and ``docs/coverage.md``.

A patient has one to three lesions of one to three slices. The logits of a slice are those of its class plus effects of
the patient, the lesion and the slice, so that cases of one patient agree more than those of two. Repeats are models
that share the effects of patient and lesion and differ in the rest. The true value is that of a very large cohort with
the same share of each class.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from mpmri_monai.artefacts import whole_file, write_text
from mpmri_monai.evaluation import metrics
from mpmri_monai.evaluation.bootstrap import CONFIDENCE, left_out, redrawn
from mpmri_monai.evaluation.coverage import TABLE
from mpmri_monai.evaluation.intervals import (
    EFFECTIVE_IN_WORDS,
    EXACT_IN_WORDS,
    LIMITS,
    METHOD_IN_WORDS,
    NO_INTERVAL,
    interval,
)
from mpmri_monai.sequences import TASKS, Task

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
PATIENTS = (6, 10, 15, 20, 30, 50)
"""Patients in the smallest class; in all, where the task has no patient level."""
RESAMPLES = 200
"""Enough for a standard error to within 5 %; reports use 2000."""
SKILL = (1.6, 1.0, 1.4)
"""What the logit of the true class has more than the others: an accuracy of about .74, the middle class hardest."""
SPREAD = 0.6
"""SD of the effects of patient, lesion and slice on each logit."""
LESIONS = (0.6, 0.3, 0.1)
"""Share of the patients with one, two and three lesions."""
SAME_GRADE = 0.5
"""Share of further lesions that have the patient's worst grade for certain; the others have any up to it."""
LARGE, LARGE_COHORTS = 4000, 12
"""Patients a class of a cohort that gives true values, and how many of these are averaged."""
WANTED = (0.93, 0.97)
ENOUGH = 20
"""Patients a class from which on intervals have to cover as `WANTED`."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated."""

    name: str
    task: Task
    level: str
    repeats: int = 1
    folds: int = 1
    sizes: tuple[int, ...] = (1, 1, 1)
    """Patients of each class, as multiples of the smallest."""


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("grade, lesions", TASKS["hcc_grade"], "lesion"),
        Scenario("grade, lesions, classes 1 : 3 : 2", TASKS["hcc_grade"], "lesion", sizes=(1, 3, 2)),
        Scenario("grade, slices", TASKS["hcc_grade"], "slice"),
        Scenario("grade, lesions, 3 repeats of 3 folds", TASKS["hcc_grade"], "lesion", repeats=3, folds=3),
        Scenario("HCC or background, lesions", TASKS["hcc_vs_bg"], "lesion"),
    )
}


@dataclass(frozen=True)
class Cohort:
    """Stratum of each patient, shape (patient,); owner, true class, probabilities and fit of each unit."""

    stratum: np.ndarray
    owner: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray
    fits: np.ndarray

    def metrics(self, weights: np.ndarray, task: Task) -> dict[str, np.ndarray]:
        """Return all metrics for weights of shape (resample, patient)."""
        return metrics.all_metrics(self.truth, self.probabilities, self.fits, weights[:, self.owner], task)


def cohort(rng: np.random.Generator, patients: int, scenario: Scenario) -> Cohort:
    """Draw a cohort with ``patients`` in the smallest class."""
    stratum, owner, truth = _lesions(rng, patients, scenario)
    classes = len(scenario.task.classes)
    slices = rng.integers(1, 4, len(owner))
    lesion = np.repeat(np.arange(len(owner)), slices)
    of_patient, of_lesion = (SPREAD * rng.normal(size=(n, classes)) for n in (len(stratum), len(owner)))
    expected = np.eye(classes)[truth] * np.array(SKILL[:classes]) + of_patient[owner] + of_lesion
    folds = np.zeros(len(stratum), int)
    parts = []
    for repeat in range(scenario.repeats):
        logits = expected[lesion] + SPREAD * rng.normal(size=(len(lesion), classes))
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if scenario.folds > 1:
            folds = _folds(rng, stratum, scenario.folds)
        unit = lesion
        if scenario.level == "lesion":
            probabilities = np.add.reduceat(probabilities, np.r_[0, slices.cumsum()[:-1]]) / slices[:, None]
            unit = np.arange(len(owner))
        parts.append((owner[unit], truth[unit], probabilities, repeat * scenario.folds + folds[owner[unit]]))
    return Cohort(stratum, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def _lesions(rng: np.random.Generator, patients: int, scenario: Scenario) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the stratum of each patient, and patient and class of each lesion."""
    task = scenario.task
    sizes = patients * np.array(scenario.sizes if task.patient_level else (1,))
    stratum = np.repeat(np.arange(len(sizes)), sizes)
    count = rng.choice([1, 2, 3], p=LESIONS, size=len(stratum))
    if not task.patient_level:  # two background regions for every patient
        return stratum, np.repeat(np.arange(patients), count + 2), np.concatenate([[1] * n + [0, 0] for n in count])
    owner = np.repeat(np.arange(len(stratum)), count)
    first = np.r_[True, owner[1:] != owner[:-1]]
    worst = stratum[owner]
    as_bad = first | (rng.random(len(owner)) < SAME_GRADE)
    return stratum, owner, np.where(as_bad, worst, rng.integers(0, worst + 1))


def _folds(rng: np.random.Generator, stratum: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold of each patient, as even as can be within a stratum."""
    shuffled = np.empty(len(stratum), int)
    for name in np.unique(stratum):
        members = np.flatnonzero(stratum == name)
        shuffled[rng.permutation(members)] = np.arange(len(members)) % folds
    return shuffled


@cache
def true_values(scenario: Scenario) -> dict[str, float]:
    """Return the metrics of a very large cohort tested by one model."""
    rng = np.random.default_rng(0)
    single = replace(scenario, repeats=1, folds=1)
    found = []
    for _ in range(LARGE_COHORTS):
        large = cohort(rng, LARGE, single)
        found.append(large.metrics(np.ones((1, len(large.stratum))), scenario.task))
    return {name: float(np.mean([one[name][0] for one in found])) for name in found[0]}


def trials(name: str, patients: int, data_sets: int, part: int) -> pd.DataFrame:
    """Return for each data set and metric whether its interval, and the percentile interval, held the true value.

    Columns ``metric, given, covered, percentile``; the last two are False where no interval was given.
    """
    scenario = SCENARIOS[name]
    true = true_values(scenario)
    rng = np.random.default_rng([list(SCENARIOS).index(name), patients, part])
    rows = []
    for _ in range(data_sets):
        drawn = cohort(rng, patients, scenario)
        ones = np.ones((1, len(drawn.stratum)))
        weights = np.concatenate([ones, redrawn(drawn.stratum, RESAMPLES, rng), left_out(drawn.stratum)])
        for metric, values in drawn.metrics(weights, scenario.task).items():
            resampled, jackknife = values[1 : RESAMPLES + 1], values[RESAMPLES + 1 :]
            found = interval(metric, values[0], resampled, jackknife, drawn.stratum)
            given = found["low"] is not None
            plain = np.nanquantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) if given else (1, 0)
            held = given and found["low"] <= true[metric] <= found["high"]
            rows.append((metric, given, held, plain[0] <= true[metric] <= plain[1]))
    return pd.DataFrame(rows, columns=["metric", "given", "covered", "percentile"])


def simulated(data_sets: int, parts: int, workers: int) -> Iterator[pd.DataFrame]:
    """Yield the table of one scenario and number of patients after the other."""
    jobs = [(name, patients) for name in SCENARIOS for patients in PATIENTS]
    with ProcessPoolExecutor(workers) as pool:
        running = {job: [pool.submit(trials, *job, data_sets // parts, part) for part in range(parts)] for job in jobs}
        for (name, patients), futures in running.items():
            found = pd.concat([future.result() for future in futures])
            by_metric = found.groupby("metric", sort=False)
            shares = by_metric[["covered", "percentile"]].sum().div(by_metric["given"].sum(), axis=0)
            table = shares.assign(none=1 - by_metric["given"].mean(), data_sets=by_metric.size()).reset_index()
            print(f"{name}, {patients} patients a class: {len(found) // len(table)} data sets", flush=True)
            yield table.assign(scenario=name, patients=patients, true=table["metric"].map(true_values(SCENARIOS[name])))


SHOWN = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy, macro recall",
    "macro_precision": "macro precision",
    "macro_f1": "macro F1",
    "quadratic_kappa": "quadratic kappa",
    "sensitivity_": "sensitivity of a class",
    "specificity_": "specificity of a class",
    "auc_": "AUC of a class",
    "macro_auc": "macro AUC",
    "average_precision_": "average precision of a class",
    "macro_average_precision": "macro average precision",
    "brier": "Brier score",
}
"""Metrics of the page: their names, or how the names of one kind begin, and the words for them."""

PAGE_TEXT = """# Do the intervals cover?

A 95 % interval should hold the true value in 95 of 100 studies. This page says how often it does, by simulation:
cohorts are drawn, their intervals are made as those of a run are, and compared with the value in a very large cohort.
`python benchmarks/coverage.py` makes this page and the table behind it (`mpmri_monai/evaluation/coverage.csv`), which
reports quote where a class has fewer than {enough} patients; `mpmri_monai.evaluation.coverage(metric, patients)`
reads it.

**How an interval is made.** {method}

**What it leaves out.** {limits}

**What is simulated.** Patients with one to three lesions ({lesions}) of one to three slices. Patient, lesion and slice
each shift the logit of every class by a normal effect of SD {spread}, so that slices and lesions of one patient are
alike; the logit of the true class is {skill} higher (well, moderately, poorly). Repeats are further models that share
the effects of patient and lesion. {data_sets} data sets for each scenario and number of patients, {resamples}
resamples each; the simulation's own error is {error:.1f} points (one SD). Data sets without such an interval (a perfect
result) are left out; the column "none" gives their largest share. {exact}

{answer}
Average precision within folds of few patients comes out a little larger than in one large test set, since precision
counts the units of the same fold only; pooled over folds, its interval is therefore the least sure.
{scenarios}
## Other intervals

Percentiles of the same resamples, the usual choice, cover less with few patients. Lowest coverage over the scenarios
(of the classes, where there are several), in percent: percentile interval / interval used.

{others}
## The calibration error has no interval

{ece} It is reported without an interval; the reliability diagram has one for each bin.

## What is not simulated here

* Differences (two models, optimism): value ± t · standard error, from the same resamples and jackknife. Few data sets
  in the tests of `evaluation.compare` find them near 95 %.
* Operating points: expanded percentiles (Hesterberg 2015) of the same resamples, for want of a jackknife.
* Shares in calibration and abstention: Korn and Graubard's (1998) interval of clustered proportions, which is made to
  cover at least 95 %; tests simulate it.
"""


def page(table: pd.DataFrame) -> str:
    """Return ``docs/coverage.md``."""
    table = table[~table["metric"].isin(NO_INTERVAL)]
    data_sets = int(table["data_sets"].min())
    return PAGE_TEXT.format(
        enough=ENOUGH,
        method=METHOD_IN_WORDS,
        limits=LIMITS,
        exact=f"{EXACT_IN_WORDS} {EFFECTIVE_IN_WORDS}",
        lesions=", ".join(f"{100 * share:.0f} %" for share in LESIONS),
        spread=SPREAD,
        skill=", ".join(map(str, SKILL)),
        data_sets=data_sets,
        resamples=RESAMPLES,
        error=100 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / data_sets),
        answer=_answer(table),
        scenarios="".join(_section(name, table[table["scenario"] == name]) for name in SCENARIOS),
        others=_others(table),
        ece=f"{NO_INTERVAL['ece'].capitalize()}.",
    )


def _of_kind(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the rows of one entry of `SHOWN`."""
    return table[table["metric"].str.startswith(kind) if kind.endswith("_") else table["metric"] == kind]


def _answer(table: pd.DataFrame) -> str:
    """Return whether intervals cover as they should from `ENOUGH` patients on, and which do not."""
    shown = pd.concat([_of_kind(table, kind) for kind in SHOWN])
    many = shown[shown["patients"] >= ENOUGH]
    # In a task of two classes the sensitivity of one is the specificity of the other, and the AUC that of both.
    many = many.drop_duplicates(["scenario", "patients", "true", "covered", "percentile", "none"])
    low, high = WANTED
    outside = many[(many["covered"] < low) | (many["covered"] > high)]
    text = (
        f"**Answer.** From {ENOUGH} patients a class on, {len(many) - len(outside)} of {len(many)} intervals cover "
        f"{100 * low:.0f}–{100 * high:.0f} %; over all, {100 * many['covered'].min():.1f} to "
        f"{100 * many['covered'].max():.1f} %, {100 * many['covered'].mean():.1f} % on average. "
    )
    if outside.empty:
        return f"{text}\n"
    rows = [
        [row.scenario, row.metric.replace("_", " "), str(row.patients), f"{100 * row.covered:.1f}"]
        for row in outside.itertuples()
    ]
    return f"{text}Those outside:\n\n" + _markdown(["scenario", "metric", "patients a class", "covered, %"], rows)


def _section(name: str, table: pd.DataFrame) -> str:
    header = ["covered, % (patients in the smallest class →)", *map(str, PATIENTS), "true value", "none, %"]
    rows = []
    for kind, words in SHOWN.items():
        chosen = _of_kind(table, kind)
        if len(chosen):
            cells = [_span(100 * chosen.loc[chosen["patients"] == number, "covered"], 1) for number in PATIENTS]
            rows.append([words, *cells, _span(chosen["true"], 2), f"{100 * chosen['none'].max():.1f}"])
    return f"\n## {name[0].upper()}{name[1:]}\n\n{_markdown(header, rows)}"


def _others(table: pd.DataFrame) -> str:
    rows = []
    for kind, words in SHOWN.items():
        lowest = _of_kind(table, kind).groupby("patients")[["percentile", "covered"]].min() * 100
        rows.append([words, *(f"{of.percentile:.1f} / {of.covered:.1f}" for of in lowest.itertuples())])
    return _markdown(["patients in the smallest class →", *map(str, PATIENTS)], rows)


def _span(values: pd.Series, decimals: int) -> str:
    """Return the range of the values, or the only one."""
    low, high = f"{values.min():.{decimals}f}", f"{values.max():.{decimals}f}"
    return low if low == high else f"{low}–{high}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Simulate, and write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-sets", type=int, default=1000, help="of each scenario and number of patients")
    parser.add_argument("--parts", type=int, default=4, help="jobs that these are divided into; changes the draws")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--page-only", action="store_true", help="write the page again from the table that is there")
    options = parser.parse_args()
    if options.page_only:
        write_text(PAGE, page(pd.read_csv(TABLE)))
        return
    columns = ["scenario", "metric", "patients", "data_sets", "true", "covered", "percentile", "none"]
    table = pd.concat(simulated(options.data_sets, options.parts, options.workers))[columns]
    with whole_file(TABLE) as part:
        table.round(4).to_csv(part, index=False, lineterminator="\n")
    write_text(PAGE, page(table))


if __name__ == "__main__":
    main()
