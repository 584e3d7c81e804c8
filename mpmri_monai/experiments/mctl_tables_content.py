"""What the comparison says: every arm beside the paper's numbers, and whether transfer helps."""

from __future__ import annotations

from typing import Any

from mpmri_monai.artefacts import read_json
from mpmri_monai.errors import EvaluationError
from mpmri_monai.evaluation import calibrate
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.mctl_tables_arms import (
    ARMS,
    PUBLISHED_GAIN,
    PUBLISHED_MCTL,
    RANDOM,
    TRANSFERRED,
    Arm,
)
from mpmri_monai.experiments.mctl_tables_certainty import ACROSS_NETWORKS, certainty_figure, certainty_table
from mpmri_monai.experiments.mctl_tables_epochs import epochs_figure
from mpmri_monai.experiments.mctl_tables_found import Found
from mpmri_monai.experiments.mctl_tables_plan import AUTOENCODER, OWN, Comparison
from mpmri_monai.experiments.nested import LEVEL
from mpmri_monai.experiments.start_results import ACCURACY, UNFINISHED, against, verdict
from mpmri_monai.experiments.summary import (
    NOTHING,
    audited,
    epoch_in_words,
    mean_and_sd,
    small_classes,
    value_at,
)
from mpmri_monai.experiments.texts import NOT_DEFINED, value_range, with_interval
from mpmri_monai.report.wording import certainty_sentence, plural
from mpmri_monai.training.classical import COMPONENTS

VERDICTS = {"better": "Transfer helps", "worse": "Transfer harms"}

UNWEIGHTED = (
    " (networks take classes as often as they come: where one is rare, they gain accuracy by that and lose sensitivity)"
)

PAPER_NUMBERS = (
    "The paper's numbers are of other patients, by leave-one-out, and no target for these. Its accuracy (93–94 %) lies "
    "outside its sensitivity (78–85 %) and specificity (61–73 %), between which the accuracy of the same predictions "
    "has to lie: they cannot all be of the same two-class predictions."
)


def content(comparison: Comparison) -> Content:
    """Return what `MctlTables.collect` does, from the finished runs.

    Raises:
        EvaluationError: no arm has a repetition of which all folds are finished.
    """
    found = Found(comparison)
    if not found.tables:
        raise EvaluationError(
            expected="an arm with all folds finished",
            found="none",
            fix="look at the failed runs, and run the same command again",
            code="E_CELL_EMPTY",
        )
    context, task = comparison.context, comparison.question.task
    calibrated = {
        name: calibrate(found.tables[name], task, context.seed)
        for name in (TRANSFERRED.name, RANDOM.name)
        if name in found.tables
    }
    shown = calibrated.get(TRANSFERRED.name)
    return {
        "title": f"The MCTL comparison: {comparison.question.title}",
        "question": "What does a 3D network that begins with the convolutions of an autoencoder reach beside classical "
        "classifiers and other networks, and does its start help?",
        "headline": [*_headline(found), *([certainty_sentence(shown["abstention"])] if shown else [])],
        "warnings": _warnings(found),
        "limits": [*_limits(found), *small_classes(found.results.values())],
        "protocol": _protocol(comparison),
        "tables": [
            _comparison_table(found),
            *_range_table(found),
            *_transfer_table(found),
            *certainty_table({found.title(name): one["abstention"] for name, one in calibrated.items()}),
        ],
        "figures": [
            _bars(found),
            *epochs_figure(context),
            *certainty_figure({found.title(name): one["abstention"] for name, one in calibrated.items()}),
        ],
        "comparisons": found.against_transferred,
        "calibration": shown,
        "audit": [*_audit(context, transferred=False), *_audit(context, transferred=True)],
    }


def _audit(context: Context, transferred: bool) -> list[dict[str, str]]:
    """Return the leak audit of the arms that begin with an autoencoder, or of the others."""
    runs = [run for arm in ARMS if arm.transferred == transferred for run in context.runs(arm.name)]
    return audited(context, runs, ", transferred" if transferred else ", from scratch")


