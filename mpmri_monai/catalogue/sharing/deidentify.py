"""Make a copy of a study that can be shared: by allow-list, whole or not at all, and with the same catalogue."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID
from rich.console import Console
from rich.progress import track

from mpmri_monai.artefacts import whole_folder
from mpmri_monai.catalogue.containers.study_files import Contents, read_study
from mpmri_monai.catalogue.headers.elements import Elements, read_with_pixels
from mpmri_monai.catalogue.headers.header import FileHeader, ObjectHeader
from mpmri_monai.catalogue.headers.layout import NATIVE
from mpmri_monai.catalogue.quiet import without_warnings
from mpmri_monai.catalogue.record import Catalogue, VolumeRecord
from mpmri_monai.catalogue.scan import OBJECT_NAMES, scan
from mpmri_monai.catalogue.sharing.allowlist import SCREENS, tag_of
from mpmri_monai.catalogue.sharing.cleaning import Cleaner
from mpmri_monai.catalogue.sharing.pseudonyms import CODE, Pseudonyms, keyed_hash, read_or_create_key
from mpmri_monai.errors import CatalogueError, ConfigError

KEPT_OBJECTS = ("SEG", "RTSTRUCT")
"""Kinds of objects besides images that are copied."""
BURNED_IN = "images with burned-in text or from a screen"
TIME_TOLERANCE_S = 0.01
"""Times from the first phase may change by the rounding of a clock that counts from another day (s)."""
SHORTEST_NAME = 3
"""The PatientID, and parts of the patient's name, may not be part of his code from this length on (characters)."""


@dataclass(frozen=True)
class Deidentified:
    """What a copy holds."""

    patient: str
    """Code that stands for the patient."""
    images: int
    """Files of images (count)."""
    objects: tuple[tuple[str, int], ...]
    """Kinds of other files, and how many."""
    dropped: tuple[tuple[str, int], ...]
    """What was left out, in words, and how many files."""
    roles: tuple[str, ...]
    """Sequences of the protocol that were found in the copy as in the original."""


def deidentify(
    study: Path,
    out: Path,
    key_file: Path,
    patient: str | None = None,
    protocol: str = "liver",
    study_number: int | None = None,
    progress: bool = False,
) -> Deidentified:
    """Copy a study without what could lead to the patient, and scan the copy to see that nothing else changed.

    Args:
        study: a folder, archive or file, as for ``scan``.
        out: folder to create; its files are named by a counter.
        key_file: secret that UIDs and dates are replaced by, made when it does not exist. It leads back to the patient,
            so it may not lie in ``out``. The same key keeps series, masks and later studies of a patient together.
        patient: code for the patient; made from the key and the PatientID unless given.
        protocol: by which original and copy are compared.
        study_number: which study to take where there are several (from 1).
        progress: whether to show progress bars on standard error.

    Raises:
        CatalogueError: the study cannot be read, is kept as NIfTI, or the copy's catalogue would differ (E_DEIDENTIFY).
        ConfigError: the code or the key cannot be used.
        OutputError: ``out`` exists, or cannot be written. Nothing is left of it after any error.
    """
    study, out, key_file = Path(study), Path(out), Path(key_file)
    _apart(study, out, key_file)
    before = scan(study, protocol, progress=progress, study_number=study_number)
    contents = read_study(study, study_number=study_number)
    _check_readable(before, contents)
    if patient is not None:
        _check_code(patient, contents)
    pseudonyms = _pseudonyms(read_or_create_key(key_file), patient, contents)
    dropped = Counter(OBJECT_NAMES[item.kind] for item in contents.objects if item.kind not in KEPT_OBJECTS)
    dropped["DICOM files that cannot be read"] = len(contents.unreadable)
    with whole_folder(out) as folder:
        burned_in = _write(contents, folder, pseudonyms, progress)
        dropped[BURNED_IN] = len(burned_in)
        after = scan(folder, protocol)
        _check_same(before, after, burned_in)
    return Deidentified(
        patient=pseudonyms.patient,
        images=len({header.path for header in contents.images} - burned_in),
        objects=_counted(Counter(item.kind for item in contents.objects if item.kind in KEPT_OBJECTS)),
        dropped=_counted(dropped),
        roles=tuple(after.roles),
    )


