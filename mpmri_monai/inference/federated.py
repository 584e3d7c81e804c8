"""`mpmri federated`: hospitals that train one bundle together without sharing images, in NVFlare's simulator.

Compared are, on the same test patients of every site: each site's own training, the federated one, and where the images
of all are at one place, as in a simulation, the training on all of them.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from monai.bundle import ConfigParser
from rich.console import Console
from rich.table import Table

from mpmri_monai import artefacts, cohort
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.inspect import refuse_unsafe
from mpmri_monai.bundle.provenance import count_seen, seen_by
from mpmri_monai.errors import BundleError, ConfigError, LeakageError, OutputError
from mpmri_monai.evaluation import compare, evaluate, write_predictions
from mpmri_monai.evaluation.table import cell
from mpmri_monai.experiments.worker import RunJob, execute_run
from mpmri_monai.inference.local import AS_TEST
from mpmri_monai.inference.tuning import THREADS
from mpmri_monai.networks import load_weights
from mpmri_monai.training import prediction_rows
from mpmri_monai.training.prediction import predict

SCHEMA = "mpmri-monai/federated/1"
FEDERATED, POOLED, LOCAL = "federated", "pooled", "local"
ALL_SITES = "all sites"
METRICS = ("macro_auc", "accuracy")
JOB = "mpmri"
SITE = re.compile(r"(?!(pooled|server)$)[A-Za-z0-9][A-Za-z0-9_-]*")
"""Name of a site: it becomes part of file names, beside those of `POOLED`, and of NVFlare's own ``server``."""


@dataclass(frozen=True)
class Federation:
    """Hospitals that train a bundle together, and how.

    Attributes:
        bundle: folder of the bundle, trained from its own start (pretrained weights or none).
        sites: manifest of each hospital by its name.
        out: folder for all that is made.
        pooled: manifest of all hospitals' patients together; None where images cannot be brought together.
        rounds: exchanges of weights.
        local_epochs: epochs between two of them.
        test: share of each site's patients that test.
        seed: of splits and training.
        options: further overrides of the training configuration, such as ``fusion``.
    """

    bundle: Path
    sites: Mapping[str, Path]
    out: Path
    pooled: Path | None = None
    rounds: int = 10
    local_epochs: int = 1
    test: float = 0.4
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.sites) < 2 or self.rounds < 1 or self.local_epochs < 1:
            raise ConfigError(
                expected="at least 2 sites, 1 round and 1 local epoch",
                found=f"{len(self.sites)} sites, {self.rounds} rounds, {self.local_epochs} epochs",
                code="E_OPTION",
            )
        if not 0 < self.test < 1:
            raise ConfigError(
                expected="a share of each site's patients between 0 and 1 to test",
                found=str(self.test),
                code="E_OPTION",
            )
        wrong = [site for site in self.sites if not SITE.fullmatch(site)]
        if wrong:
            raise ConfigError(
                expected="sites named by letters, digits, - and _, but not 'pooled' or 'server'",
                found=", ".join(map(repr, wrong)),
                code="E_OPTION",
            )

    @cached_property
    def config(self) -> dict[str, Any]:
        """The bundle's training configuration, with the overrides that all trainings share."""
        path = self.bundle / "configs" / "train.json"
        if not path.is_file():
            raise BundleError(expected="a bundle with configs/train.json", found="none", where=self.bundle.name)
        return {**artefacts.read_json(path), **self.common}

    @property
    def common(self) -> dict[str, Any]:
        """Overrides that all trainings share."""
        shared = {"seed": self.seed, "num_workers": 0, "threads": THREADS, "results": "predictions"}
        return {**shared, **self.options}

    @cached_property
    def cohorts(self) -> dict[str, CohortData]:
        """The cohort of each site, divided into who trains and who tests."""
        split = {"test": self.test, "val": 0.0}
        return {
            site: CohortData(
                manifest, self.config["task"], self.config["fusion"], self.config["samples"], split, self.seed
            )
            for site, manifest in self.sites.items()
        }

    def folder(self, name: str) -> Path:
        """Return the run folder of one training."""
        return self.out / "runs" / name

    def splits_file(self, name: str) -> Path:
        """Return the splits file of a site, or of `POOLED`."""
        return self.out / f"splits_{name}.csv"

    def options_of(self, name: str, manifest: Path, epochs: int, run: str) -> dict[str, Any]:
        """Return the overrides of one training: ``name`` says whose splits, ``run`` names its folder."""
        return {
            "manifest": str(Path(manifest).resolve()),
            "split#file": str(self.splits_file(name).resolve()),
            "output_dir": str(self.folder(run).resolve()),
            "max_epochs": epochs,
        }


