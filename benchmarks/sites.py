"""One bundle and three hospitals, in one table: trained at A, checked, validated at B and C, tuned at B, federated.

    python benchmarks/sites.py OUT                  # generates the cohort `sites` in OUT; an hour on two cores
    python benchmarks/sites.py OUT --patients 60    # fewer of them

A repeated command goes on with what OUT holds. Generated patients: the numbers say how the way works, not how patients
fare.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import adopt
from mpmri_monai.bundle.inspect import refuse_unsafe
from mpmri_monai.bundle.pack import pack
from mpmri_monai.bundle.selftest import renew
from mpmri_monai.bundle.verify import verify_command
from mpmri_monai.cohort import load_manifest, save_manifest
from mpmri_monai.inference.federated import ALL_SITES, FEDERATED, Federation, federated
from mpmri_monai.inference.finetune import finetune
from mpmri_monai.inference.tuning import Tuning
from mpmri_monai.inference.validate import Choices, validate
from mpmri_monai.phantom import write_cohort
from mpmri_monai.report.wording import with_interval

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "hcc_grade"
FUSION = ("T2", "S2", "S4")
"""Sequences that all three sites acquire: C has no opposed-phase images."""
SITES = "ABC"
TUNED_ON = 10
"""Patients that site B gives for tuning."""
TUNINGS: dict[str, tuple[int, ...]] = {"finetune_B": (), "finetune_B_head": (1,), "finetune_B_all": (12,)}
"""Folders and depths: chosen by inner folds, and for comparison the head alone and all layers."""


def site_manifests(folder: Path) -> dict[str, Path]:
    """Return the manifest of each site's patients, written beside that of all."""
    everybody = load_manifest(folder / "manifest.json")
    found = {}
    for site in SITES:
        studies = tuple(study for study in everybody.studies if study.site == site)
        found[site] = folder / f"manifest_{site}.json"
        save_manifest(everybody.model_copy(update={"name": f"sites_{site}", "studies": studies}), found[site])
    return found


def bundle_for_all(out: Path) -> Path:
    """Return a copy of the bundle whose channels all sites have, without weights of its own."""
    bundle = out / BUNDLE.name
    if not bundle.exists():
        with artefacts.whole_folder(bundle) as part:
            left = shutil.ignore_patterns("model.pt", "reference.json", "selftest", "contents.json")
            shutil.copytree(BUNDLE, part, ignore=left, dirs_exist_ok=True)
            for name, change in (("metadata", _channels), ("train", _fusion)):
                path = part / "configs" / f"{name}.json"
                artefacts.write_json(path, change(artefacts.read_json(path)))
    return bundle


def _channels(metadata: dict[str, Any]) -> dict[str, Any]:
    for spec in metadata["network_data_format"]["inputs"].values():
        spec["channel_def"] = {str(index): name for index, name in enumerate(FUSION)}
    if "required_sequences" in metadata:
        metadata["required_sequences"] = list(FUSION)
    return metadata


def _fusion(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"fusion": "-".join(FUSION)}


def train_at_a(bundle: Path, manifest: Path, out: Path, epochs: int) -> None:
    """Train at site A with MONAI's command, put the weights into the bundle, check it and pack it."""
    run = out / "run_A"
    command = [sys.executable, "-m", "monai.bundle", "run", "training"]
    command += ["--config_file", str(bundle / "configs" / "train.json"), "--manifest", str(manifest)]
    command += ["--output_dir", str(run), "--split#test", "0.25", "--split#val", "0.2", "--max_epochs", str(epochs)]
    command += ["--threads", "1"]
    subprocess.run(command, check=True)
    adopt(run, bundle)
    renew(bundle)
    refuse_unsafe(bundle)
    if verify_command(bundle):
        raise SystemExit("the bundle of site A could not be verified")
    pack(bundle, out / f"{bundle.name}.zip")