def _headline(found: Found) -> list[str]:
    lines = [_transfer_sentence(found)]
    if TRANSFERRED.name in found.results:
        own = found.results[TRANSFERRED.name]
        values = ", ".join(f"{words} {value_at(own, LEVEL, name)}" for name, words in found.metrics.items())
        lines.append(f"{TRANSFERRED.title}: {values}.")
    accuracies = {name: result["levels"][LEVEL]["metrics"][ACCURACY] for name, result in found.results.items()}
    best = max(accuracies, key=lambda name: accuracies[name]["value"])
    lines.append(
        f"The highest accuracy is that of {found.title(best)}, {with_interval(accuracies[best])}; it is the best of "
        f"{len(accuracies)}, and partly so by luck."
    )
    if found.ceiling is not None:
        top = with_interval(found.ceiling[ACCURACY], "mean")
        lines.append(f"Ceiling, from the truth of the phantom: accuracy {top}.")
    return lines


def _transfer_sentence(found: Found) -> str:
    if found.transfer is None:
        return "Whether transfer helps cannot be said: not all folds of both starts are finished."
    difference = found.transfer["metrics"][ACCURACY]
    answer = VERDICTS.get(verdict(difference), "Transfer is not shown to help or to harm")
    values = with_interval(difference, "difference")
    published = f" (the paper: {PUBLISHED_GAIN} more)" if found.beside_paper else ""
    sentence = f"{answer}: accuracy, transferred minus random start, {values}{published}"
    return f"{sentence}." if found.reached is None else f"{sentence}; {found.reached.sentence}"


def _warnings(found: Found) -> list[str]:
    absent = [arm.title for arm in ARMS if arm.name not in found.tables]
    return [f"Not all folds of any repetition are finished: {', '.join(absent)}."] if absent else []


def _limits(found: Found) -> list[str]:
    lines = [
        *([PAPER_NUMBERS] if found.beside_paper else []),
        "Every arm has the settings of its bundle: none was tuned for this cohort here, and one that is behind may "
        "gain from other settings.",
    ]
    if len(found.comparison.folds.fits) > 1:
        lines.append(ACROSS_NETWORKS)
    if found.comparison.folds.one_by_one:
        lines.append(
            "No AUC is given: where every patient is tested alone, each score comes from another network, and an AUC "
            "pooled over them is below 0.5 by chance."
        )
    return lines


def _protocol(comparison: Comparison) -> list[str]:
    question, folds = comparison.question, comparison.folds
    times = f", {folds.repeats} times" if folds.repeats > 1 else ""
    epochs = comparison.common.get("max_epochs", question.config["max_epochs"])
    return [
        f"{question.sentence} Fusion {question.fusion}.",
        f"Patients: {folds.scheme}{times}; the same for every arm. Copies of a sample made by augmentation stay with "
        "its patient, and are never scored.",
        *_pretraining_in_words(comparison),
        f"Networks train {plural(epochs, 'epoch')} each. "
        + epoch_in_words(
            question.config.get("keep_best", "auto"),
            "The validation patients" if (folds.table["role"] == "val").any() else "",
        ),
        "Classical classifiers are fitted to the six turned and mirrored views of each training sample, in which every "
        f"class weighs the same{UNWEIGHTED if question.config.get('balance', 'none') == 'none' else ''}; the SVM sees "
        f"voxels by their first {COMPONENTS} principal components.",
        "Sensitivity and specificity are at the larger of the two outputs. AUC compares cases that one network scored. "
        f"The section on calibration and abstention is about one arm, {TRANSFERRED.title}.",
    ]


def _pretraining_in_words(comparison: Comparison) -> list[str]:
    """Return where the transferred weights come from, and how well autoencoders do on patients they did not see."""
    if not comparison.source:
        return ["The autoencoder's weights were given; the audit below says whom they have seen, where it is known."]
    own = (
        "Autoencoders were trained on patches of the training patients of each fold, one a fold: none saw whom its "
        "fold tests or validates on."
    )
    other = f"One autoencoder was trained on patches of another cohort, {comparison.source_in_words}."
    sentences = [own if comparison.source == OWN else other]
    context = comparison.context
    metrics = [read_json(context.folder(run) / "metrics.json") for run in context.runs(AUTOENCODER)]
    explained = [found["val"]["explained"] for found in metrics if "val" in found]
    if explained:
        sentences.append(
            "Of the variance of patches of patients that it did not see, the autoencoder explains "
            f"{value_range(explained)} (1 is all; predicting the mean is 0)."
        )
    return sentences


