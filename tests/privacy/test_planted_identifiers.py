"""No planted identifier comes out of any command: not printed, not written, not as the name of a file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from privacy.planting import Planter, found, found_in, plant
from pydicom.uid import RLELossless

from mpmri_monai.phantom.study import DRAWN_ON, write_study

MODELS = Path(__file__).parents[2] / "bundles" / "hcc_grade"
PROGRAM = """
import json, sys, traceback
from mpmri_monai.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["mpmri", *arguments]
    print("==", arguments[0], flush=True)
    try:
        main()
    except SystemExit as end:
        print("== exit", end.code, flush=True)
    except BaseException:
        traceback.print_exc()
        print("== exit traceback", flush=True)
"""


@dataclass(frozen=True)
class Place:
    """A cohort of one study with planted identifiers, and room for what is made of it."""

    cohort: Path
    study: Path
    inner: Path
    """Folder inside the study; its own name is planted."""
    out: Path
    planter: Planter

    def run(self, *commands):
        """Run mpmri commands; return what each printed, and its exit status in words."""
        environment = os.environ | {"MPMRI_CACHE": str(self.out / "cache"), "OMP_NUM_THREADS": "1", "COLUMNS": "250"}
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps([[str(part) for part in command] for command in commands])],
            cwd=self.out, env=environment, capture_output=True, check=False,
        )  # fmt: skip
        printed = ended.stdout + ended.stderr
        assert not found(printed), self.explained(found(printed), printed)
        statuses = [line.removeprefix("== exit ") for line in ended.stdout.decode().splitlines() if "== exit" in line]
        return statuses, printed.decode()

    def explained(self, strings, printed=b""):
        """Where each string was planted, and the lines that hold one."""
        lines = [line.decode(errors="replace")[:300] for line in printed.splitlines() if found(line)]
        return {string: self.planter.places.get(string, "a date or time") for string in strings}, lines[:10]

    def assert_clean(self, *but):
        """Nothing written holds a planted string."""
        hits = {name: self.explained(strings)[0] for name, strings in found_in(self.out).items() if name not in but}
        assert not hits, dict(list(hits.items())[:5])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root, planter = tmp_path_factory.mktemp("planted"), Planter()
    written = write_study(root / "made", "quick", number=0, seed=None)
    study = root / "cohort" / "N001" / "dicom"
    study.parent.mkdir(parents=True)
    shutil.move(written.dicom, study)
    shutil.move(written.lesion_mask, study.parent / "lesions.nii.gz")
    plant(study, planter, thoroughly=30)
    rows = ["patient,study,site,folder,lesion,mask,value,drawn_on,grade"]
    rows += [f"N001,N001-1,A,N001/dicom,N001-L1,N001/lesions.nii.gz,1,{DRAWN_ON},well"]
    (root / "cohort" / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "out").mkdir()
    inner = next(path for path in study.iterdir() if path.is_dir())
    return Place(root / "cohort", study, inner, root / "out", planter)


def test_the_search_finds_what_is_planted(place):
    hits = set().union(*found_in(place.cohort).values())
    lost = {place.planter.places[text] for text in set(place.planter.places) - hits}
    assert not lost, sorted(lost)[:10]
    assert len(hits) > 5000
    packed = place.out.parent / "packed.npz"
    np.savez_compressed(packed, text=np.array("ZQ00001XW"))
    assert "ZQ00001XW" not in str(packed.read_bytes())


def test_scan(place):
    statuses, printed = place.run(
        ("scan", place.study), ("scan", place.study, "--json"), ("scan", place.study, "--protocol", "none")
    )
    assert statuses == ["0", "0", "0"], printed
    assert all(role in printed for role in ("T2", "S5"))


def test_deidentify(place):
    key, out = place.out.parent / "key", place.out / "copy"
    key.write_text("5a" * 32)
    statuses, printed = place.run(("deidentify", place.study, out, "--key-file", key), ("scan", out, "--json"))
    assert statuses == ["0", "0"], printed
    hits = set().union(*found_in(out).values())
    assert hits <= {".413579"}  # a fraction of a second says nothing once the clock is moved
    shutil.rmtree(out)


def test_an_archive(place):
    archive = place.out.parent / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.comment = place.planter.text("archive comment").encode()
        for path in place.study.rglob("*"):
            packed.write(path, f"{place.planter.text('member')} Li/{path.relative_to(place.study)}")
    statuses, printed = place.run(("scan", archive, "--json"))
    assert statuses == ["0"], printed
    place.assert_clean()


def test_from_a_cohort_to_its_samples(place):
    cohort, manifest = place.cohort, place.out / "manifest.json"
    statuses, printed = place.run(
        ("manifest", cohort, "--labels", cohort / "labels.csv", "-o", manifest, "--workers", "0"),
        ("check", manifest, "-o", place.out / "check", "--workers", "0"),
        ("contact-sheet", manifest, "-o", place.out / "sheets", "--workers", "0"),
        ("contact-sheet", place.study, "-o", place.out / "sheet", "--mask", cohort / "N001" / "lesions.nii.gz"),
        ("prepare", manifest, "--workers", "0"),
    )
    assert statuses == ["0"] * 5, printed
    endings = {path.suffix for path in place.out.rglob("*")}
    assert {".json", ".csv", ".png", ".html", ".npz"} <= endings
    place.assert_clean()
