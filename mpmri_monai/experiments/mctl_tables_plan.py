"""The trainings of the MCTL comparison: autoencoders, and every arm on the same folds by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mpmri_monai.cohort import load_manifest
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import ENCODER, OUT, Context
from mpmri_monai.experiments.mctl_tables_arms import Arm
from mpmri_monai.experiments.mctl_tables_folds import Folds
from mpmri_monai.experiments.nested import OuterFold
from mpmri_monai.experiments.plan import Run
from mpmri_monai.experiments.question import Question, positive_option, recipe, refuse_seen, seen_before
from mpmri_monai.experiments.repetitions import bundle_config

OWN = "own"
"""The option ``source`` for autoencoders that are trained on the training patients of each fold."""
AUTOENCODER = "autoencoder"
WATCHED = {"val_interval": 1, "patience": 0}
"""Every epoch is validated and none is left out, so that curves over the epochs can be averaged."""
CONVOLUTIONS = ("layers", "filters")
"""What autoencoder and classifier have to have alike."""
SHAPE, SPACING = ("slices", "pixels"), ("depth_mm", "plane_mm")
"""Options that set the grid of the classifier's crops; patches share their spacing alone."""
WINDOW, REACH = ("window", "trim"), ("reach",)
"""Options that set how grey values become samples, of crops and patches alike, and how much more of crops is stored."""


