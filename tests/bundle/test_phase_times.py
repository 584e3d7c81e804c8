"""When phases were acquired, as the phantom wrote it into its headers."""

import shutil

import pandas as pd
import pytest

from mpmri_monai.bundle import phase_times as module
from mpmri_monai.bundle.phase_times import phase_times
from mpmri_monai.bundle.reference import timing
from mpmri_monai.catalogue import scan
from mpmri_monai.cohort import load_manifest
from mpmri_monai.phantom import write_cohort
from mpmri_monai.sequences import DCE


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Manifest of three generated patients."""
    return load_manifest(write_cohort(tmp_path_factory.mktemp("cohort") / "c", "quick", patients=3, progress=False))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path / "cache"))


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        return scan(*arguments, **options)


def test_times_are_those_of_the_catalogue_and_looked_up_once(cohort, monkeypatch):
    counted = Counted()
    monkeypatch.setattr(module, "scan", counted)
    names = [study.study for study in cohort.studies]
    found = phase_times(cohort, names)
    assert counted.calls == 3
    assert phase_times(cohort, names) == found
    assert counted.calls == 3
    assert set(found) <= set(DCE), "only phases of a dynamic series have a time"
    assert found["S0"] == [0.0, 0.0, 0.0]
    for study, late in zip(cohort.studies, found["S5"], strict=True):
        image = study.images["S5"]
        catalogue = scan(cohort.path(image.dicom), **study.scan_options)
        assert late == catalogue.volume(image.volume).time_s > 0
    assert phase_times(cohort, names[:1]) == {name: times[:1] for name, times in found.items()}


class Trained:
    """What of a training's data is asked."""

    def __init__(self, manifest):
        self.manifest, self.workers = manifest, 0


def test_the_reference_holds_the_earliest_and_the_latest(cohort):
    rows = pd.DataFrame({"study": [study.study for study in cohort.studies for _ in range(2)]})
    found = timing(Trained(cohort), rows)
    times = phase_times(cohort, set(rows["study"]))["S2"]
    assert found["S2"] == [round(min(times), 4), round(max(times), 4)]


def test_a_study_that_cannot_be_read_any_more_is_left_out(cohort, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(cohort.folder, copy)
    damaged = load_manifest(copy / "manifest.json")
    first, *others = damaged.studies
    for file in (copy / first.images["S0"].dicom).rglob("*"):
        if file.is_file():
            file.write_bytes(b"no DICOM")
    found = phase_times(damaged, [study.study for study in damaged.studies])
    assert len(found["S5"]) == len(others)


def test_seconds_that_count_from_another_phase_are_not_put_together(cohort, monkeypatch):
    """A site may lack the plain phase: what was its first is the others' second."""
    names = [study.study for study in cohort.studies]
    whole = {"S0": 0.0, "S1": 50.0, "S4": 210.0}
    times = {names[0]: whole, names[1]: {"S1": 0.0, "S4": 160.0}, names[2]: whole}
    monkeypatch.setattr(module, "_times", lambda job: {"time_s": times[job.study.study]})
    assert phase_times(cohort, names) == {"S0": [0.0, 0.0], "S1": [50.0, 50.0], "S4": [210.0, 210.0]}
    assert phase_times(cohort, names[1:2]) == {"S1": [0.0], "S4": [160.0]}