def federated(federation: Federation) -> dict[str, Any]:
    """Train locally, together and, where it can be, on all; return the content of ``metrics.json``.

    ``out`` becomes a folder with it, ``table.csv``, the test predictions of every model, splits and runs.

    Raises:
        ConfigError: E_EXTRA, NVFlare is not installed; an option that means nothing; the simulation failed.
        OutputError: ``out`` exists: weights left from before would be taken up instead of the common ones.
        LeakageError: E_LEAK, the weights that the bundle starts from have seen test patients.
        BundleError, ManifestError, StoreError, SplitError: each says what is wrong with what was given.
    """
    if importlib.util.find_spec("nvflare") is None:
        raise ConfigError(
            expected="NVFlare, which federated training runs on", found="no such package",
            fix="pip install 'mpmri-monai[federated]'", code="E_EXTRA",
        )  # fmt: skip
    refuse_unsafe(federation.bundle)
    if federation.out.exists():
        raise OutputError(expected="a folder that does not exist yet", found=str(federation.out), code="E_OUTPUT")
    if federation.pooled is not None:
        _refuse_other_people(federation.pooled, federation.sites)
    unseen = _refuse_seen(federation)
    _write_splits(federation)
    _simulate(federation)
    _train_alone(federation)
    tables = {name: _tested(federation, weights) for name, weights in _weights(federation).items()}
    for name, table in tables.items():
        write_predictions(federation.out / f"predictions_{name}.csv", table)
    content = {"schema": SCHEMA, "research_use_only": True, **_settings(federation), "unseen": unseen}
    content |= _judged(federation, tables)
    artefacts.write_json(federation.out / "metrics.json", content)
    with artefacts.whole_file(federation.out / "table.csv") as part:
        pd.DataFrame(content["table"]).to_csv(part, index=False, lineterminator="\n")
    return content


def _refuse_seen(federation: Federation) -> str:
    """Refuse test patients whom the bundle's start has seen; return how that is known of them, in words."""
    seen = seen_by(_parser(federation).get_parsed_content("pretrained"))
    if seen is None:
        return "not checked: nothing beside the weights that training starts from says whom they have seen"
    tested = [p for one in federation.cohorts.values() for p, role in one.roles.items() if role == "test"]
    if count_seen(seen, tested):
        raise LeakageError(
            expected="test patients whom the weights that training starts from have not seen",
            found=f"{count_seen(seen, tested)} of {len(tested)} that they have",
            where=federation.bundle.name,
            fix="leave them out of the manifests, or start from other weights",
            code="E_LEAK",
        )
    return "checked by their codes"


def _parser(federation: Federation) -> ConfigParser:
    """Return the bundle's training configuration, to take parts of it."""
    parser = ConfigParser()
    parser.read_config(str(federation.bundle / "configs" / "train.json"))
    first = next(iter(federation.sites.values()))
    parser.update({"bundle_root": str(federation.bundle), **federation.common, "manifest": str(first)})
    return parser


def _write_splits(federation: Federation) -> None:
    """Divide the patients of every site once; all trainings share it."""
    tables = {site: one.splits for site, one in federation.cohorts.items()}
    patients = [patient for table in tables.values() for patient in sorted(set(table["patient"]))]
    if len(patients) != len(set(patients)):
        raise ConfigError(
            expected="patients with codes of their own at each site",
            found="codes that two sites share",
            fix="give the sites' patients codes such as A-P001",
            code="E_LEAK",
        )
    artefacts.make_folder(federation.out)
    for site, table in tables.items():
        cohort.write_splits(federation.splits_file(site), table)
    if federation.pooled is not None:
        cohort.write_splits(federation.splits_file(POOLED), pd.concat(tables.values(), ignore_index=True))


