"""One lesion's part of an answer, from its samples and what the network says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai.catalogue import Caution
from mpmri_monai.evaluation.levels import at_level
from mpmri_monai.evaluation.predictions import PROBABILITY
from mpmri_monai.explain import Explanation
from mpmri_monai.inference.limits import outside_training, why_abstain
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.samples.sample import Sample
from mpmri_monai.sequences import DCE

DECIMALS = 6
"""Written digits of a probability."""


@dataclass(frozen=True)
class LesionData:
    """What is known of one lesion before its answer."""

    name: str
    samples: Sequence[Sample]
    rows: pd.DataFrame
    """Of the predictions, one a sample."""
    times_s: Mapping[str, float]
    """Sequence -> seconds since the first phase of its acquisition."""
    cautions: Sequence[Caution] = ()
    """About its mask."""
    score: float | None = None
    """Of a candidate that was found."""

    def mean(self, model: TrainedModel) -> np.ndarray:
        """Return the probabilities of the lesion before calibration, shape (1, class)."""
        columns = [PROBABILITY + label for label in model.task.classes]
        return at_level(self.rows, model.task, "lesion")[columns].to_numpy()

    def most_probable(self, model: TrainedModel) -> str:
        """Return the class with the highest probability, which calibration does not change."""
        return model.task.classes[int(self.mean(model).argmax())]


def lesion_answer(lesion: LesionData, model: TrainedModel, explanation: Explanation | None) -> dict[str, Any]:
    """Return the lesion's entry of ``result.json``: the mean over its slices, calibrated where the weights are."""
    classes, mean, samples = model.task.classes, lesion.mean(model), lesion.samples
    (shown,), sets = model.calibrated(mean), model.conformal_sets(mean)
    outside = outside_training(samples, model, lesion.times_s)
    because = why_abstain(float(shown.max()), model, outside)
    return {
        "id": lesion.name,
        "probabilities": {label: round(float(p), DECIMALS) for label, p in zip(classes, shown, strict=True)},
        "predicted": None if because else lesion.most_probable(model),
        "abstained_because": because,
        **({} if sets is None else {"conformal_set": sets[0]}),
        **({} if explanation is None else explained(explanation)),
        **({} if lesion.score is None else {"score": round(lesion.score, DECIMALS)}),
        "present": {name: bool(lesion.rows[f"present_{name}"].any()) for name in model.fusion},
        "position_mm": [round(float(x), 1) for x in np.mean([s.position_mm for s in samples], axis=0)],
        "extent_mm": round(float(samples[0].extent_mm), 1),
        "slices": len(lesion.rows) * (model.size[0] if len(model.size) == 3 else 1),
        "slices_without": {name: count for name, count in _absent(lesion.rows, model).items() if count},
        "tsic": signal_curve(samples),
        "warnings": [*warnings(samples, lesion.rows, model), *map(_about_mask, lesion.cautions)],
        "range_warnings": [one.text for one in outside],
    }


def explained(explanation: Explanation) -> dict[str, Any]:
    """Return the numbers of an explanation; its maps are for the report."""
    return {
        "explained": explanation.explained,
        "agreement": round(explanation.agreement, DECIMALS),
        "variants": explanation.variants,
        "importance": {name: round(change, DECIMALS) for name, change in explanation.importance.items()},
    }


def signal_curve(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the lesion's mean signal by DCE phase relative to the plain phase S0, as the reference holds its curves.

    Empty without S0. A phase that no slice has is left out.
    """
    names = [name for name in DCE if name in samples[0].sequences]
    signals = {name: [s.signal[s.sequences.index(name)] for s in samples] for name in names}
    means = {name: float(np.nanmean(values)) for name, values in signals.items() if np.isfinite(values).any()}
    plain = means.get("S0", 0.0)
    return {name: round(mean / plain, 4) for name, mean in means.items()} if plain > 0 else {}


def warnings(samples: Sequence[Sample], rows: pd.DataFrame, model: TrainedModel) -> list[str]:
    """Return what a reader has to know of the samples: sequences that are missing, parts that were not seen."""
    missing = _absent(rows, model)
    found = [_about_missing(name, slices, len(rows), model) for name, slices in missing.items() if slices]
    if any("cut" in sample.flags for sample in samples):
        found.append("the lesion is larger than the crop that the network sees: it saw a part")
    used = set(model.fusion)
    return found + sorted({flag for sample in samples for flag in sample.flags if flag.partition(":")[2] in used})


def _absent(rows: pd.DataFrame, model: TrainedModel) -> dict[str, int]:
    """Return on how many samples each sequence of the fusion is absent."""
    return {name: int((~rows[f"present_{name}"].astype(bool)).sum()) for name in model.fusion}


def _about_missing(name: str, slices: int, of: int, model: TrainedModel) -> str:
    share = model.reference["present"][name]
    what = f"{name} is missing" + (f" on {slices} of {of} slices" if slices < of else "")
    if name not in model.required:
        return f"{what}; this network was made to do without it"
    if share == 1 and not model.reference.get("sequence_dropout"):
        return f"{what}, and training never saw it missing: do not rely on this answer"
    if share == 1:
        return f"{what}; training left it out at random, and this bundle asks for it all the same"
    return f"{what}, as it was in {1 - share:.1%} of the training samples"


def _about_mask(caution: Caution) -> str:
    return f"its region: {caution.message} ({caution.code})"
