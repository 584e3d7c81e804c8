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
from pydicom.uid import RLELossless

from mpmri_monai.phantom.anatomies import LIVER
from mpmri_monai.phantom.study import write_study
from privacy.planting import FRACTION, Planter, found, found_in, plant

BUNDLE = Path(__file__).parents[2] / "bundles" / "hcc_grade"
LOCAL = ("manifest.json", "later.json", "cache/scans/")
"""What names the folders and masks of its own machine: manifests, and the cache of their parts."""
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
    mask: Path
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

    def assert_clean(self):
        """Nothing written holds a planted string.

        But for LOCAL, which may hold planted paths, and the fractions of seconds that a de-identified copy keeps.
        """
        written = {name: strings for name, strings in found_in(self.out).items() if not name.startswith(LOCAL)}
        hits = {name: strings - ({FRACTION} if name.startswith("copy") else set()) for name, strings in written.items()}
        explained = {name: self.explained(strings)[0] for name, strings in hits.items() if strings}
        assert not explained, dict(list(explained.items())[:5])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root, planter = tmp_path_factory.mktemp("planted"), Planter()
    written = write_study(root / "made", "quick", number=0, seed=None)
    study = root / "cohort" / "N001" / f"{planter.text('study folder')} Li Wei"
    study.parent.mkdir(parents=True)
    shutil.move(written.dicom, study)
    plant(study, planter, thoroughly=30)
    mask = f"N001/{planter.text('mask file')}.nii.gz"
    shutil.move(written.lesion_mask, root / "cohort" / mask)
    rows = ["patient,study,site,folder,lesion,mask,value,drawn_on,grade"]
    rows += [f"N001,N001-1,A,N001/{study.name},N001-L1,{mask},1,{LIVER.drawn_on},well"]
    (root / "cohort" / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "out").mkdir()
    inner = next(path for path in study.iterdir() if path.is_dir())
    return Place(root / "cohort", study, root / "cohort" / mask, inner, root / "out", planter)


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
    assert len(list(out.iterdir())) > 300
    place.assert_clean()
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


@pytest.mark.slow
def test_from_a_cohort_to_its_samples(place):
    cohort, manifest = place.cohort, place.out / "manifest.json"
    statuses, printed = place.run(
        ("manifest", cohort, "--labels", cohort / "labels.csv", "-o", manifest, "--workers", "0"),
        ("check", manifest, "-o", place.out / "check", "--workers", "0"),
        ("contact-sheet", manifest, "-o", place.out / "sheets", "--workers", "0"),
        ("contact-sheet", place.study, "-o", place.out / "sheet", "--mask", place.mask),
        ("prepare", manifest, "--workers", "0"),
    )
    assert statuses == ["0"] * 5, printed
    endings = {path.suffix for path in place.out.rglob("*")}
    assert {".json", ".csv", ".png", ".html", ".npz"} <= endings
    place.assert_clean()
    named = {place.study.name.split()[0], place.mask.name.split(".")[0]}
    assert all(strings <= named for strings in found_in(place.out).values())  # a manifest has paths, and nothing else


@pytest.mark.slow
def test_an_answer(place):
    study, mask, out = place.out.parent / "one_study", place.out.parent / "one_mask.nii.gz", place.out / "answer"
    study.symlink_to(place.study)  # MONAI prints the command's own arguments
    mask.symlink_to(place.mask)
    command = [sys.executable, "-m", "monai.bundle", "run", "inference"]
    command += ["--config_file", str(BUNDLE / "configs" / "inference.json"), "--study", str(study)]
    command += ["--lesion_mask", str(mask), "--output_dir", str(out)]
    ended = subprocess.run(
        command, cwd=place.out, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, check=False
    )
    printed = ended.stdout + ended.stderr
    assert ended.returncode == 0, printed.decode()
    assert not found(printed), place.explained(found(printed), printed)
    assert {"result.json", "picture.png"} <= {path.name for path in out.iterdir()}
    place.assert_clean()


@pytest.mark.slow
def test_answers_of_a_batch(place):
    """One study is not there: what is said of it does not name its place."""
    out, gone = place.out / "answers", place.cohort / f"{place.planter.text('lost study')} Li Wei"
    options = ("--bundle", BUNDLE, "--device", "cpu", "-o", out, "-i", place.study, "-i", gone)
    statuses, printed = place.run(("infer", *options, "--mask", place.mask, "--mask", place.mask))
    assert statuses == ["1"], printed
    assert len(list(out.glob("study-*/report.html"))) == 1
    place.assert_clean()