def _refuse_other_people(pooled: Path, sites: Mapping[str, Path]) -> None:
    """Refuse a pooled manifest that is not of the sites' patients: what is compared with it would be of others."""
    together = {study.patient for study in cohort.load_manifest(pooled).studies}
    apart = {study.patient for manifest in sites.values() for study in cohort.load_manifest(manifest).studies}
    if together != apart:
        raise ConfigError(
            expected="a pooled manifest of the very patients of all sites",
            found=f"{len(apart - together)} of theirs missing, {len(together - apart)} that no site has",
            fix="put the sites' manifests together again, with the same codes",
            code="E_OPTION",
        )


def _simulate(federation: Federation) -> None:
    """Run the federated training in NVFlare's simulator: a process for each site, and one for the server.

    The server has no network and no weights of its own: every site begins with the bundle's start, which is the same
    for the same seed, and holds the common weights in the end.
    """
    from nvflare.app_common.workflows.fedavg import FedAvg
    from nvflare.fuel.utils.constants import FrameworkType
    from nvflare.job_config.api import FedJob
    from nvflare.job_config.script_runner import ScriptRunner
    from nvflare.recipe.sim_env import SimEnv

    sites = {
        site: {"options": federation.options_of(site, path, federation.local_epochs, f"{FEDERATED}-{site}")}
        for site, path in federation.sites.items()
    }
    plan = federation.out / "plan.json"
    common = {"bundle": str(federation.bundle.resolve()), "local_epochs": federation.local_epochs}
    artefacts.write_json(plan, {**common, "options": federation.common, "sites": sites})
    rounds = federation.rounds + 1  # the last one brings the weights of the one before
    job = FedJob(name=JOB, min_clients=len(sites))
    job.to_server(FedAvg(num_clients=len(sites), num_rounds=rounds))
    script = str(Path(__file__).with_name("federated_site.py"))
    for site in sites:
        job.to(ScriptRunner(script, str(plan.resolve()), framework=FrameworkType.NUMPY), site)
    environment = SimEnv(clients=list(sites), workspace_root=str((federation.out / "nvflare").resolve()))
    try:
        environment.deploy(job)
    except RuntimeError as error:
        raise _failed(federation, str(error)) from error
    lacking = [site for site in sites if not _common_weights(federation, site).is_file()]
    if lacking:
        raise _failed(federation, f"no weights at {', '.join(lacking)}")
    starts = {(federation.folder(f"{FEDERATED}-{site}") / "start.sha256").read_text() for site in sites}
    if len(starts) != 1:
        raise _failed(federation, f"{len(starts)} different starts of {len(sites)} sites")


def _failed(federation: Federation, found: str) -> ConfigError:
    return ConfigError(
        expected="a federated training that ends with the same weights at every site",
        found=found,
        where=str(federation.out / "nvflare"),
        fix="the log.txt of each site in that folder says why",
        code="E_FEDERATED",
    )


def _common_weights(federation: Federation, site: str) -> Path:
    return federation.folder(f"{FEDERATED}-{site}") / "federated.pt"


def _train_alone(federation: Federation) -> None:
    """Train each site by itself, and all patients at one place, for as many epochs."""
    jobs = {f"{LOCAL}-{site}": (site, path) for site, path in federation.sites.items()}
    if federation.pooled is not None:
        jobs[POOLED] = (POOLED, federation.pooled)
    epochs = federation.rounds * federation.local_epochs
    for run, (name, manifest) in jobs.items():
        options = {**federation.common, **federation.options_of(name, manifest, epochs, run)}
        folder, cache = federation.folder(run), artefacts.cache_folder()
        execute_run(RunJob(federation.bundle.resolve(), folder, options, cache, run))


def _weights(federation: Federation) -> dict[str, Path]:
    """Return the weights of every training by its name."""
    found = {f"{LOCAL}-{site}": federation.folder(f"{LOCAL}-{site}") / "model.pt" for site in federation.sites}
    found[FEDERATED] = _common_weights(federation, next(iter(federation.sites)))
    if federation.pooled is not None:
        found[POOLED] = federation.folder(POOLED) / "model.pt"
    return found


