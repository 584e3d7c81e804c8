"""A trained bundle and a cohort of the hospital that got it: what the one says of the other, patient for patient."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.inspect import refuse_unsafe
from mpmri_monai.bundle.network import check_device
from mpmri_monai.bundle.pack import opened
from mpmri_monai.bundle.provenance import count_seen
from mpmri_monai.errors import BundleError, LeakageError
from mpmri_monai.evaluation import Fitted
from mpmri_monai.evaluation.levels import UNIT, at_level
from mpmri_monai.evaluation.predictions import KEY_COLUMNS, PRESENT, PROBABILITY
from mpmri_monai.evaluation.temperature import Temperature
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.sequences import Task, fusion_name
from mpmri_monai.training import prediction_rows
from mpmri_monai.training.prediction import predict

AS_TEST = {"repeat": 0, "outer": 0, "inner": "", "role": "test"}
"""Of whom a model scores that had no part in its training."""


@dataclass(frozen=True)
class TrustedBundle:
    """A bundle that was inspected before anything of it was evaluated, and its trained model."""

    folder: Path
    model: TrainedModel


@contextmanager
def trusted_bundle(path: Path, accepted: Collection[str] = ()) -> Iterator[TrustedBundle]:
    """Open a bundle, a folder or packed, after inspecting it.

    Args:
        path: of the bundle.
        accepted: codes of the inspection's findings that are accepted by name.

    Raises:
        BundleError: it is none, or holds what may not run here (E_UNSAFE).
        WeightsError: its weights are missing, or not those that its reference describes.
    """
    with opened(Path(path)) as folder:
        refuse_unsafe(folder, accepted)
        yield TrustedBundle(folder, TrainedModel(folder / "models", folder))


def local_cohort(
    model: TrainedModel, manifest: Path, workers: int = 0, seed: int = 0, split: Mapping[str, Any] | None = None
) -> CohortData:
    """Return a local cohort as the bundle's network sees it: its task, its channels, its samples.

    Args:
        model: of the bundle.
        manifest: of the cohort.
        workers: processes that prepare studies.
        seed: of the split.
        split: settings of `cohort.SplitSettings`, where the patients are to be divided.

    Raises:
        BundleError: the manifest orders the classes otherwise.
        ManifestError, LeakageError, StoreError, ConfigError: as `CohortData`.
    """
    samples = model.reference["samples"]
    cohort = CohortData(
        manifest, model.task.name, fusion_name(model.fusion), samples, split or {}, seed=seed, workers=workers
    )
    if cohort.task.classes != model.task.classes:
        raise BundleError(
            expected=f"the classes in the bundle's order, {', '.join(model.task.classes)}",
            found=", ".join(cohort.task.classes),
            where=cohort.manifest.name,
            fix="order them so in the manifest",
        )
    return cohort


def seen_among(model: TrainedModel, patients: Collection[str]) -> list[str] | None:
    """Return those of ``patients`` who had a part in the weights or in what was fitted beside them, sorted.

    None when the reference does not say whom the weights have seen.
    """
    fitted = {patient for part in model.fitted for patient in part.seen.among(patients)}
    seen = model.reference.get("trained_on", {}).get("seen")
    if seen is None:
        return sorted(fitted) or None
    return sorted(patient for patient in set(patients) if patient in fitted or count_seen(seen, [patient]))


def refuse_seen(model: TrainedModel, patients: Collection[str], where: str, other_people: bool = False) -> str:
    """Refuse patients whom the bundle has seen; return how that is known of the others, in words.

    Args:
        model: whose reference says whom it has seen, by salted hashes of their codes.
        patients: codes of the local ones.
        where: name of their cohort.
        other_people: the user states that equal codes, such as P001, are other people's.

    Raises:
        LeakageError: E_LEAK, with how many.
    """
    seen = seen_among(model, patients)
    if seen and other_people:
        return f"as the user states of the {len(seen)} whose codes are also in its training"
    if seen:
        raise LeakageError(
            expected="patients whom the bundle has not seen in training or calibration",
            found=f"{len(seen)} of {len(set(patients))} that it has, such as {', '.join(seen[:3])}",
            where=where,
            fix="leave them out of the manifest; if they are other people who happen to bear the same codes, say so "
            "with --other-people",
            code="E_LEAK",
        )
    return "not checked: its reference does not say whom it has seen" if seen is None else "checked by their codes"


def predictions(
    model: TrainedModel, network: nn.Module, cohort: CohortData, device: str | torch.device, patients: Collection[str]
) -> pd.DataFrame:
    """Return the predictions table of the samples of some patients, all as role ``test``, as the network gives them."""
    rows = cohort.usable[cohort.usable["patient"].isin(patients)]
    label = (
        rows["label"]
        .map({name: number for number, name in enumerate(cohort.task.classes)})
        .to_numpy("int64", copy=True)
    )
    data = cohort.stored(rows, label)
    probabilities = predict(network.to(device), data, device, model.reference["pixels"], model.averaging)
    return prediction_rows(data, probabilities, cohort.task, cohort.manifest.sequences, AS_TEST)


def as_answered(rows: pd.DataFrame, task: Task, temperature: Temperature | None) -> pd.DataFrame:
    """Return the predictions table of the lesions, with the probabilities that an answer shows.

    Args:
        rows: of `predictions`: the mean over a lesion's samples is taken, then the temperature, where there is one.
        task: the classes in order.
        temperature: of the weights.
    """
    lesions, columns = at_level(rows, task, "lesion"), [PROBABILITY + name for name in task.classes]
    if temperature is not None:
        lesions[columns] = temperature.scaled(lesions[columns].to_numpy())
    of_lesion = rows.groupby(UNIT["lesion"], sort=False)
    present = [name for name in rows if name.startswith(PRESENT)]
    kept = of_lesion[present].any().join(of_lesion["site"].first()).reset_index()
    table = lesions.merge(kept, on=UNIT["lesion"]).assign(task=task.name, sample="", inner="", role="test")
    return table[[*KEY_COLUMNS, *columns, *present]]


def temperature_among(fitted: Iterable[Fitted]) -> Temperature | None:
    """Return the temperature among what was fitted beside some weights, or None."""
    return next((part for part in fitted if isinstance(part, Temperature)), None)


def pick_device(name: str) -> str:
    """Return the device ``name``; of ``auto`` a GPU, where there is one.

    Raises:
        ConfigError: E_DEVICE, this machine has no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    check_device(name)
    return name