# -- what goes wrong -----------------------------------------------------------------------


def faulty(place, change):
    """Copy the T2-weighted series into a folder with a planted name, and change it."""
    folder = place.out.parent / "faults" / f"{change.__name__} {place.planter.text('study folder')} Li Wei"
    folder.mkdir(parents=True)
    for path in place.inner.parent.rglob("*.dcm"):
        if pydicom.dcmread(path, specific_tags=["SeriesNumber"]).SeriesNumber == 2:
            shutil.copy(path, folder)
    change(sorted(folder.iterdir()))
    return folder


def cut(paths):
    paths[3].write_bytes(paths[3].read_bytes()[:-100])


def cut_in_header(paths):
    paths[3].write_bytes(paths[3].read_bytes()[:900])


def of_another_patient(paths):
    dataset = pydicom.dcmread(paths[3])
    dataset.PatientID = "ZQ99998XW"
    dataset.save_as(paths[3])


def burned_in(paths):
    dataset = pydicom.dcmread(paths[3])
    dataset.BurnedInAnnotation = "YES"
    dataset.save_as(paths[3])


def without_positions(paths):
    dataset = pydicom.dcmread(paths[3])
    dataset.ImagePositionPatient = None
    dataset.save_as(paths[3])


def text_for_a_number(paths):
    content = paths[3].read_bytes()
    at = content.index(b"\x28\x00\x30\x00DS")  # PixelSpacing
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    paths[3].write_bytes(content[: at + 8] + b"ZQ99997XW".ljust(length)[:length] + content[at + 8 + length :])


def of_damaged_sequences(paths):
    for path in paths:
        dataset = pydicom.dcmread(path)
        if "ReferencedImageSequence" in dataset:
            del dataset.ReferencedImageSequence
        dataset.add_new(0x00081140, "LO", "ZQ99996XW")
        dataset.save_as(path)


def badly_compressed(paths):
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.PixelData = dataset.PixelData[:200] + bytes(200) + dataset.PixelData[400:]
        dataset.save_as(path)


def none_left(paths):
    for path in paths:
        path.unlink()


FAULTS = (
    cut, cut_in_header, of_another_patient, burned_in, without_positions, text_for_a_number, of_damaged_sequences,
    badly_compressed, none_left,
)  # fmt: skip


def test_what_is_said_about_faults(place):
    folders = [faulty(place, change) for change in FAULTS]
    folders += [place.out.parent / "ZQ99995XW", next(path for path in place.study.iterdir() if path.suffix == ".txt")]
    commands = [
        command
        for number, folder in enumerate(folders)
        for command in (
            ("scan", folder),
            ("deidentify", folder, place.out / f"copy{number}", "--key-file", place.out.parent / "key"),
            ("contact-sheet", folder, "-o", place.out / f"sheet{number}"),
        )
    ]
    statuses, printed = place.run(*commands)
    assert len(statuses) == len(commands)
    assert set(statuses[::3]) == {"1", "2"}
    assert "Traceback" not in printed, printed
    codes = ("E_TRUNCATED", "E_MULTIPATIENT", "E_DEIDENTIFY", "E_NOGEOM", "E_EMPTY", "E_FOLDER")
    assert all(code in printed for code in codes), printed
    place.assert_clean()


@pytest.mark.slow
def test_what_is_said_when_a_study_changes_after_its_manifest(place):
    cohort, manifest = place.out.parent / "later", place.out / "later.json"
    shutil.copytree(place.cohort, cohort)
    files = [
        path
        for path in cohort.rglob("*.dcm")
        if pydicom.dcmread(path, specific_tags=["SeriesNumber"]).SeriesNumber == 4
    ]
    made, _ = place.run(("manifest", cohort, "--labels", cohort / "labels.csv", "-o", manifest, "--workers", "0"))
    files[0].write_bytes(files[0].read_bytes()[:-100])
    commands = (("check", manifest, "--workers", "0"), ("prepare", manifest, "--workers", "0"))
    place.run(("contact-sheet", manifest, "-o", place.out / "later", "--workers", "0"))
    cut, _ = place.run(*commands)
    shutil.rmtree(cohort / "N001" / place.study.name)
    gone, printed = place.run(*commands)
    assert made == ["0"]
    assert "0" not in (*cut, *gone)
    assert "Traceback" not in printed, printed
    place.assert_clean()
