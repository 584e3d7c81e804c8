"""`mpmri validate`: external validation of a bundle on the labelled patients of another hospital."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from mpmri_monai import artefacts, cohort
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.phase_times import phase_times
from mpmri_monai.bundle.run_folder import software
from mpmri_monai.bundle.version import new_version
from mpmri_monai.errors import ConfigError, SplitError
from mpmri_monai.evaluation import calibrate, evaluate, metrics_table, read_fitted, write_predictions
from mpmri_monai.evaluation.calibration import before_and_after
from mpmri_monai.evaluation.calibration_slope import calibration_slopes
from mpmri_monai.evaluation.external import differences, verdict
from mpmri_monai.evaluation.reliability import reliability
from mpmri_monai.evaluation.scored import resampling, scored
from mpmri_monai.evaluation.shift import TIMING, shifts
from mpmri_monai.evaluation.temperature import Temperature
from mpmri_monai.inference.local import (
    TrustedBundle,
    as_answered,
    local_cohort,
    pick_device,
    predictions,
    refuse_seen,
    temperature_among,
    trusted_bundle,
)
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.report.validation import write_validation_report
from mpmri_monai.sequences import Task

SCHEMA = "mpmri-monai/validation/1"
BOOTSTRAPS = 2000


@dataclass(frozen=True)
class Choices:
    """How a bundle is validated.

    Attributes:
        recalibrate: share of the local patients that a recalibration is fitted on; the others judge it. 0 for none.
        other_people: patients whose codes the bundle knows from its training are other people, as the user states.
        device: ``auto``, ``cpu`` or ``cuda``.
        workers: processes that prepare studies.
        seed: of resampling, and of who recalibrates.
        bootstraps: resamples of patients.
    """

    recalibrate: float = 0.0
    other_people: bool = False
    device: str = "auto"
    workers: int = 0
    seed: int = 0
    bootstraps: int = BOOTSTRAPS

    def __post_init__(self) -> None:
        if not 0 <= self.recalibrate < 1:
            raise ConfigError(
                expected="a share of the patients below 1 to recalibrate on, 0 for none", found=str(self.recalibrate),
                code="E_OPTION",
            )  # fmt: skip


def validate(
    bundle: Path, manifest: Path, out: Path, choices: Choices | None = None, accepted: Collection[str] = ()
) -> dict[str, Any]:
    """Validate a bundle on the labelled patients of a manifest; return the content of ``metrics.json``.

    ``out`` becomes a folder with ``predictions.csv`` (slices, as the network gives them), ``lesions.csv`` (lesions, as
    an answer shows them), ``metrics.json`` and ``report.html``; after a recalibration also with the bundle's next
    version, in a folder of the bundle's name.

    Args:
        bundle: folder, or packed file.
        manifest: of the local cohort.
        out: folder to create.
        choices: how.
        accepted: codes of the inspection's findings that are accepted by name.

    Raises:
        LeakageError: E_LEAK, the bundle has seen some of these patients.
        BundleError, WeightsError: the bundle is not whole, or not safe to run.
        ManifestError, StoreError, ConfigError, OutputError: each says what is wrong with what was given.
    """
    choices = choices or Choices()
    device = pick_device(choices.device)
    with trusted_bundle(bundle, accepted) as trusted, artefacts.whole_folder(out) as part:
        model = trusted.model
        local = local_cohort(model, manifest, choices.workers, choices.seed)
        patients = sorted(set(local.usable["patient"]))
        unseen = refuse_seen(model, patients, local.manifest.name, choices.other_people)
        slices = predictions(model, model.network(), local, device, patients)
        lesions = as_answered(slices, local.task, temperature_among(model.fitted))
        content = {
            "schema": SCHEMA,
            "research_use_only": True,
            "bundle": model.identity,
            "cohort": _cohort(local, unseen),
            **judged(lesions, local, model, choices),
            "recalibration": None,
            "software": software(),
        }
        if choices.recalibrate:
            content["recalibration"] = _recalibrated(trusted, local, slices, choices, part)
        write_predictions(part / "predictions.csv", slices)
        write_predictions(part / "lesions.csv", lesions)
        artefacts.write_json(part / "metrics.json", content)
        write_validation_report(part / "report.html", content)
    return content


def judged(lesions: pd.DataFrame, local: CohortData, model: TrainedModel, choices: Choices) -> dict[str, Any]:
    """Return discrimination, calibration, shift and the verdict of one table of lesions, as answered."""
    task = local.task
    metrics = evaluate(lesions, task, bootstraps=choices.bootstraps, seed=choices.seed)
    units = scored(lesions, task, "lesion")
    level, there = metrics["levels"]["lesion"], model.reference.get("results", {}).get("lesion", {})
    slopes = calibration_slopes(units)
    rows = local.usable[local.usable["patient"].isin(set(lesions["patient"]))]
    times_s = None
    if model.reference["ranges"].get(TIMING):
        times_s = phase_times(local.manifest, set(rows["study"]), local.workers)
    shift = shifts(rows, model.reference, model.fusion, times_s)
    difference = differences(level["metrics"], there)
    return {
        "metrics": metrics,
        "training_results": {name: there[name] for name in difference if name in there},
        "difference": difference,
        "calibration": {"classes": slopes, "reliability": reliability(units)},
        "shift": shift,
        "verdict": verdict(level, difference, slopes, shift),
    }


def _cohort(local: CohortData, unseen: str) -> dict[str, Any]:
    return {
        "name": local.manifest.name,
        "manifest_digest": local.manifest.digest(),
        "patients": int(local.usable["patient"].nunique()),
        "studies_left_out": len(local.store.failed),
        "unseen": unseen,
    }


def _recalibrated(
    trusted: TrustedBundle, local: CohortData, slices: pd.DataFrame, choices: Choices, out: Path
) -> dict[str, Any]:
    """Fit the calibration again on a part of the patients and judge it on the others.

    The network stays as it is; its temperature, conformal sets and thresholds are new. The bundle's next version is
    written where the judging patients' negative log-likelihood is lower with it.
    """
    task, model = local.task, trusted.model
    try:
        roles = _roles(local, choices)
    except SplitError as error:  # the validation stands without
        return {"fitted_on": 0, "judged_on": 0, "why_not": f"it needs {error.expected}; found {error.found}",
                "version": None}  # fmt: skip
    found = calibrate(slices.assign(role=slices["patient"].map(roles)), task, choices.seed, choices.bootstraps)
    new = temperature_among(read_fitted(found["fitted"]))
    counts = {role: sum(given == role for given in roles.values()) for role in ("val", "test")}
    content = {
        "fitted_on": counts["val"],
        "judged_on": counts["test"],
        "temperature": {"before": model.calibration()["temperature"], "after": None if new is None else new.value},
        "why_not": None if new is not None else found["temperature"]["why"],
        "version": None,
        "conformal": found["conformal"],
    }
    if new is None:
        return content
    content |= _before_after(model, new, slices[slices["patient"].map(roles) == "test"], task, choices)
    if not content["measures"]["nll"]["change"]["value"] < 0:
        return content
    reference = {**model.reference, "fitted": found["fitted"]}
    change = f"calibrated again on {counts['val']} patients of the cohort {local.manifest.name}; weights as before"
    target = out / trusted.model.bundle["name"]
    details = {"cohort": local.manifest.name, "manifest_digest": local.manifest.digest()}
    content["version"] = new_version(trusted.folder, target, change, reference, details=details)
    return content


def _roles(local: CohortData, choices: Choices) -> dict[str, str]:
    """Divide the local patients, stratified by class: ``val`` fits the calibration, ``test`` judges it."""
    units = cohort.patient_table(local.usable, local.task.classes)
    splits = cohort.holdout(units, test=1 - choices.recalibrate, val=0, seed=choices.seed)
    return {patient: "test" if role == "test" else "val" for patient, role in cohort.roles_of(splits).items()}


def _before_after(
    model: TrainedModel, new: Temperature, slices: pd.DataFrame, task: Task, choices: Choices
) -> dict[str, Any]:
    """Return measures and slopes of the judging patients, as answered before and with the new temperature."""
    new.refuse(set(slices["patient"]))
    before = scored(as_answered(slices, task, temperature_among(model.fitted)), task, "lesion")
    raw = scored(slices, task, "lesion")
    after = replace(before, probabilities=new.scaled(raw.probabilities))
    drawn = resampling([before], choices.bootstraps, np.random.default_rng(choices.seed))
    tables = {"before": before, "after": after}
    return {
        "measures": before_and_after(tables, drawn),
        "classes": {name: calibration_slopes(table) for name, table in tables.items()},
    }


def validate_command(bundle: Path, manifest: Path, out: Path, choices: Choices, accepted: Collection[str] = ()) -> int:
    """Validate and print what was found; return the exit status: 1 when studies were left out, else 0."""
    content = validate(bundle, manifest, out, choices, accepted)
    Console().print(metrics_table(content["metrics"]))
    print_verdict(content["verdict"])
    if content["recalibration"]:
        print(_recalibration_sentence(content["recalibration"]))
    left_out = content["cohort"]["studies_left_out"]
    if left_out:
        print(f"{left_out} studies could not be used: mpmri check {manifest} says why.")
    print(f"Report: {out / 'report.html'}\nResearch use only: not for diagnosis.")
    return 1 if left_out else 0


def print_verdict(found: Mapping[str, Any]) -> None:
    """Print the sentences of a verdict, and what follows from them."""
    width = shutil.get_terminal_size().columns
    console = Console(width=max(width, 80))
    for sentence in found["sentences"]:
        console.print(sentence, markup=False, highlight=False)
    console.print(f"Verdict: {found['decision']}. {found['advice']}", markup=False, highlight=False)


def _recalibration_sentence(found: Mapping[str, Any]) -> str:
    if found["why_not"]:
        return f"Not calibrated again: {found['why_not']}."
    change = found["measures"]["nll"]["change"]
    held = "No version of the bundle was written: it is not better so."
    if found["version"]:
        held = f"Version {found['version']} of the bundle holds it."
    return (
        f"Calibrated again on {found['fitted_on']} patients: temperature {found['temperature']['after']:.2f}; on the "
        f"other {found['judged_on']} the negative log-likelihood changes by {change['value']:+.3f}. {held}"
    )
