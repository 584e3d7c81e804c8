"""The folder of one run: claimed by one configuration, written to by nothing else, never deleted."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from mpmri_monai import artefacts
from mpmri_monai.bundle.cohort_data import CohortData
from mpmri_monai.bundle.patch_data import PatchData
from mpmri_monai.bundle.provenance import SCRATCH, WEIGHTS, weights_digest
from mpmri_monai.bundle.workflow import MONAI_KEYS, as_json, running_config
from mpmri_monai.cohort import write_splits
from mpmri_monai.errors import ConfigError, OutputError
from mpmri_monai.natural import NaturalImages

NOT_PART_OF_A_RUN = {"num_workers", "initialize", "finalize", "imports", "bundle_root", *MONAI_KEYS}
"""Keys that may change between a run and its continuation: they do not change a number."""
LOG = "log.txt"
START = "warm_start.json"
IMAGES = "images.csv"
RECORDS = ("environment.json", "config.json")
CLAIM = ("splits.csv", IMAGES, *RECORDS)
"""What claiming a folder leaves, in this order; beside the log and the report of a warm start there is nothing else
before the first epoch ends.

A pretraining leaves the records alone: natural images come divided, and are of no patients.
"""
PRETRAINING = "pretraining"
RESULTS = {"report": ("model.pt", "reference.json", "report.html"), "predictions": ("model.pt", "predictions.csv")}
"""What a finished run has, by what it was asked for; the last is written last, but evaluating again also writes one."""
NATURAL_RESULTS = {PRETRAINING: ("model.pt", "metrics.json", "reference.json")}
ENCODER = ("model.pt", "metrics.json", "encoder.json", "encoder.pt")
AUTOENCODER_RESULTS = {"report": ("figures/reconstructions.png", *ENCODER), "predictions": ENCODER}
"""An autoencoder predicts nothing: one of many runs leaves out the picture."""
DECIDES_RESULTS = (
    "task", "fusion", "seed", "split", "permutation", "samples",
    "embedding", "pooling", "levels", "dropout", "size_feature", "embedding_relu",
    "architecture", "layers", "filters", "dense",
)  # fmt: skip
"""Keys that evaluating a run must share with its training, beside the data."""
PACKAGES = ("mpmri_monai", "monai", "torch", "pytorch-ignite", "numpy", "scikit-learn", "pandas", "pydicom", "nibabel")

logger = logging.getLogger(__name__)


class RunFolder:
    """The output folder of one training run.

    Making the object claims the folder: a new one, or one in which no epoch was finished, gets ``config.json``,
    ``environment.json``, ``splits.csv`` and ``images.csv`` (the sha256 of every image's voxels, for the leak audit);
    one that holds the same run is taken up again; any other is refused.

    Args:
        path: the folder.
        cohort: data of the run; their digests (manifest, store and splits; or images) are part of what makes the run.
        device: recorded.
        results: ``report`` for everything; ``predictions`` for a run that is one of many: weights and predictions
            alone, without baseline, intervals, reference, figures and report (an autoencoder leaves out its picture);
            ``pretraining`` for one on natural images.

    Raises:
        OutputError: the folder holds something else, cannot be written, or another process is training in it.
        ConfigError: the folder holds a run of another configuration or of other data (says what differs), or no such
            results.
    """

    def __init__(
        self,
        path: str | Path,
        cohort: CohortData | PatchData | NaturalImages,
        device: str | torch.device,
        results: str = "report",
    ) -> None:
        known = _results_of(cohort)
        if results not in known:
            raise ConfigError(expected=f"results among {', '.join(known)}", found=repr(results))
        if known is RESULTS and results == "report":
            cohort.refuse_report()
        self._wanted = known[results]
        self.path = Path(path)
        self.cohort = cohort
        self.results = results
        if idist.get_rank() == 0:
            self._claim(device)
        if idist.get_world_size() > 1:
            idist.barrier()

    @property
    def finished(self) -> bool:
        """Whether the run's last artefacts are there."""
        return all((self.path / name).is_file() for name in self._wanted)

    @property
    def last_result(self) -> Path:
        """The artefact that is written last."""
        return self.path / self._wanted[-1]

    def release(self) -> None:
        """Close the run's log, which is this process's lock on the folder; needed where a process goes on to others."""
        root, log = logging.getLogger(), str((self.path / LOG).resolve())
        for handler in [one for one in root.handlers if getattr(one, "baseFilename", None) == log]:
            root.removeHandler(handler)
            handler.close()

    def _claim(self, device: str | torch.device) -> None:
        config = as_json(running_config())
        environment = _environment(device, self.cohort, str(config.get("pretrained", SCRATCH)))
        left = RECORDS if self.results == PRETRAINING else CLAIM
        claimed = all((self.path / name).is_file() for name in left)
        trained = self._holds_more_than_a_claim()
        if self.path.exists() and (not self.path.is_dir() or (trained and not claimed)):
            raise OutputError(
                expected="a new folder, or one that a run was started in",
                found=f"{self.path} with other files" if self.path.is_dir() else f"the file {self.path}",
                fix="name another --output_dir",
                code="E_OUTPUT",
            )
        artefacts.make_folder(self.path)
        _log_to(self.path / LOG)
        if trained:
            self._refuse_other_run(config, environment)
        else:
            if self.results != PRETRAINING:
                write_splits(self.path / "splits.csv", self.cohort.splits)
                images = self.cohort.image_table().to_csv(index=False, lineterminator="\n")
                artefacts.write_text(self.path / IMAGES, images)
            artefacts.write_json(self.path / "environment.json", environment)
            artefacts.write_json(self.path / "config.json", config)

    def _holds_more_than_a_claim(self) -> bool:
        """Whether anything is there that a run, perhaps one that was killed, does not leave before its first epoch."""
        found = self.path.iterdir() if self.path.is_dir() else ()
        return any(item.name not in (*CLAIM, LOG, START) and item.suffix != ".part" for item in found)

    def _refuse_other_run(self, config: dict[str, Any], environment: dict[str, Any]) -> None:
        before = artefacts.read_json(self.path / "config.json")
        keys = sorted((set(before) | set(config)) - NOT_PART_OF_A_RUN)
        changed = [
            f"{key}: {_short(before.get(key))} → {_short(config.get(key))}"
            for key in keys
            if before.get(key) != config.get(key)
        ]
        started = artefacts.read_json(self.path / "environment.json")
        changed += [
            f"{key}: other content" for key, value in environment["data"].items() if started["data"].get(key) != value
        ]
        if started["processes"] != environment["processes"]:
            changed.append(f"processes: {started['processes']} → {environment['processes']}")
        if changed:
            raise ConfigError(
                expected=f"the configuration and the data that the run in {self.path} was started with",
                found="; ".join(changed),
                fix="name another --output_dir for another run",
                code="E_RUN",
            )


def _results_of(cohort: CohortData | PatchData | NaturalImages) -> dict[str, tuple[str, ...]]:
    """Return what runs on such data leave, by what they may be asked for."""
    if isinstance(cohort, NaturalImages):
        return NATURAL_RESULTS
    return AUTOENCODER_RESULTS if isinstance(cohort, PatchData) else RESULTS


def same_run(path: str | Path, cohort: CohortData) -> None:
    """Check that the running configuration asks for the run in ``path``, so that no other fusion or split is scored.

    Raises:
        ConfigError: there is no run, or it was trained with other values or on other data; says which.
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        raise ConfigError(
            expected="the folder of a training run", found=f"none in {path}", fix="give its --output_dir", code="E_RUN"
        )
    trained, asked = artefacts.read_json(path / "config.json"), as_json(running_config())
    changed = {key: trained[key] for key in DECIDES_RESULTS if trained.get(key) != asked.get(key)}
    if changed:
        raise ConfigError(
            expected="the settings that the run was trained with",
            found=", ".join(f"{key} {_short(asked.get(key))}" for key in changed),
            where=str(path),
            fix="add " + " ".join(f"--{key} {value}" for key, value in changed.items()),
            code="E_RUN",
        )
    recorded = artefacts.read_json(path / "environment.json")["data"]
    other = [name for name, value in cohort.digests().items() if recorded.get(name) != value]
    if other:
        raise ConfigError(
            expected="the data that the run was trained on",
            found=f"other content of its {', '.join(other)}",
            where=str(path),
            fix="give the --manifest of the training",
            code="E_RUN",
        )


def default_output_dir(bundle_root: str | Path) -> str:
    """Return ``runs/<bundle>`` under the working directory, or beside the bundle when that lies inside it.

    A bundle is never written into, nor is the folder ``bundles``.
    """
    root, here = Path(bundle_root).resolve(), Path.cwd()
    if here == root or root in here.parents:
        here = root.parent.parent if root.parent.name == "bundles" else root.parent
    return str(here / "runs" / root.name)


def software() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _environment(
    device: str | torch.device, cohort: CohortData | PatchData | NaturalImages, pretrained: str
) -> dict[str, Any]:
    weights = weights_digest(pretrained)
    return {
        "software": software(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if "cuda" in str(device) else platform.machine(),
        "threads": torch.get_num_threads(),
        "processes": idist.get_world_size(),
        "git_revision": _git_revision(),
        "data": cohort.digests() | ({WEIGHTS: weights} if weights else {}),
    }


def _git_revision() -> str | None:
    """Return the revision of this package's source tree, or None when it was installed from elsewhere."""
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return None
    command = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=12"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return result.stdout.strip() or None


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _log_to(path: Path) -> None:
    """Log to ``path`` too; the open file is this process's lock on the folder, which the system lifts when it ends."""
    root = logging.getLogger()
    if any(getattr(handler, "baseFilename", None) == str(path.resolve()) for handler in root.handlers):
        return
    handler = logging.FileHandler(path, encoding="utf-8")
    try:
        fcntl.flock(handler.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handler.close()
        raise OutputError(
            expected=f"to train in {path.parent} alone",
            found="another process that is doing so",
            fix="let it end, or name another --output_dir",
            code="E_OUTPUT",
        ) from error
    except OSError:  # a file system without locks
        logger.debug("no lock on %s", path.name)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