def deidentify_command(
    study: Path, out: Path, key_file: Path, patient: str | None, protocol: str, study_number: int | None
) -> int:
    """De-identify a study and print what was done.

    Returns:
        Exit status 0; everything else is an error.

    Raises:
        MpmriError: as ``deidentify`` does.
    """
    done = deidentify(study, out, key_file, patient, protocol, study_number, progress=sys.stderr.isatty())
    objects = "".join(f", {count} {kind}" for kind, count in done.objects)
    print(f"patient {done.patient}: {done.images} files of images{objects}")
    for name, count in done.dropped:
        print(f"left out: {count} {name}")
    print(f"a scan of the copy finds the same as one of the original ({' '.join(done.roles) or 'no sequence'})")
    print("pixels are as they were: look for text in the images, and for faces in images of the head, before sharing")
    print("the key leads back to the patient: keep it apart from the copy")
    return 0


def _counted(counter: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple((name, count) for name, count in sorted(counter.items()) if count)


# -- before anything is written --------------------------------------------------


def _apart(study: Path, out: Path, key_file: Path) -> None:
    """Make sure that the key does not go with the data, and the copy does not lie in the original."""
    if key_file.resolve().is_relative_to(out.resolve()):
        raise ConfigError(
            expected="a key file outside the folder that is shared",
            found="one inside it",
            fix="keep the key where only you can read it",
            code="E_KEY",
        )
    if out.resolve().is_relative_to(study.resolve()):
        raise ConfigError(
            expected="a folder outside the study", found="one inside it", fix="name another place", code="E_OUTPUT"
        )


def _check_readable(catalogue: Catalogue, contents: Contents) -> None:
    """Make sure that there are images, and no series would be shared without the files that cannot be read."""
    expected, fix = "DICOM images that can be read", "export the series again"
    codes = {item.code for item in contents.unreadable}
    problems = [str(problem) for problem in catalogue.problems if problem.code in codes]
    if problems:
        raise _refused(expected, "; ".join(problems), fix)
    if not contents.images:
        found = "NIfTI files, which have no DICOM header" if contents.nifti else "none"
        raise _refused(expected, found, "name a study of MR images")


def _pseudonyms(key: bytes, patient: str | None, contents: Contents) -> Pseudonyms:
    if patient is None:
        original = contents.images[0].patient
        if not original:
            raise ConfigError(
                expected="a patient's code",
                found="files without a PatientID",
                fix="give one with --patient",
                code="E_CODE",
            )
        patient = f"P{keyed_hash(key, 'patient', original).hex()[:8]}"
    return Pseudonyms(key, patient)


def _check_code(patient: str, contents: Contents) -> None:
    """Make sure that the code neither is nor holds the patient's own number or name."""
    if not CODE.fullmatch(patient):
        raise ConfigError(
            expected="a patient's code of 1 to 16 letters, digits, '-' and '_'",
            found="another form",
            fix="give a code such as P001",
            code="E_CODE",
        )
    with without_warnings():
        source = pydicom.dcmread(contents.images[0].path, specific_tags=["PatientName", "PatientID"], force=True)
        name = str(source.get("PatientName", ""))
    number, code = contents.images[0].patient.casefold(), patient.casefold()
    own = [part for part in (number, *re.split(r"[\W_]+", name.casefold())) if len(part) >= SHORTEST_NAME]
    if code == number or any(part in code for part in own):
        raise ConfigError(
            expected="a patient's code that says nothing about the patient",
            found="one that holds the PatientID or a part of the name",
            fix="give a code such as P001",
            code="E_CODE",
        )


# -- writing -----------------------------------------------------------------------


def _write(contents: Contents, folder: Path, pseudonyms: Pseudonyms, progress: bool) -> set[Path]:
    """Write the copies; return the files that were left out for what their pixels show."""
    paths = list(dict.fromkeys(item.path for item in _in_order(contents)))
    cleaner, burned_in, written = Cleaner(pseudonyms), set(), 0
    steps = track(paths, "de-identifying", console=Console(stderr=True), disable=not progress, transient=True)
    for path in steps:
        with without_warnings():
            try:
                with path.open("rb") as file:
                    source = read_with_pixels(file)
                if _shows_text(source):
                    burned_in.add(path)
                    continue
                written += 1
                _copy(source, cleaner).save_as(folder / f"{written:06}.dcm", enforce_file_format=True)
            except (OSError, MemoryError):
                raise
            except Exception:  # pydicom raises whatever damaged values lead to, and quotes them
                number = next(item.series_number for item in _in_order(contents) if item.path == path)
                raise _refused(
                    "files that can be copied element by element",
                    f"damaged values in series {'without number' if number is None else number}",
                    "export the series again, or leave it out",
                ) from None
    return burned_in


def _in_order(contents: Contents) -> list[FileHeader | ObjectHeader]:
    """Files to copy, by series and image, so that the order of the originals' names is not kept."""
    objects = [item for item in contents.objects if item.kind in KEPT_OBJECTS]
    return [*sorted(contents.images, key=_place), *sorted(objects, key=lambda item: item.instance)]


def _place(header: FileHeader) -> tuple[float, float, str]:
    numbers = (header.series_number, header.instance_number)
    series, image = (float("inf") if number is None else number for number in numbers)
    return series, image, header.instance


def _shows_text(source: pydicom.Dataset) -> bool:
    """Whether an image says that its pixels hold text, or that they come from a screen or another medium."""
    elements = Elements(source)  # pydicom's own access would decode the elements that are copied as bytes
    declared = elements.text(tag_of("BurnedInAnnotation")).upper() == "YES"
    from_screen = any(word in kind.upper() for kind in elements.texts(tag_of("ImageType")) for word in SCREENS)
    return declared or from_screen or elements.holds(tag_of("ConversionType"))


def _copy(source: pydicom.FileDataset, cleaner: Cleaner) -> pydicom.Dataset:
    """Return the copy of a file, ready to be written with a file header of its own."""
    implicit, little = map(bool, source.original_encoding)
    copy = cleaner.clean(source, (implicit, little))
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = UID(source.file_meta.get("TransferSyntaxUID") or NATIVE[implicit, little])
    copy.file_meta.MediaStorageSOPClassUID = copy.SOPClassUID
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    copy.preamble = bytes(128)
    return copy


# -- the copy against the original ----------------------------------------------------


def _check_same(before: Catalogue, after: Catalogue, burned_in: set[Path]) -> None:
    """Make sure that a scan finds the same in the copy, apart from what was left out of it."""
    volumes = [volume for volume in before.volumes if not burned_in.issuperset(header.path for header in volume.files)]
    same = {
        "volumes": _same_volumes(volumes, after.volumes),
        "roles": _decisions(before) == _decisions(after),
        "problems": _problems(before) == _problems(after),
        "masks": _masks(before) == _masks(after),
    }
    different = [name for name, holds in same.items() if not holds]
    if different:
        raise _refused(
            "a copy with the same catalogue",
            f"other {' and '.join(different)}",
            "run `mpmri scan` on the study: images with burned-in text and files that cannot be read are not copied, "
            "and a series that needs them cannot be shared",
        )


def _same_volumes(before: Sequence[VolumeRecord], after: Sequence[VolumeRecord]) -> bool:
    pairs = list(zip(sorted(before, key=_described), sorted(after, key=_described), strict=False))
    return len(before) == len(after) and all(
        _described(one)[0] == _described(other)[0]
        and abs(_described(one)[1] - _described(other)[1]) <= TIME_TOLERANCE_S
        for one, other in pairs
    )


def _described(volume: VolumeRecord) -> tuple[str, float]:
    """What a scan says about a volume apart from its id, and its time.

    Values of evidence are left out: they are in words, and a rounded time in one may differ by its last digit.
    """
    content = volume.to_json()
    content["evidence"] = [(entry.rule, entry.outcome) for entry in volume.evidence]
    content["warnings"] = [entry.code for entry in volume.warnings]
    content["images"] = [
        (image.position, image.orientation, image.slope, image.intercept, image.scaling) for image in volume.files
    ]
    time_s = content.pop("time_s")
    del content["id"]
    return json.dumps(content, sort_keys=True), -1.0 if time_s is None else time_s


def _decisions(catalogue: Catalogue) -> tuple[list[Any], ...]:
    decided = [(entry.role, entry.rule, len(entry.rivals)) for entry in catalogue.decisions]
    return list(catalogue.roles), decided, [(entry.role, entry.series_numbers) for entry in catalogue.unresolved]


def _problems(catalogue: Catalogue) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.series_number) for problem in catalogue.problems]


def _masks(catalogue: Catalogue) -> list[str]:
    """Kinds of masks, and the volumes that they were drawn on."""
    records = {volume.id: _described(volume)[0] for volume in catalogue.volumes}
    kept = [item for item in catalogue.objects if item.kind in KEPT_OBJECTS]
    return sorted(f"{item.kind} {records.get(item.volume or '')}" for item in kept)


def _refused(expected: str, found: str, fix: str) -> CatalogueError:
    return CatalogueError(expected=expected, found=found, fix=fix, code="E_DEIDENTIFY")
