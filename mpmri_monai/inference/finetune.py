"""`mpmri finetune`: a bundle tuned on local patients, compared with itself on others, as its own next version."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from mpmri_monai import artefacts
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.run_folder import software
from mpmri_monai.bundle.version import new_version, next_version
from mpmri_monai.errors import LeakageError, OutputError
from mpmri_monai.evaluation import (
    Fitted,
    calibrate,
    compare,
    evaluate,
    read_fitted,
    read_predictions,
    write_predictions,
)
from mpmri_monai.evaluation.abstention import CertaintyThresholds
from mpmri_monai.evaluation.fitted import patient_weights
from mpmri_monai.evaluation.scored import scored
from mpmri_monai.evaluation.temperature import Temperature, nll
from mpmri_monai.inference.local import (
    as_answered,
    local_cohort,
    pick_device,
    predictions,
    refuse_seen,
    seen_among,
    temperature_among,
    trusted_bundle,
)
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.tuning import AS_IT_IS, Trainings, Tuning, choose_depth
from mpmri_monai.networks import LayeredNetwork, build_network, load_weights
from mpmri_monai.report.finetuning import comparison_rows, depth_rows, write_finetuning_report
from mpmri_monai.sequences import Task

SCHEMA = "mpmri-monai/finetune/1"
COMPARED = ("macro_auc", "accuracy", "balanced_accuracy", "brier")


def finetune(
    bundle: Path,
    manifest: Path,
    out: Path,
    tuning: Tuning | None = None,
    old_manifest: Path | None = None,
    accepted: Collection[str] = (),
) -> dict[str, Any]:
    """Fine-tune a bundle on local patients; return the content of ``metrics.json``.

    Some local patients are held out first. How many layers to tune is chosen by inner folds of the others, among them
    none at all; the network tuned so on all of these is compared with the bundle as it was on those who were held out,
    and on patients of the old site whom the bundle has not seen either.

    ``out`` gets ``metrics.json``, ``report.html``, the predictions before and after, the trainings under ``runs``, and
    in a folder of the bundle's name its next version; none when tuning nothing was best.

    Args:
        bundle: folder, or packed file; it is not changed.
        manifest: of the local cohort.
        out: folder; a repeated command goes on where the last one stopped.
        tuning: how.
        old_manifest: of the cohort that the bundle was trained on, or others of its site; says what was forgotten.
        accepted: codes of the inspection's findings that are accepted by name.

    Raises:
        LeakageError: E_LEAK, the bundle has seen local patients, or all of the old site's.
        SplitError: the local patients are too few to be divided.
        BundleError, WeightsError, ManifestError, StoreError, ConfigError, OutputError: each says what is wrong.
    """
    out, tuning = Path(out), tuning or Tuning()
    with trusted_bundle(bundle, accepted) as trusted:
        model, target = trusted.model, out / trusted.model.bundle["name"]
        version = next_version(model.bundle["version"])
        if target.exists() or _holds_other_results(out):
            raise OutputError(expected="a folder without a finished fine-tuning or results of another command",
                              found=str(out), fix="name another --out", code="E_OUTPUT")  # fmt: skip
        trainings = Trainings(trusted, Path(manifest), out / "runs", tuning)
        local = trainings.local
        unseen = refuse_seen(model, set(local.usable["patient"]), local.manifest.name, tuning.other_people)
        old = None if old_manifest is None else _old_cohort(trainings, old_manifest)
        scores = trainings.scores() if len(trainings.depths) > 1 else []
        depth = choose_depth(trainings.losses) if scores else trainings.depths[0]
        content = _content(trainings, unseen, scores, depth)
        if depth != AS_IT_IS:
            run = trainings.final(depth)
            reference = _reference(trainings, run, depth)
            content["temperature"] = _told_temperature(reference, model)
            content |= _before_and_after(trainings, run, reference, old, out)
            content["version"] = version
        artefacts.write_json(out / "metrics.json", content)
        write_finetuning_report(out / "report.html", content)
        if depth != AS_IT_IS:  # last, so that a command that was stopped goes on when repeated
            new_version(trusted.folder, target, _change(content), reference, run / "model.pt", _details(content))
    return content


def _holds_other_results(out: Path) -> bool:
    """Return whether ``out`` has a metrics.json that no stopped fine-tuning left.

    It is another command's, or of a fine-tuning that ended without a version, as it does where no depth was better.
    """
    path = out / "metrics.json"
    if not path.exists():
        return False
    try:
        written = artefacts.read_json(path)
    except ValueError:
        return True
    return not isinstance(written, dict) or written.get("schema") != SCHEMA or written["version"] is None


def _old_cohort(trainings: Trainings, manifest: Path) -> tuple[CohortData, list[str]]:
    """Return the old site's cohort, and its patients whom neither the bundle nor this tuning sees.

    Equal codes here and there mean one patient, unless the user states that they are other people.
    """
    model, tuning = trainings.trusted.model, trainings.tuning
    old = local_cohort(model, manifest, tuning.workers, tuning.seed)
    patients = set(old.usable["patient"])
    tuned_on = set() if tuning.other_people else set(trainings.patients("train"))
    unseen = sorted(patients - set(seen_among(model, patients) or ()) - tuned_on)
    if not unseen:
        raise LeakageError(
            expected="patients of the old site whom neither the bundle nor this tuning has seen",
            found=f"none among {len(patients)}",
            where=old.manifest.name,
            fix="add those who tested it, or newer ones; what it was trained on says nothing of what it forgets",
            code="E_LEAK",
        )
    return old, unseen


def _content(trainings: Trainings, unseen: str, scores: list[dict[str, Any]], depth: int) -> dict[str, Any]:
    model, local = trainings.trusted.model, trainings.local
    return {
        "schema": SCHEMA,
        "research_use_only": True,
        "bundle": model.identity,
        "cohort": {
            "name": local.manifest.name,
            "manifest_digest": local.manifest.digest(),
            "tuned_on": len(trainings.patients("train")),
            "held_out": len(trainings.patients("test")),
            "studies_left_out": len(local.store.failed),
            "unseen": unseen,
        },
        "task": local.task.name,
        "inner_folds": local.split.inner_folds,
        "depths": scores,
        "depth": depth,
        "layers": list(model.network().layer_names[-depth:]) if depth else [],
        "temperature": None,
        "local": None,
        "old": None,
        "version": None,
        "software": software(),
    }


def _reference(trainings: Trainings, run: Path, depth: int) -> dict[str, Any]:
    """Return the reference of the tuned weights: that of their run, with all that both trainings saw.

    Temperature and sets are fitted on what the inner folds held out, where the tuning patients are enough. Where they
    are not, the old temperature stays if it fits those patients better than none; the promise of sets is for the old
    site's patients, and ends.
    """
    older, reference = trainings.trusted.model.reference, artefacts.read_json(run / "reference.json")
    reference["ranges"] = _joined(older["ranges"], reference["ranges"])
    reference["present"] = _shares_present(older, reference)
    reference |= {"required": older["required"]} if "required" in older else {}
    reference["fitted"] = []
    if len(trainings.depths) > 1:
        tested = read_predictions(run / "predictions.csv").query("role == 'test'")
        both = pd.concat([trainings.inner[depth], tested], ignore_index=True)
        reference["fitted"] = calibrate(both, trainings.local.task, trainings.tuning.seed)["fitted"]
    if temperature_among(read_fitted(reference["fitted"])) is None:
        kept = temperature_among(trainings.trusted.model.fitted)
        if kept is not None and _still_fits(kept, trainings, depth):
            # thresholds of certainty are about the probabilities that are shown, which were others without it
            untouched = [one for one in reference["fitted"] if one["kind"] != CertaintyThresholds.kind]
            reference["fitted"] = [*untouched, kept.as_json()]
    return reference


def _still_fits(temperature: Temperature, trainings: Trainings, depth: int) -> bool:
    """Return whether the tuned networks of the inner folds are better calibrated with ``temperature`` than without."""
    if len(trainings.depths) == 1:
        return True  # nothing is known of the tuned network but that it comes from the old one
    lesions = scored(trainings.inner[depth].assign(inner="", role="test"), trainings.local.task, "lesion")
    weights = patient_weights(lesions.patients)
    with_it, without = (
        nll(lesions.truth, shown, weights)
        for shown in (temperature.scaled(lesions.probabilities), lesions.probabilities)
    )
    return bool(with_it < without)


def _shares_present(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, float]:
    """Return the share that shows each sequence over both trainings: 1 only where no patient ever lacked it."""
    a, b = (int(one["trained_on"]["patients"]) for one in (older, newer))
    return {
        name: share if name not in older["present"] else (a * older["present"][name] + b * share) / (a + b)
        for name, share in newer["present"].items()
    }


def _joined(older: Any, newer: Any) -> Any:
    """Return ranges that hold both; quantities of only one stay as they are."""
    if isinstance(older, Mapping) and isinstance(newer, Mapping):
        return {key: _joined(older.get(key), newer.get(key)) for key in {**older, **newer}}
    if not older or not newer:
        return newer or older
    return [min(older[0], newer[0]), max(older[1], newer[1])]


def _told_temperature(reference: Mapping[str, Any], model: TrainedModel) -> dict[str, Any]:
    """Return the temperature of the tuned weights, and whether it is their own."""
    fitted, older = temperature_among(read_fitted(reference["fitted"])), temperature_among(model.fitted)
    value = None if fitted is None else fitted.value
    return {"value": value, "fitted_here": fitted is not None and (older is None or fitted.seen != older.seen)}


def _before_and_after(
    trainings: Trainings, run: Path, reference: Mapping[str, Any], old: tuple[CohortData, list[str]] | None, out: Path
) -> dict[str, Any]:
    """Compare the tuned network with the bundle as it was, on the held-out patients and on the old site's."""
    model, task, seed = trainings.trusted.model, trainings.local.task, trainings.tuning.seed
    fitted = read_fitted(reference["fitted"])
    before = trainings.as_it_is(trainings.patients("test"))
    after = read_predictions(run / "predictions.csv").query("role == 'test'")
    found = {"local": _compared(before, after, task, (model.fitted, fitted), seed)}
    tables = {"before": before, "after": after}
    if old is not None:
        cohort, patients = old
        device, network = pick_device(trainings.tuning.device), _tuned_network(run, reference)
        tables["old_before"] = predictions(model, model.network(), cohort, device, patients)
        tables["old_after"] = predictions(model, network, cohort, device, patients)
        found["old"] = {"name": cohort.manifest.name} | _compared(
            tables["old_before"], tables["old_after"], task, (model.fitted, fitted), seed
        )
    for name, table in tables.items():
        write_predictions(out / f"predictions_{name}.csv", table)
    return found


