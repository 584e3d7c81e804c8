"""A tiny cohort as DICOM, and the bundle's commands run on it as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from mpmri_monai.cohort import write_splits
from mpmri_monai.cohort.splits import COLUMNS
from mpmri_monai.phantom import write_cohort
from mpmri_monai.phantom.study import write_study

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundles" / "hcc_grade"
TRAIN = BUNDLE / "configs" / "train.json"


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Manifest of nine generated patients."""
    return write_cohort(tmp_path_factory.mktemp("cohort") / "c", "quick", patients=9, workers=2, progress=False)


@pytest.fixture(scope="session")
def new_study(tmp_path_factory):
    """A study that is in no cohort."""
    return write_study(tmp_path_factory.mktemp("study") / "s", "quick", number=1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def bundle(cache):
    """Run a bundle command: bundle("training", config, *options, cwd=ROOT) returns the finished process."""

    def run(run_id, config, *options, cwd=ROOT, check=True, cache=cache):
        command = [
            sys.executable,
            "-m",
            "monai.bundle",
            "run",
            run_id,
            "--config_file",
            str(config),
            *map(str, options),
        ]
        environment = os.environ | {"MPMRI_CACHE": str(cache), "COLUMNS": "200"}
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
        if check:
            assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result

    return run


QUICK = ("--max_epochs", 2, "--views", 1, "--split#val", 0, "--threads", 1, "--num_workers", 0)


@pytest.fixture(scope="session")
def run_folder(bundle, cohort, tmp_path_factory):
    """A finished training run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    bundle("training", TRAIN, "--manifest", cohort, "--output_dir", folder, *QUICK)
    return folder


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def quick():
    return QUICK


@pytest.fixture(scope="session")
def config():
    """config("train") is the path of that configuration."""
    return lambda name: BUNDLE / "configs" / f"{name}.json"


BRAINS = 12
"""Patients of the small brain cohort: every other one unhealthy, the fourth without S0."""
SMALL_GRID = {"slices": 2, "pixels": 9, "depth_mm": 6.0, "plane_mm": 1.0}


@pytest.fixture(scope="session")
def write_brains():
    """write_brains(folder, changed=()) writes a small brain cohort as NIfTI and returns its manifest.

    Healthy regions are smooth, unhealthy ones hold a bright core. The patients in ``changed`` have other voxels.
    """

    def write(folder, changed=()):
        folder.mkdir(parents=True)
        studies = []
        for number in range(BRAINS):
            patient, label = f"P{number:02d}", ("healthy", "unhealthy")[number % 2]
            images = {}
            for index, sequence in enumerate(("T2", "S0")[: 1 if number == 3 else 2]):
                rng = np.random.default_rng([number, index, int(patient in changed)])
                voxels = rng.uniform(50, 100, (26, 26, 7)).astype(np.float32)
                if label == "unhealthy":
                    voxels[11:15, 11:15, 3:5] += 200
                images[sequence] = f"{patient}_{sequence}.nii.gz"
                nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1, 6, 1])), folder / images[sequence])
            region = {"center_mm": [12.5, 12.5, 21.0], "size_mm": [8.0, 8.0, 12.0]}
            lesion = {"id": "R1", "region": region, "labels": {"brain": label}}
            study = {"patient": patient, "study": f"{patient}-1", "site": "A", "images": images, "lesions": [lesion]}
            studies.append(study)
        content = {"schema": "mpmri-monai/manifest/1", "name": "brains", "sequences": ["T2", "S0"]}
        content |= {"classes": {"brain": ["healthy", "unhealthy"]}, "studies": studies}
        (folder / "manifest.json").write_text(json.dumps(content))
        return folder / "manifest.json"

    return write


@pytest.fixture(scope="session")
def brains(write_brains, tmp_path_factory):
    """Manifest of the small brain cohort."""
    return write_brains(tmp_path_factory.mktemp("brains") / "c")


@pytest.fixture(scope="session")
def run_here(cache):
    """run_here(bundle, folder, run_id="training", stopped_in=0, **options) runs a bundle in this process.

    ``stopped_in`` kills the training as that epoch begins. Returns the folder.
    """
    patch = pytest.MonkeyPatch()
    patch.setenv("MPMRI_CACHE", str(cache))

    def run(bundle, folder, run_id="training", stopped_in=0, **options):
        configs = ROOT / "bundles" / bundle / "configs"
        files = [str(configs / name) for name in ("train.json", "evaluate.json")[: 1 + (run_id == "evaluating")]]
        options = {"threads": 1, "num_workers": 0, "device": "cpu", "output_dir": str(folder)} | options
        workflow = ConfigWorkflow(files, run_id=run_id, logging_file=False, **options)
        workflow.initialize()
        if stopped_in:
            trainer = workflow.parser.get_parsed_content("train#trainer")
            trainer.add_event_handler(Events.EPOCH_STARTED(once=stopped_in), stop)
        try:
            workflow.run()
        finally:
            workflow.finalize()
        return folder

    yield run
    patch.undo()


class Stopped(BaseException):
    """What a run dies of that is stopped from outside."""


def stop():
    raise Stopped


@pytest.fixture(scope="session")
def small_grid():
    """Overrides of a bundle's configuration for samples that are small enough to train on in seconds."""
    return {f"samples#grid#{key}": value for key, value in SMALL_GRID.items()}


@pytest.fixture(scope="session")
def write_splits_of():
    """write_splits_of(path, train=…, val=…, test=…) writes the roles of the small cohort's patients, by number."""

    def write(path, **roles):
        fit = [("patient", f"P{n:02d}", "", "", 0, 0, "", role) for role, numbers in roles.items() for n in numbers]
        write_splits(path, pd.DataFrame(fit, columns=list(COLUMNS)))
        return path

    return write