@dataclass(frozen=True)
class Comparison:
    """The plan of the experiment.

    Attributes:
        context: of the experiment.
        question: the classifier's task on the cohort.
        encoder_bundle: the autoencoder's bundle; None where weights are given.
        folds: who trains and tests.
    """

    context: Context
    question: Question
    encoder_bundle: Path | None
    folds: Folds

    @classmethod
    def of(cls, context: Context) -> Comparison:
        """Read what was asked.

        Raises:
            ConfigError: bundles or options that do not fit; as `Folds.of`.
            LeakageError: the autoencoder has seen patients who are tested.
        """
        kinds = {True: [], False: []}
        for bundle in context.bundles:
            kinds["task" in bundle_config(bundle)].append(bundle)
        given = context.option("pretrained", "")
        if len(kinds[True]) != 1 or len(kinds[False]) > 1 or bool(kinds[False]) == bool(given):
            raise ConfigError(
                expected="--bundle of an autoencoder, or --option pretrained=FILE, and --bundle of a classifier",
                found=", ".join(bundle.name for bundle in context.bundles) + (f", pretrained={given}" if given else ""),
                fix="give --bundle bundles/mctl_autoencoder --bundle bundles/mctl_brain",
                code="E_OPTION",
            )
        _check_sources(context, given)
        question = Question.about(context, kinds[True][0])
        _check_classifier(question)
        folds = Folds.of(context, question)
        _refuse_seen(context, given, folds.tested)
        return cls(context, question, None if given else kinds[False][0], folds)

    @property
    def source(self) -> str:
        """Where patches come from: `OWN`, or the manifest of another cohort; empty where weights are given."""
        return "" if self.encoder_bundle is None else self.context.option("source", OWN)

    @cached_property
    def source_in_words(self) -> str:
        """The source in words."""
        if self.source == OWN:
            return "the training patients of each fold"
        return load_manifest(Path(self.source)).name if self.source else ""

    @cached_property
    def common(self) -> dict[str, Any]:
        """Overrides that all arms share: epochs, copies, the sizes of the network, how crops are sampled."""
        return {
            **WATCHED,
            **recipe(self.context, self.question),
            **self._sizes(*CONVOLUTIONS, "dense"),
            **self._samples(self.question.bundle, (*SHAPE, *SPACING), (*WINDOW, *REACH)),
        }

    @cached_property
    def autoencoders(self) -> list[Run]:
        """The trainings on patches: one for each fold, or one on another cohort."""
        bundle = self.encoder_bundle
        if bundle is None:
            return []
        config = bundle_config(bundle)
        options = {
            **self._sizes(*CONVOLUTIONS),
            **self._samples(bundle, ("patches", *SPACING), WINDOW),
            "max_epochs": positive_option(self.context, "pretraining_epochs", config["max_epochs"]),
            "masked": self.context.option("masked", float(config["masked"])),
        }
        if self.source != OWN:
            place = {"manifest": str(Path(self.source).resolve()), "seed": self.context.seed}
            return [Run(f"{AUTOENCODER}/source", AUTOENCODER, bundle, {**options, **place})]
        return [
            Run(f"{AUTOENCODER}/{fit}", AUTOENCODER, bundle, {**options, **self._place(fit)}) for fit in self.folds.fits
        ]

    def encoder(self, fit: OuterFold) -> str:
        """Return the file of convolutions that the transferred arms of a fit begin with."""
        if self.encoder_bundle is None:
            return str(Path(self.context.option("pretrained", "")).resolve())
        return f"{OUT}/runs/{AUTOENCODER}/{fit if self.source == OWN else 'source'}/{ENCODER}"

    def trainings(self, arms: Sequence[Arm]) -> list[Run]:
        """Return the trainings of some arms, fold by fold."""
        return [
            Run(
                name=f"{arm.name}/{fit}",
                cell=arm.name,
                bundle=self.question.bundle,
                options={**self.common, **arm.start(self.encoder(fit)), **self._place(fit)},
            )
            for fit in self.folds.fits
            for arm in arms
        ]

    def kept(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Return the runs, with the splits that they read in the experiment's folder."""
        self.folds.keep(self.context)
        return runs

    def _place(self, fit: OuterFold) -> dict[str, Any]:
        return {**self.folds.options(fit), "seed": self.context.seed + fit.repeat}

    def _sizes(self, *keys: str) -> dict[str, int]:
        """Return the classifier's own sizes, or those of the options."""
        return {key: positive_option(self.context, key, self.question.config[key]) for key in keys}

    def _samples(self, bundle: Path, of_grid: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
        """Return the overrides of a bundle's samples that were given as options: the whole grid, and other settings."""
        samples = bundle_config(bundle)["samples"]
        grid = {**samples["grid"], **self._given(samples["grid"], of_grid)}
        changed = {f"samples#{key}": value for key, value in self._given(samples, others).items()}
        return changed if grid == samples["grid"] else {"samples#grid": grid, **changed}

    def _given(self, settings: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
        """Return those options that were given, in the type of the settings."""
        return {key: self.context.option(key, settings[key]) for key in keys if key in self.context.options}


def _check_sources(context: Context, given: str) -> None:
    """Refuse weights and a source together, and files that are not there."""
    source = context.option("source", OWN)
    if given and "source" in context.options:
        raise ConfigError(expected="--option source or pretrained", found="both", code="E_OPTION")
    for option, file in (("pretrained", given), ("source", "" if source == OWN else source)):
        if file and not Path(file).is_file():
            raise ConfigError(expected=f"a file for --option {option}", found=f"no file {file}", code="E_OPTION")


def _refuse_seen(context: Context, given: str, tested: set[str]) -> None:
    """Refuse an autoencoder that has seen, or would see, patients who are tested."""
    source = context.option("source", OWN)
    if given:
        refuse_seen(given, tested)
    elif source != OWN:
        shared = tested & {study.patient for study in load_manifest(Path(source)).studies}
        if shared:
            raise seen_before(len(shared), len(tested), Path(source).name)


def _check_classifier(question: Question) -> None:
    """Refuse a bundle that has no 3D networks to choose from."""
    if "architecture" not in question.config or not question.config["samples"].get("grid"):
        raise ConfigError(
            expected="a bundle of a 3D classifier, with an architecture and a grid of samples",
            found=question.bundle.name,
            fix="give --bundle bundles/mctl_brain",
            code="E_OPTION",
        )
