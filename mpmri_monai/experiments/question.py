"""What an experiment on one bundle asks: its task, its data, and the part of the recipe that may be made shorter."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from mpmri_monai import sequences
from mpmri_monai.bundle.provenance import SCRATCH, count_seen, seen_by
from mpmri_monai.cohort import Manifest, load_manifest
from mpmri_monai.errors import ConfigError, LeakageError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.repetitions import bundle_config
from mpmri_monai.phantom.classes import model_of
from mpmri_monai.phantom.truth import ceiling, read_truth

SHORTER = {"epochs": "max_epochs", "views": "views", "copies": "copies"}
"""Options of experiments with many runs, and the keys of the training configuration that they set."""


@dataclass(frozen=True)
class Question:
    """One bundle's task on one cohort.

    Attributes:
        bundle: its folder.
        config: its training configuration as written, but for what is asked instead of its own question.
        manifest: the cohort.
    """

    bundle: Path
    config: dict[str, Any]
    manifest: Manifest

    @classmethod
    def of(cls, context: Context) -> Question:
        """Return the question of an experiment that takes exactly one bundle.

        Raises:
            ConfigError: more than one bundle was given, or none.
        """
        if len(context.bundles) != 1:
            raise ConfigError(
                expected="one --bundle for this experiment", found=str(len(context.bundles)), code="E_OPTION"
            )
        return cls.about(context, context.bundles[0])

    @classmethod
    def about(cls, context: Context, bundle: Path) -> Question:
        """Return what the experiment asks with one of its bundles."""
        return cls(bundle, {**bundle_config(bundle), **context.asked}, load_manifest(context.manifest))

    @property
    def task(self) -> sequences.Task:
        """The question that the bundle answers: by its own task, or about a label of the cohort."""
        return sequences.task(self.config["task"], self.manifest.classes)

    @property
    def fusion(self) -> str:
        """The bundle's own fusion in canonical form."""
        return sequences.fusion_name(sequences.fusion(self.config["fusion"], self.manifest.sequences))

    @property
    def title(self) -> str:
        """Task and cohort."""
        return f"{self.task.name} on {self.manifest.name}"

    @property
    def sentence(self) -> str:
        """What is told apart, in words."""
        return f"Task {self.task.name}: {', '.join(self.task.classes)}, {len(self.manifest.studies)} studies."

    @cached_property
    def truth(self) -> pd.DataFrame | None:
        """A phantom's truth where it bounds what can be reached: it is about the task's classes; None for all else."""
        if self.manifest.truth is None:
            return None
        truth = read_truth(self.manifest.path(self.manifest.truth))
        about = model_of(truth["label"].unique()).classes if "label" in truth else ()
        return truth if set(about) == set(self.task.classes) else None

    def ceilings(self, fusion: Sequence[str], predictions: pd.DataFrame, seed: int) -> dict[str, dict] | None:
        """Return accuracy and macro AUC that the Bayes classifier of the phantom reaches on the lesions predicted."""
        if self.truth is None:
            return None
        lesions = set(zip(predictions["patient"], predictions["lesion"], strict=True))
        return ceiling(self.truth, fusion, lesions, self.task.classes, seed)


def recipe(context: Context, question: Question) -> dict[str, Any]:
    """Return the overrides that the options of `SHORTER` stand for; none where they were not given.

    Raises:
        ConfigError: one of them is no positive number, or the bundle has no such part of a recipe.
    """
    asked = {option: key for option, key in SHORTER.items() if option in context.options}
    for option, key in asked.items():
        if key not in question.config:
            raise ConfigError(
                expected=f"a bundle that can be trained with --option {option}",
                found=f"{question.bundle.name}, whose configuration has no {key}",
                code="E_OPTION",
            )
    return {key: positive_option(context, option, question.config[key]) for option, key in asked.items()}


def positive_option(context: Context, option: str, default: int, least: int = 1) -> int:
    """Return an option that counts something.

    Raises:
        ConfigError: it is less than ``least``.
    """
    value = context.option(option, default)
    if value < least:
        raise ConfigError(expected=f"at least {least} for --option {option}", found=str(value), code="E_OPTION")
    return value


def weights_option(context: Context, **places: object) -> str:
    """Return the weights of the option ``pretrained`` as a whole path; scratch where it was not given.

    Args:
        context: has the option.
        places: what stands for ``{layers}`` and the like in the name of the file, by name.

    Raises:
        ConfigError: there is no such file.
    """
    typed = context.option("pretrained", SCRATCH)
    if typed == SCRATCH:
        return SCRATCH
    for name, value in places.items():
        typed = typed.replace(f"{{{name}}}", str(value))
    path = Path(typed)
    if not path.is_file():
        found = f"no file {path}"
        raise ConfigError(expected="a file of weights for --option pretrained", found=found, code="E_WEIGHTS")
    return str(path.resolve())


def refuse_seen(weights: str, tested: Collection[str]) -> None:
    """Refuse, before anything is trained, weights of which the leak audit would find in the end whom they have seen.

    Of those whose patients are not known the audit says that they are not.

    Raises:
        LeakageError: patients who are to be tested are among them.
    """
    if found := count_seen(seen_by(weights) or (), tested):
        raise seen_before(found, len(tested), Path(weights).name)


def seen_before(found: int, tested: int, where: str) -> LeakageError:
    """Return the error of a start that has seen ``found`` of the patients who are to be tested."""
    return LeakageError(
        expected="a start that has seen no patient who is tested, told apart by their codes",
        found=f"{found} of {tested} tested patients",
        where=where,
        fix="start from other patients, or give those of one cohort other codes where they are other persons",
        code="E_LEAK_PRETRAINED",
    )