def _tested(federation: Federation, weights: Path) -> pd.DataFrame:
    """Return what these weights say of the test patients of all sites."""
    parser = _parser(federation)
    network, device = parser.get_parsed_content("network_def"), parser.get_parsed_content("device")
    load_weights(network, weights)
    network.to(device).eval()
    tables = []
    for one in federation.cohorts.values():
        data = one.samples("test")
        size, averaging = federation.config["samples"]["pixels"], bool(federation.config.get("averaging", False))
        found = predict(network, data, device, size, averaging)
        tables.append(prediction_rows(data, found, one.task, one.manifest.sequences, AS_TEST))
    return pd.concat(tables, ignore_index=True)


def _settings(federation: Federation) -> dict[str, Any]:
    return {
        "bundle": federation.bundle.name,
        "fusion": federation.config["fusion"],
        "rounds": federation.rounds,
        "local_epochs": federation.local_epochs,
        "seed": federation.seed,
        "batch_norm": "weights and statistics averaged, by number of training samples",
        "patients": {
            site: {role: list(one.roles.values()).count(role) for role in ("train", "test")}
            for site, one in federation.cohorts.items()
        },
    }


def _judged(federation: Federation, tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Return a row for each model and site's test patients, and paired differences to the federated one."""
    task = next(iter(federation.cohorts.values())).task
    places = {site: set(one.usable["patient"]) for site, one in federation.cohorts.items()}
    places[ALL_SITES] = set().union(*places.values())
    rows, differences = [], []
    for place, patients in places.items():
        of_place = {name: table[table["patient"].isin(patients)] for name, table in tables.items()}
        for name, table in of_place.items():
            level = evaluate(table, task, seed=federation.seed)["levels"]["lesion"]
            for metric in METRICS:
                found = level["metrics"][metric]
                value = {key: found[key] for key in ("value", "low", "high")}
                rows.append({"model": name, "tested_on": place, "lesions": level["n"], "metric": metric, **value})
        for name in (name for name in of_place if name != FEDERATED):
            paired = compare(of_place[FEDERATED], of_place[name], task, "lesion", metrics=METRICS, seed=federation.seed)
            for metric, found in paired["metrics"].items():
                value = {key: found[key] for key in ("difference", "low", "high", "p")}
                differences.append({"against": name, "tested_on": place, "metric": metric, **value})
    return {"table": rows, "federated_minus": differences}


def printed_table(content: Mapping[str, Any], metric: str = METRICS[0]) -> Table:
    """Return a row for each training, a column for each site's test patients."""
    rows = [row for row in content["table"] if row["metric"] == metric]
    places = list(dict.fromkeys(row["tested_on"] for row in rows))
    table = Table("trained", *places, title=f"Lesion-level {metric.replace('_', ' ')} of the test patients")
    for model in dict.fromkeys(row["model"] for row in rows):
        found = {row["tested_on"]: cell(row) for row in rows if row["model"] == model}
        table.add_row(model, *(found[place] for place in places))
    return table


def read_sites(typed: Sequence[str]) -> dict[str, Path]:
    """Return manifests by site from texts such as ``A=manifest_A.json``.

    Raises:
        ConfigError: a text of another form, or a site named twice.
    """
    pairs = [text.partition("=") for text in typed]
    names = [name for name, _, _ in pairs]
    if not all(name and path for name, _, path in pairs) or len(set(names)) != len(names):
        raise ConfigError(expected="sites such as A=manifest_A.json, each once", found=", ".join(typed) or "none",
                          code="E_OPTION")  # fmt: skip
    return {name: Path(path) for name, _, path in pairs}


def federated_command(federation: Federation) -> int:
    """Train, print the table, and return the exit status."""
    content = federated(federation)
    console = Console(width=max(shutil.get_terminal_size().columns, 100))
    for metric in METRICS:
        console.print(printed_table(content, metric))
    weights = _common_weights(federation, next(iter(federation.sites)))
    print(f"Common weights: {weights}\nTable: {federation.out / 'table.csv'}")
    print("Research use only: not for diagnosis.")
    return 0