def _paper(found: Found, arm: Arm | None) -> list[str]:
    """Return the cells below `_paper_header` of an arm, or of another row; none of another question."""
    if not found.beside_paper:
        return []
    others = [PUBLISHED_MCTL.get(name, NOTHING) if arm == TRANSFERRED else NOTHING for name in PUBLISHED_MCTL]
    return [(arm.published if arm else "") or NOTHING, *others]


def _paper_header(found: Found) -> list[str]:
    return ["paper: accuracy, %", "paper: sensitivity, %", "paper: specificity, %"] if found.beside_paper else []


def _comparison_table(found: Found) -> dict[str, Any]:
    rows = []
    for arm in ARMS:
        result = found.results.get(arm.name)
        cells = (
            [UNFINISHED, *[NOTHING] * (len(found.metrics) - 1)]
            if result is None
            else [value_at(result, LEVEL, name) for name in found.metrics]
        )
        rows.append([arm.title, *cells, *_paper(found, arm)])
    if found.ceiling is not None:
        top = {name: with_interval(bound, "mean") for name, bound in found.ceiling.items()}
        rows.append(["ceiling", *(top.get(name, NOTHING) for name in found.metrics), *_paper(found, None)])
    tested = next(iter(found.results.values()))["levels"][LEVEL]
    return {
        "key": "comparison",
        "title": "Every classifier on the same patients",
        "caption": f"{plural(tested['n'], 'case')} of {plural(tested['patients'], 'patient')} are tested. Value [95 % "
        "interval over the patients], all repetitions pooled."
        + (" The paper's ranges are of its own patients." if found.beside_paper else ""),
        "header": ["classifier", *found.metrics.values(), *_paper_header(found)],
        "rows": rows,
    }


def _range_table(found: Found) -> list[dict[str, Any]]:
    """Return the least and the greatest value over the repetitions, as the paper gives them; none for one of them."""
    if found.comparison.folds.repeats < 2:
        return []
    rows = []
    for arm in ARMS:
        if arm.name in found.results:
            ranges = _ranges(found, arm.name)
            spread = mean_and_sd(found.results[arm.name], LEVEL, ACCURACY)
            rows.append([arm.title, *(ranges[name] for name in found.metrics), spread, *_paper(found, arm)])
    return [
        {
            "key": "ranges",
            "title": "Ranges over the repetitions",
            "caption": "Least to greatest value over the repetitions, which is what the paper reports: it says how "
            "much the answer changes with the seed and the division, and nothing of other patients.",
            "header": ["classifier", *found.metrics.values(), "accuracy, mean ± SD", *_paper_header(found)],
            "rows": rows,
        }
    ]


def _ranges(found: Found, name: str) -> dict[str, str]:
    units = [
        scored(rows, found.task, LEVEL).values(tuple(found.metrics)) for _, rows in found.tables[name].groupby("repeat")
    ]
    return {metric: value_range([one[metric] for one in units]) for metric in found.metrics}


def _transfer_table(found: Found) -> list[dict[str, Any]]:
    if found.transfer is None:
        return []
    rows = []
    for name, words in found.metrics.items():
        one = found.transfer["metrics"][name]
        ends = [NOTHING if one[key] is None else f"{one[key]:.3f}" for key in ("a", "b")]
        p = NOT_DEFINED if one["p"] is None else f"{one['p']:.3f}"
        rows.append([words, *ends, against(one), p])
    if found.reached is not None:
        rows.append(found.reached.row)
    return [
        {
            "key": "transfer",
            "title": "What transfer adds",
            "caption": "Transferred minus random start, paired: the same cases, folds and seeds [95 % interval over "
            "the patients]. " + ("" if found.reached is None else found.reached.caption),
            "header": ["", "transferred", "random", "difference", "p"],
            "rows": rows,
        }
    ]


def _bars(found: Found) -> dict[str, Any]:
    top = None if found.ceiling is None else found.ceiling[ACCURACY]["mean"]
    bars = []
    for name, result in found.results.items():
        one = result["levels"][LEVEL]["metrics"][ACCURACY]
        bounds = {key: one[key] for key in ("value", "low", "high")}
        bars.append({"name": found.title(name), **bounds, "ceiling": top, "group": ""})
    return {
        "key": "accuracy",
        "title": "Accuracy of every classifier",
        "caption": "95 % intervals over the patients."
        + ("" if top is None else " Green: the ceiling, from the truth of the phantom."),
        "kind": "bars",
        "data": {"metric": "accuracy", "bars": bars},
    }
