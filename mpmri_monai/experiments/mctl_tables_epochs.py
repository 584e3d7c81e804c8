"""How fast the networks of the comparison learn: accuracy over the epochs, and epochs to reach the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from mpmri_monai.evaluation.bootstrap import CONFIDENCE
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.mctl_tables_arms import NETWORKS, RANDOM, TRANSFERRED
from mpmri_monai.experiments.mctl_tables_folds import Folds
from mpmri_monai.experiments.summary import mean_over_epochs

VALIDATION, TRAINING = "val_accuracy", "train_accuracy"
WORDS = {VALIDATION: "Cases of validation patients", TRAINING: "Augmented training samples"}


@dataclass(frozen=True)
class Reached:
    """Epochs until the validation accuracy first is what both starts of a fit reach at some time.

    That is the lower of their two highest accuracies, so that neither start is favoured.

    Attributes:
        transferred: epochs of each fit, shape (fit,).
        random: of the same fits.
        validating: patients who validate a fit, as a share of those who train it.
    """

    transferred: np.ndarray
    random: np.ndarray
    validating: float

    @classmethod
    def of(cls, context: Context, folds: Folds) -> Reached | None:
        """Read the learning curves of the fits that both starts have finished; None where nobody validated."""
        runs = {run.name: run for run in context.runs()}
        pairs = []
        for fit in folds.fits:
            names = [f"{arm.name}/{fit}" for arm in (TRANSFERRED, RANDOM)]
            if all(name in runs for name in names):
                curves = [context.history(runs[name])[VALIDATION].to_numpy(float) for name in names]
                if all(np.isfinite(curve).all() and len(curve) for curve in curves):
                    pairs.append(epochs_to_both(*curves))
        count = folds.table["role"].value_counts()
        return cls(*np.array(pairs, float).T, validating=count["val"] / count["train"]) if pairs else None

    @property
    def difference(self) -> tuple[float, float | None, float | None]:
        """Mean of transferred − random over the fits, with its interval; no ends where there is no spread.

        Fits share patients, so that more of them do not add as much as independent ones would: the variance of their
        mean is taken as s² (1 / fits + validating / training patients), of the corrected resampled t-test (Nadeau and
        Bengio, Machine Learning 52, 2003).
        """
        gained = self.transferred - self.random
        mean, sd = float(gained.mean()), float(gained.std(ddof=1)) if len(gained) > 1 else 0.0
        if not sd:
            return mean, None, None
        reach = float(t.ppf((1 + CONFIDENCE) / 2, len(gained) - 1)) * sd * np.sqrt(1 / len(gained) + self.validating)
        return mean, mean - reach, mean + reach

    @property
    def shown(self) -> str:
        """The difference with its interval."""
        mean, low, high = self.difference
        return f"{mean:+.1f} [no interval]" if low is None else f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"

    @property
    def sentence(self) -> str:
        """The difference in words."""
        return f"epochs to the validation accuracy that both reach, transferred minus random, {self.shown}."

    @property
    def row(self) -> list[str]:
        """The row of the table on transfer: means and difference."""
        means = [f"{epochs.mean():.1f}" for epochs in (self.transferred, self.random)]
        return ["epochs to the same validation accuracy", *means, self.shown, ""]

    @property
    def caption(self) -> str:
        """What the row means."""
        return (
            "Epochs until the validation accuracy first is what both starts reach in the fold at some time; the "
            f"interval is over {len(self.random)} fits, and longer for the patients that they share (corrected "
            "resampled t-test, Nadeau and Bengio 2003)."
        )


def epochs_to_both(first: Sequence[float], second: Sequence[float]) -> tuple[int, int]:
    """Return the epochs, from 1 on, in which each of two curves first has the lower of their maxima."""
    level = min(max(first), max(second))
    return tuple(int(np.argmax(np.asarray(curve) >= level)) + 1 for curve in (first, second))  # type: ignore[return-value]


def epochs_figure(context: Context) -> list[dict[str, Any]]:
    """Return the figure of accuracy over the epochs: of validation patients or, where there are none, of training."""
    arms = [arm for arm in NETWORKS if context.runs(arm.name)]
    if not arms:
        return []
    watched = [context.history(run)[VALIDATION].notna().all() for arm in arms for run in context.runs(arm.name)]
    column = VALIDATION if all(watched) else TRAINING
    return [
        {
            "key": "epochs",
            "title": "Accuracy over the epochs",
            "caption": f"{WORDS[column]}; mean ± SD over folds and repetitions, which is no interval.",
            "kind": "epochs",
            "data": {
                "curves": [mean_over_epochs(context, arm.name, column, arm.title) for arm in arms],
                "y_label": "accuracy",
            },
        }
    ]
