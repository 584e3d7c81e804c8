import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mpmri_monai.cohort import save_manifest
from mpmri_monai.errors import OutputError, StoreError
from mpmri_monai.samples import Settings, prepare
from mpmri_monai.samples.preparation import store_folder
from mpmri_monai.samples.store import study_file


def contents(store):
    return {path.name: path.read_bytes() for path in sorted(store.folder.iterdir())}


def rewrite(path, change):
    image = nibabel.load(path)
    values = change(np.asarray(image.dataobj).copy())
    nibabel.save(nibabel.Nifti1Image(values, image.affine), path)


@pytest.fixture
def counted(monkeypatch):
    """Names of the studies that are read."""
    from mpmri_monai.samples import study as steps

    read = []

    def sample_study(study, *rest):
        read.append(study.study)
        return steps.sample_study(study, *rest)

    monkeypatch.setattr("mpmri_monai.samples.preparation.sample_study", sample_study)
    return read


def test_second_run_reads_nothing(cohort, tmp_path, counted):
    first = prepare(cohort, Settings(), tmp_path, progress=False)
    assert counted == ["P0-1", "P1-1", "P2-1"]
    second = prepare(cohort, Settings(), tmp_path, progress=False)
    assert len(counted) == 3
    assert second.digest() == first.digest()
    assert second.table.equals(first.table)


def test_only_what_changed_is_read_again(cohort, tmp_path, counted):
    first = prepare(cohort, Settings(), tmp_path, progress=False)
    counted.clear()
    rewrite(cohort.folder / "P1" / "S3.nii", lambda values: values + 1)
    second = prepare(cohort, Settings(), tmp_path, progress=False)
    assert counted == ["P1-1"]
    assert second.digest() != first.digest()


def test_other_settings_have_their_own_store(cohort, tmp_path):
    first = prepare(cohort, Settings(), tmp_path, progress=False)
    second = prepare(cohort, Settings(pixels=24), tmp_path, progress=False)
    assert first.folder != second.folder
    assert second.images([0]).shape[-1] == second.settings.stored_pixels == 40
    assert first.digest() != second.digest()


def test_digest_is_of_the_samples_and_not_of_files_or_places(cohort, tmp_path):
    first = prepare(cohort, Settings(), tmp_path, progress=False)
    for path in cohort.folder.rglob("*.nii"):
        os.utime(path, ns=(1, 1))
    second = prepare(cohort, Settings(), tmp_path / "elsewhere", progress=False)
    assert second.digest() == first.digest()


def test_half_written_file_is_made_anew(cohort, tmp_path, counted):
    first = contents(prepare(cohort, Settings(), tmp_path, progress=False))
    path = study_file(store_folder(cohort, Settings(), tmp_path), "P1-1")
    path.write_bytes(path.read_bytes()[:5000])
    counted.clear()
    assert contents(prepare(cohort, Settings(), tmp_path, progress=False)) == first
    assert counted == ["P1-1"]


def test_workers_do_not_change_a_byte(cohort, tmp_path):
    here = prepare(cohort, Settings(), tmp_path / "0", workers=0, progress=False)
    there = prepare(cohort, Settings(), tmp_path / "2", workers=2, progress=False)
    assert contents(here) == contents(there)
    assert here.table.equals(there.table)


def test_a_bad_study_is_left_out_and_named(cohort, tmp_path, counted):
    rewrite(cohort.folder / "P1" / "lesions.nii", np.zeros_like)
    store = prepare(cohort, Settings(), tmp_path, progress=False)
    assert list(store.failed) == ["P1-1"]
    assert "E_MASK_EMPTY" in store.failed["P1-1"]
    assert set(store.table["study"]) == {"P0-1", "P2-1"}
    assert not study_file(store.folder, "P1-1").exists()


def test_a_study_that_went_bad_is_not_served_from_before(cohort, tmp_path):
    prepare(cohort, Settings(), tmp_path, progress=False)
    (cohort.folder / "P1" / "T2.nii").unlink()
    store = prepare(cohort, Settings(), tmp_path, workers=2, progress=False)
    assert list(store.failed) == ["P1-1"]
    assert "P1-1" not in set(store.table["study"])


def test_no_usable_study_at_all(cohort, tmp_path):
    for path in cohort.folder.rglob("lesions.nii"):
        rewrite(path, np.zeros_like)
    with pytest.raises(StoreError, match="E_MASK_EMPTY"):
        prepare(cohort, Settings(), tmp_path, progress=False)


def test_full_disk_leaves_nothing_half_written(cohort, tmp_path, monkeypatch):
    def full(self, data):
        with self.open("wb") as file:
            file.write(bytes(data)[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="full disk"):
        prepare(cohort, Settings(), tmp_path, progress=False)
    assert [path.name for path in store_folder(cohort, Settings(), tmp_path).iterdir()] == ["settings.json"]


SLOW_PREPARE = """
import sys, time
from pathlib import Path
from mpmri_monai.cohort import load_manifest
from mpmri_monai.samples import Settings, prepare as build
import mpmri_monai.samples.preparation as module

plain = module.write_study
def slow(path, *rest):
    plain(path, *rest)
    time.sleep(60)
module.write_study = slow
build(load_manifest(Path(sys.argv[1])), Settings(), Path(sys.argv[2]), progress=False)
"""


def test_killed_after_the_first_study_goes_on_with_the_second(cohort, tmp_path, counted):
    path = cohort.folder / "manifest.json"
    save_manifest(cohort, path)
    process = subprocess.Popen([sys.executable, "-c", SLOW_PREPARE, str(path), str(tmp_path)])
    folder = store_folder(cohort, Settings(), tmp_path)
    waited = time.monotonic() + 60
    while not study_file(folder, "P0-1").exists() and time.monotonic() < waited:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = prepare(cohort, Settings(), tmp_path, progress=False)
    assert counted == ["P1-1", "P2-1"]
    assert contents(resumed) == contents(prepare(cohort, Settings(), tmp_path / "whole", progress=False))


def test_progress_is_announced(cohort, tmp_path, capsys):
    prepare(cohort, Settings(), tmp_path)
    told = capsys.readouterr().err
    assert "3 of 3 studies to read" in told and "MB of memory" in told
    prepare(cohort, Settings(), tmp_path)
    assert capsys.readouterr().err == ""
