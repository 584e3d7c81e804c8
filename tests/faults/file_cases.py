"""Files: what lies beside the images, damage, compression, containers."""

from __future__ import annotations

import functools
import io
import os
import tarfile
import warnings
import zipfile
from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import write_dataset
from pydicom.uid import JPEG2000Lossless, MediaStorageDirectoryStorage

from faults.builder import Grid, Study, Volume, encoded, t2, volume
from faults.case import case
from faults.enhanced import multi_frame
from faults.pixel_cases import compressed

files = functools.partial(case, "Files and folders")
damage = functools.partial(case, "Damaged files")
containers = functools.partial(case, "Archives and NIfTI")
PIXELS = b"\xe0\x7f\x10\x00"
"""Tag of PixelData as it stands in a file."""
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"


# -- beside the images --------------------------------------------------------


@files()
def text_and_hidden_files(study: Study) -> None:
    """A text, thumbnails, a .DS_Store and an empty folder's keeper."""
    study.add(volume())
    study.files = {"notes.txt": b"exported on Monday", ".DS_Store": b"\0\0\0\1Bud1", "Thumbs.db": b"\xd0\xcf" * 300}
    study.files["sub/.keep"] = b""


@files()
def a_report_beside_the_images(study: Study) -> None:
    """A structured report in the same folder."""
    study.add(volume())
    report = volume(series=9).images[0]
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = REPORT
    report.Modality = "SR"
    del report.PixelData, report.Rows, report.Columns
    study.images.append(report)


@files()
def a_DICOMDIR(study: Study) -> None:
    """An index that names files that do not exist."""
    study.add(volume())
    index = Dataset()
    index.file_meta = FileMetaDataset()
    index.file_meta.TransferSyntaxUID = study.images[0].file_meta.TransferSyntaxUID
    index.file_meta.MediaStorageSOPClassUID = index.SOPClassUID = MediaStorageDirectoryStorage
    index.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
    index.FileSetID, index.DirectoryRecordSequence = "DISK", []
    study.files["DICOMDIR"] = encoded(index)


@files()
def no_preamble(study: Study) -> None:
    """Data sets without preamble and file meta information, in implicit VR."""
    study.truths.append((stack := volume()).truth)
    study.files = {f"IM{k}": _bare(image) for k, image in enumerate(stack.images)}


@files()
def a_program_in_the_preamble(study: Study) -> None:
    """The preamble makes each file a program for Windows as well (CVE-2019-11687)."""
    study.add(stack := volume())
    for image in stack.images:
        image.preamble = b"MZ" + b"\x90" * 126


@files()
def nested_folders(study: Study) -> None:
    """A folder for each image, three deep."""
    study.truths.append((stack := volume()).truth)
    study.files = {f"a/b{k % 2}/c{k}/IMG": encoded(image) for k, image in enumerate(stack.images)}


@files()
def odd_file_names(study: Study) -> None:
    """Names in Chinese, with line breaks, as options, and without end."""
    names = ["肝脏 动态", "-rf", "a\nb", "x" * 200, "%s%n", "dcm..", "$(HOME)", "NUL"]
    study.truths.append((stack := volume()).truth)
    study.files = {name: encoded(image) for name, image in zip(names, stack.images, strict=True)}


@files()
def names_in_GB18030(study: Study) -> None:
    """Patient name and descriptions in GB18030, one of them damaged."""
    study.add(stack := volume())
    for image in stack.images:
        image.SpecificCharacterSet = "GB18030"
        image.PatientName, image.SeriesDescription = "Wang^XiaoDong=王^小东", "肝脏 T1 动态"
    stack.images[2].SpecificCharacterSet = "ISO_IR 999"


@files()
def identifiers_that_look_like_paths(study: Study) -> None:
    """SeriesInstanceUID and SOPInstanceUID hold "../../..": nothing may be built from them."""
    study.add(stack := volume())
    for k, image in enumerate(stack.images):
        image["SeriesInstanceUID"]._value = "../../../outside"
        image["SOPInstanceUID"]._value = f"../../{k}"


@files()
def a_link_to_another_study(study: Study) -> None:
    """A symbolic link to a folder with another volume, which is not followed."""
    study.add(volume())

    def link(folder: Path) -> Path:
        other = Study()
        other.add(volume(series=8))
        (folder / "link").symlink_to(other.write(folder.parent / "elsewhere"))
        return folder

    study.pack = link


@files()
def a_named_pipe(study: Study) -> None:
    """A pipe that would block whoever opens it."""
    study.add(volume())

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / "pipe")
        return folder

    study.pack = pipe


@files(refused="E_MULTIPATIENT")
def two_patients(study: Study) -> None:
    """A series of another patient, in another study."""
    study.add(volume(), volume(series=4, PatientID="SYNTHETIC-2", StudyInstanceUID="2.25.2"), expected=False)


