"""A tiny cohort as DICOM, and the bundle's commands run on it as a user would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