def _tuned_network(run: Path, reference: Mapping[str, Any]) -> LayeredNetwork:
    network = build_network(**reference["network"])
    load_weights(network, run / "model.pt")
    return network.eval()


def _compared(
    before: pd.DataFrame, after: pd.DataFrame, task: Task, fitted: tuple[Sequence[Fitted], Sequence[Fitted]], seed: int
) -> dict[str, Any]:
    """Return metrics of the lesions before and after, each as answered, and their paired differences."""
    shown = [
        as_answered(table, task, temperature_among(parts)) for table, parts in zip((before, after), fitted, strict=True)
    ]
    names = (*COMPARED, *(["quadratic_kappa"] if task.ordered else []))
    metrics = [evaluate(table, task, seed=seed)["levels"]["lesion"] for table in shown]
    paired = compare(shown[1], shown[0], task, "lesion", metrics=names, seed=seed)
    return {
        "patients": paired["patients"],
        "lesions": paired["n"],
        "per_class": metrics[0]["per_class"],
        "metrics": {
            name: {
                "before": metrics[0]["metrics"][name],
                "after": metrics[1]["metrics"][name],
                "difference": {key: paired["metrics"][name][key] for key in ("difference", "low", "high", "p")},
            }
            for name in names
        },
        "method": paired["method"],
        "limits": paired["limits"],
    }


