"""The trainings of a fine-tuning: every depth on inner folds of the tuning patients, then the chosen one on them all.

The patients who judge the result are split off before anything is chosen (`cohort.holdout`), and no training here reads
them but to score its last weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mpmri_monai import artefacts
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.errors import BundleError, ConfigError, SplitError
from mpmri_monai.evaluation import read_predictions
from mpmri_monai.evaluation.scored import Scored, scored
from mpmri_monai.evaluation.temperature import FLOOR
from mpmri_monai.experiments.worker import RunJob, execute_run
from mpmri_monai.inference.local import TrustedBundle, local_cohort, pick_device, predictions
from mpmri_monai.sequences import fusion_name

CONFIGS = ("train", "finetune")
AS_IT_IS = 0
"""The depth of a bundle that is not tuned at all."""
INNER_FOLDS = 3
LEAST_FOLDS = 2
DROPOUT = "sequence_dropout"
THREADS = 1
"""Batches of small crops gain little by a second thread, and lose much where it has to wait for other programs."""


@dataclass(frozen=True)
class Tuning:
    """How a bundle is fine-tuned.

    Attributes:
        held_out: share of the local patients that judge the result.
        depths: numbers of layers to choose among, counted from the head; 0 leaves the bundle as it is. Empty for none,
            the head, two, half and all of them; a single one is taken without inner folds.
        epochs: of each training; 0 for those of the bundle's ``finetune.json``.
        other_people: patients whose codes the bundle knows from its training are other people, as the user states.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: processes that prepare studies.
        seed: of who is held out, of the folds and of the trainings.
    """

    held_out: float = 0.5
    depths: tuple[int, ...] = ()
    epochs: int = 0
    other_people: bool = False
    device: str = "auto"
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise ConfigError(
                expected="a share of the patients between 0 and 1 to hold out",
                found=str(self.held_out),
                code="E_OPTION",
            )
        if self.epochs < 0:
            raise ConfigError(expected="a number of epochs", found=str(self.epochs), code="E_OPTION")


def choose_depth(losses: pd.DataFrame) -> int:
    """Return the shallowest depth whose loss is within one standard error of the least.

    The rule is that of Breiman et al. (Classification and Regression Trees, 1984, section 3.4.3), with the standard
    error of the paired difference to the best: a few patients would else choose by chance, and a deep tuning that was
    chosen by chance costs more than a shallow one.

    Args:
        losses: a row a patient, a column a depth.
    """
    best = losses.mean().idxmin()
    for depth in sorted(losses.columns):
        worse = losses[depth] - losses[best]
        if worse.mean() <= worse.std(ddof=1) / len(worse) ** 0.5:
            return int(depth)
    return int(best)


@dataclass(frozen=True)
class Trainings:
    """The trainings of one bundle on one local cohort.

    Attributes:
        trusted: the bundle to start from.
        manifest: of the local cohort.
        folder: where the run folders go; a repeated command goes on with what is there.
        tuning: how.
    """

    trusted: TrustedBundle
    manifest: Path
    folder: Path
    tuning: Tuning

    def __post_init__(self) -> None:
        pick_device(self.tuning.device)  # refuses what this machine has not
        for name in CONFIGS:
            if not (self.trusted.folder / "configs" / f"{name}.json").is_file():
                raise BundleError(
                    expected=f"a bundle with configs/{name}.json",
                    found="none",
                    where=self.trusted.model.bundle["name"],
                    fix="take a version of the bundle that can be fine-tuned",
                )

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The candidates, the shallowest first.

        Raises:
            ConfigError: the network has no such depth.
        """
        layers = len(self.trusted.model.network().layer_names)
        depths = self.tuning.depths or (AS_IT_IS, 1, 2, layers // 2, layers)
        if not all(AS_IT_IS <= depth <= layers for depth in depths):
            raise ConfigError(
                expected=f"depths from {AS_IT_IS} to {layers}, such as 0,1,2,{layers}",
                found=",".join(map(str, depths)),
                code="E_DEPTH",
            )
        return tuple(sorted(set(depths)))

    @cached_property
    def local(self) -> CohortData:
        """The local cohort, divided: role ``test`` judges, the others tune, in as many inner folds as they allow.

        Raises:
            SplitError: the tuning patients are too few for a choice by inner folds.
        """
        return self._divided(INNER_FOLDS) if len(self.depths) > 1 else self._divided(0)

    def _divided(self, folds: int) -> CohortData:
        split = {"test": self.tuning.held_out, "val": 0.0, "inner_folds": folds}
        made = local_cohort(self.trusted.model, self.manifest, self.tuning.workers, self.tuning.seed, split)
        try:
            made.splits  # noqa: B018  made on first use
        except SplitError:
            if folds <= LEAST_FOLDS:
                raise
            return self._divided(folds - 1)
        return made

    @property
    def roles(self) -> dict[str, str]:
        """``train`` or ``test`` of each local patient."""
        return self.local.roles

    def patients(self, role: str) -> list[str]:
        """Return the patients in a role that have a sample, sorted."""
        usable = set(self.local.usable["patient"])
        return sorted(patient for patient, given in self.roles.items() if given == role and patient in usable)

    @cached_property
    def inner(self) -> dict[int, pd.DataFrame]:
        """Predictions for the tuning patients by depth, each patient by a network that was not tuned on them."""
        found = {}
        for depth in self.depths:
            if depth == AS_IT_IS:
                found[depth] = self.as_it_is(self.patients("train"))
            else:
                tables = [self._run(depth, fold) for fold in range(self.local.split.inner_folds)]
                found[depth] = pd.concat([table[table["role"] == "val"] for table in tables], ignore_index=True)
        return found

    def as_it_is(self, patients: list[str]) -> pd.DataFrame:
        """Return what the bundle says of some local patients before any tuning."""
        model, device = self.trusted.model, pick_device(self.tuning.device)
        return predictions(model, model.network(), self.local, device, patients)

    @cached_property
    def losses(self) -> pd.DataFrame:
        """The mean negative log-likelihood of each tuning patient's lesions on the inner folds, a column a candidate.

        It is a proper score, which also tells apart networks that all name the right class.
        """
        found = {}
        for depth, table in self.inner.items():
            lesions = self._lesions(table)
            surprise = -np.log(np.maximum(lesions.probabilities[np.arange(len(lesions.truth)), lesions.truth], FLOOR))
            found[depth] = pd.Series(surprise).groupby(lesions.patients).mean()
        return pd.DataFrame(found)

    def scores(self) -> list[dict[str, Any]]:
        """Return ``depth, layers, nll, accuracy`` of each candidate on the inner folds; ``nll`` is over patients."""
        names = self.trusted.model.network().layer_names
        found = []
        for depth, table in self.inner.items():
            lesions = self._lesions(table)
            right = float((lesions.probabilities.argmax(axis=1) == lesions.truth).mean())
            layers = list(names[len(names) - depth :])
            found.append({"depth": depth, "layers": layers, "nll": float(self.losses[depth].mean()), "accuracy": right})
        return found

    def _lesions(self, table: pd.DataFrame) -> Scored:
        return scored(table.assign(inner="", role="test"), self.local.task, "lesion")

    def final(self, depth: int) -> Path:
        """Tune ``depth`` layers on all tuning patients; return the run folder."""
        self._run(depth)
        return self._folder(depth)

    def _folder(self, depth: int, fold: int = -1) -> Path:
        return self.folder / f"depth-{depth}" / ("all" if fold < 0 else f"inner-{fold}")

    def _run(self, depth: int, fold: int = -1) -> pd.DataFrame:
        """Train on the patients outside an inner fold, or on all tuning patients; return the predictions."""
        folder = self._folder(depth, fold)
        options = self._options() | {
            "finetune_depth": depth,
            "results": "report" if fold < 0 else "predictions",
            "split#inner": fold,
            "output_dir": str(folder),
        }
        cache, data = artefacts.cache_folder(), self.local.store.digest()
        execute_run(RunJob(self.trusted.folder.resolve(), folder, options, cache, data, CONFIGS))
        return read_predictions(folder / "predictions.csv")

    @cached_property
    def start(self) -> Path:
        """The bundle's weights, with their reference, beside the trainings.

        A packed bundle lies in another place each time that it is opened, and a training goes on only from the weights
        of the same name.
        """
        folder = (self.folder / "start").resolve()
        for name in ("model.pt", "reference.json"):
            with artefacts.whole_file(folder / name) as part:
                shutil.copyfile(self.trusted.folder / "models" / name, part)
        return folder / "model.pt"

    def _options(self) -> dict[str, Any]:
        """Return the overrides that all trainings share: the question of the weights, the local data, the split."""
        model, tuning, split = self.trusted.model, self.tuning, self.local.split
        known: Mapping[str, Any] = artefacts.read_json(self.trusted.folder / "configs" / "train.json")
        options: dict[str, Any] = {
            "manifest": str(Path(self.manifest).resolve()),
            "task": model.task.name,
            "fusion": fusion_name(model.fusion),
            "pretrained": str(self.start),
            "averaging": model.averaging,
            "seed": tuning.seed,
            "num_workers": tuning.workers,
            "threads": THREADS,
            "split#test": split.test,
            "split#val": split.val,
            "split#inner_folds": split.inner_folds,
        }
        options |= {key: value for key, value in model.reference["network"].items() if key in known}
        if DROPOUT in known and DROPOUT in model.reference:
            options[DROPOUT] = model.reference[DROPOUT]
        samples = model.reference["samples"]
        options |= {f"samples#{key}": value for key, value in samples.items() if key in known["samples"]}
        if tuning.epochs:
            options["max_epochs"] = tuning.epochs
        if tuning.device != "auto":
            options["device"] = tuning.device
        return options
