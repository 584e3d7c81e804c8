from pathlib import Path

import pytest

from mpmri_monai.cohort import load_manifest
from mpmri_monai.experiments import registry
from mpmri_monai.experiments.commands import WORKER
from mpmri_monai.phantom import write_cohort
from mpmri_monai.processes import open_workers
from mpmri_monai.samples import Settings, prepare

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"


@pytest.fixture(scope="session")
def tiny_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory, tiny_cache):
    """Manifest of nine generated patients whose samples are in ``tiny_cache``."""
    with open_workers(1, preload=[WORKER]):  # the first workers of a process decide what later ones find imported
        folder = tmp_path_factory.mktemp("cohort") / "c"
        manifest = write_cohort(folder, "quick", patients=9, workers=2, progress=False)
        prepare(load_manifest(manifest), Settings(), tiny_cache, workers=2, progress=False)
    return manifest


@pytest.fixture
def tiny_experiment(monkeypatch):
    monkeypatch.setitem(registry.EXPERIMENTS, "tiny", "tiny_experiment:Tiny")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return "tiny"