def _change(content: Mapping[str, Any]) -> str:
    """Return what was done in a sentence, for changelog and history."""
    cohort, found = content["cohort"], content["local"]["metrics"]["macro_auc"]
    shown = " to ".join(
        "undefined" if found[when]["value"] is None else f"{found[when]['value']:.3f}" for when in ("before", "after")
    )
    return (
        f"fine-tuned from {content['bundle']['version']} on {cohort['tuned_on']} patients of the cohort "
        f"{cohort['name']}: the last {content['depth']} layers; lesion macro AUC of {cohort['held_out']} held-out "
        f"patients there {shown}"
    )


def _details(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the history keeps beside the sentence."""
    return {key: content[key] for key in ("cohort", "depth", "layers", "depths", "temperature", "local", "old")}


def finetune_command(
    bundle: Path,
    manifest: Path,
    out: Path,
    tuning: Tuning,
    old_manifest: Path | None = None,
    accepted: Collection[str] = (),
) -> int:
    """Fine-tune and print what came of it; return the exit status: 1 when studies were left out, else 0."""
    content = finetune(bundle, manifest, out, tuning, old_manifest, accepted)
    console = Console()
    if content["depths"]:
        title = f"Depths on {content['inner_folds']} inner folds of {content['cohort']['tuned_on']} patients"
        console.print(_printed(title, *depth_rows(content)))
    for key, title in (("local", "Held-out local patients"), ("old", "Patients of the old site")):
        if content[key]:
            console.print(_printed(f"{title} ({content[key]['patients']})", *comparison_rows(content[key])))
    if content["version"] is None:
        print("No depth was clearly better than tuning nothing on the inner folds: the bundle stays as it is.")
    else:
        place = out / content["bundle"]["name"]
        print(f"Version {content['version']} of the bundle: {place}\nNext: mpmri bundle pack {place} -o FILE.zip")
    print(f"Report: {out / 'report.html'}\nResearch use only: not for diagnosis.")
    return 1 if content["cohort"]["studies_left_out"] else 0


def _printed(title: str, header: list[str], rows: list[list[str]]) -> Table:
    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    return table