def told(out: Path) -> list[dict[str, str]]:
    """Return the rows of the table from what the steps left."""
    trained = artefacts.read_json(out / "run_A" / "metrics.json")["levels"]["lesion"]
    rows = [_row("trained at A", "A, its test patients", trained["patients"], trained["n"], trained["metrics"])]
    for site in "BC":
        found = artefacts.read_json(out / f"validation_{site}" / "metrics.json")
        level = found["metrics"]["levels"]["lesion"]
        row = _row("the same bundle", f"{site}, all patients", level["patients"], level["n"], level["metrics"])
        rows.append(row | {"what follows": found["verdict"]["decision"]})
    for name in TUNINGS:
        rows += _tuned(artefacts.read_json(out / name / "metrics.json"))
    return rows + _federated(artefacts.read_json(out / "federated" / "metrics.json"))


def _tuned(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return before and after tuning, on the held-out patients of B and on the unseen ones of A."""
    title = f"tuned at B on {found['cohort']['tuned_on']} patients, "
    if found["local"] is None:
        return [_row(title + "depth chosen", "", "", "", {}) | {"what follows": "nothing was tuned: no depth better"}]
    title += f"{found['depth']} layers, " + ("chosen" if found["depths"] else "asked for")
    rows = []
    for key, place in (("local", "B, held out"), ("old", "A, unseen")):
        for when in ("before", "after"):
            metrics = {name: one[when] for name, one in found[key]["metrics"].items()}
            shown = "trained at A" if when == "before" else title
            row = _row(shown, place, found[key]["patients"], found[key]["lesions"], metrics)
            change = found[key]["metrics"]["macro_auc"]["difference"]
            gained = f"AUC {with_interval({'value': change['difference'], **change})}" if when == "after" else ""
            rows.append(row | {"what follows": gained})
    return rows


def _federated(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return every training on the test patients of all sites together, against the federated one."""
    rows = []
    tested = sum(one["test"] for one in found["patients"].values())
    for model in dict.fromkeys(row["model"] for row in found["table"]):
        of_model = [row for row in found["table"] if row["model"] == model and row["tested_on"] == ALL_SITES]
        row = _row(model, "A, B and C, test patients", tested, of_model[0]["lesions"],
                   {one["metric"]: one for one in of_model})  # fmt: skip
        difference = [
            one
            for one in found["federated_minus"]
            if (one["against"], one["tested_on"], one["metric"]) == (model, ALL_SITES, "macro_auc")
        ]
        shown = [f"{FEDERATED} - this {with_interval({'value': one['difference'], **one})}" for one in difference]
        rows.append(row | {"what follows": "".join(shown)})
    return rows


def _row(model: str, place: str, patients: int | str, lesions: int | str, metrics: Mapping[str, Any]) -> dict[str, str]:
    numbers = {name: with_interval(metrics[name]) if metrics else "" for name in ("macro_auc", "accuracy")}
    return {"model": model, "tested on": place, "patients": str(patients), "lesions": str(lesions), **numbers,
            "what follows": ""}  # fmt: skip


def markdown(rows: list[dict[str, str]]) -> str:
    """Return the rows as a table in Markdown."""
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([row[name] for name in header] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Do what is not done yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=30, help="of the training at A")
    parser.add_argument("--rounds", type=int, default=10, help="of the federated training")
    parser.add_argument("--views", type=int, default=3, help="of each sample an epoch, in the federated comparison")
    options = parser.parse_args()
    out = options.out
    if not (out / "sites").exists():
        write_cohort(out / "sites", "sites", patients=options.patients)
    manifests, bundle = site_manifests(out / "sites"), bundle_for_all(out)
    packed = out / f"{bundle.name}.zip"
    if not packed.exists():
        train_at_a(bundle, manifests["A"], out, options.epochs)
    for site in "BC":
        if not (out / f"validation_{site}").exists():
            validate(packed, manifests[site], out / f"validation_{site}", Choices(recalibrate=0.5))
    patients = len({study.patient for study in load_manifest(manifests["B"]).studies})
    for name, depths in TUNINGS.items():
        if not (out / name / "metrics.json").exists():
            tuning = Tuning(held_out=1 - TUNED_ON / patients, depths=depths)
            finetune(packed, manifests["B"], out / name, tuning, manifests["A"])
    if not (out / "federated" / "metrics.json").exists():
        everybody = out / "sites" / "manifest.json"
        federated(Federation(bundle, manifests, out / "federated", everybody, options.rounds,
                             options={"views": options.views}))  # fmt: skip
    table = markdown(told(out))
    artefacts.write_text(out / "table.md", table)
    print(table)


if __name__ == "__main__":
    main()