@files(refused="E_MULTIPATIENT")
def two_studies(study: Study) -> None:
    """Two examinations of one patient."""
    study.add(volume(), volume(series=4, StudyInstanceUID="2.25.2"), expected=False)


@files(refused="E_EMPTY")
def no_images(study: Study) -> None:
    """Nothing but texts."""
    study.files = {"readme.txt": b"hello" * 100}


# -- damage -------------------------------------------------------------------


def _damaged(study: Study, change) -> None:
    stack = volume()
    study.images = [*stack.images[:3], *stack.images[4:]]
    study.files = {"IM3": change(encoded(stack.images[3]))}


@damage(refused="E_TRUNCATED")
def a_file_cut_off(study: Study) -> None:
    """One file lacks the last 300 bytes."""
    _damaged(study, lambda content: content[:-300])


@damage(refused="E_TRUNCATED")
def a_file_cut_off_in_its_header(study: Study) -> None:
    """One file ends inside its header."""
    _damaged(study, lambda content: content[: content.index(PIXELS) - 30])


@damage(refused="E_TRUNCATED E_MISSING")
def an_empty_file(study: Study) -> None:
    """One file has no bytes."""
    _damaged(study, lambda content: b"")


@damage(refused="E_TRUNCATED E_MISSING")
def a_file_of_zeros(study: Study) -> None:
    """A broken copy left zeros."""
    _damaged(study, lambda content: bytes(len(content)))


@damage(refused="E_TRUNCATED E_MISSING")
def a_header_overwritten(study: Study) -> None:
    """One file has noise in place of half of its header."""
    noise = np.random.default_rng(1).bytes(400)
    _damaged(study, lambda content: content[:140] + noise + content[540:])


@damage(refused="E_TRUNCATED")
def a_compressed_file_cut_off(study: Study) -> None:
    """One JPEG 2000 file ends early: it is seen when the pixels are read."""
    stack = compressed(JPEG2000Lossless, "pylibjpeg")
    study.images = [*stack.images[:3], *stack.images[4:]]
    content = encoded(stack.images[3])
    study.files = {"IM3": content[: len(content) - len(content) // 3]}


def _bare(image: Dataset) -> bytes:
    """A data set without anything before it, in implicit VR little endian."""
    from pydicom.filebase import DicomBytesIO

    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, image)
    return buffer.getvalue()


# -- archives and NIfTI -------------------------------------------------------


def _packed(study: Study, write, name: str) -> None:
    study.add(volume(), volume(series=4))

    def pack(folder: Path) -> Path:
        members = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        write(folder.parent / name, members)
        return folder.parent / name

    study.pack = pack


def _zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@containers(elsewhere=False)
def zip_archive(study: Study) -> None:
    """A zip."""
    _packed(study, _zip, "study.zip")


@containers(elsewhere=False)
def tar_archive(study: Study) -> None:
    """A tar."""
    _packed(study, _tar, "study.tar")


@containers(elsewhere=False)
def tar_archive_with_gzip(study: Study) -> None:
    """A tar.gz."""
    _packed(study, functools.partial(_tar, mode="w:gz"), "study.tar.gz")


@containers(elsewhere=False)
def tar_archive_with_xz(study: Study) -> None:
    """A tar.xz."""
    _packed(study, functools.partial(_tar, mode="w:xz"), "study.tar.xz")


@containers(elsewhere=False)
def zip_with_equal_names(study: Study) -> None:
    """All members have one name: none may replace another."""

    def write(path: Path, members: dict[str, bytes]) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            for content in members.values():
                archive.writestr(zipfile.ZipInfo("IM"), content)

    _packed(study, write, "study.zip")


@containers(elsewhere=False)
def a_single_DICOM_file(study: Study) -> None:
    """The path of one multi-frame file."""
    study.truths.append((stack := volume()).truth)
    study.files = {"IM1": encoded(multi_frame(stack.images))}
    study.pack = lambda folder: folder / "IM1"


@containers(protocol="liver", elsewhere=False)
def NIfTI_study(study: Study) -> None:
    """T2 and S0 as NIfTI files named by their role."""
    for found in (t2(), volume("S0", series=4, grid=Grid(step_mm=2.2))):
        study.truths.append(found.truth)
        study.files[f"{found.truth.name}.nii.gz"] = _nifti(found)


@containers(protocol="liver", refused="E_ROLE", elsewhere=False)
def NIfTI_files_for_one_role(study: Study) -> None:
    """Two files could be T2."""
    for found, name in ((t2(name="new"), "T2.nii.gz"), (t2(name="old", series=5), "old_T2.nii")):
        study.truths.append(found.truth)
        study.files[name] = _nifti(found, compressed=name.endswith("gz"))


def _nifti(found: Volume, compressed: bool = True) -> bytes:
    import gzip

    content = nibabel.Nifti1Image(found.truth.signal.transpose(2, 1, 0).astype(np.int16), found.truth.affine).to_bytes()
    return gzip.compress(content) if compressed else content
