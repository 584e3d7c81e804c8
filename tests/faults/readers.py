"""Other readers on the same studies. Each is optional: one whose library is not installed is left out.

A reader runs in a process of its own for each study, with limits of time and memory, and everything that it prints is
kept: a message that nobody sees is no warning, but the table gives it the benefit.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import multiprocessing
import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faults.outcome import Found, Reading

TIMEOUT_S = 30
MEMORY_BYTES = 3 * 2**30
"""Memory that a reader may take beyond what it has after its imports."""
NO_VENDOR = "Unable to determine manufacturer"
"""dcm2niix says this of every study that names no vendor."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MESSAGE = re.compile(r"warn|error|fail|missing|unable|not |more than|skip|invalid|issue|inconsist", re.IGNORECASE)
"""What is taken for a message about a problem in a reader's output."""


@dataclass(frozen=True)
class Reader:
    """A way to get volumes out of a folder of DICOM files."""

    name: str
    modules: tuple[str, ...]
    read: Callable[[Path], Iterator[Found]]
    """Raises whatever the library raises."""

    @property
    def version(self) -> str:
        """Version of the package that does the reading."""
        return metadata.version(self.modules[0])

    @property
    def installed(self) -> bool:
        """Whether its libraries are there."""
        return all(importlib.util.find_spec(module) is not None for module in self.modules)


def _monai(folder: Path, kind: str) -> Iterator[Found]:
    from monai.data import image_reader

    reader = getattr(image_reader, kind)()
    voxels, meta = reader.get_data(reader.read(str(folder)))
    yield from _volumes(np.asarray(voxels), np.asarray(meta["affine"], dtype=float))


def _monai_pydicom(folder: Path) -> Iterator[Found]:
    return _monai(folder, "PydicomReader")


def _monai_itk(folder: Path) -> Iterator[Found]:
    return _monai(folder, "ITKReader")


def _simpleitk(folder: Path) -> Iterator[Found]:
    """Every series that GDCM finds, as the examples of SimpleITK do it."""
    import SimpleITK

    for series in SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series))
        image = reader.Execute()
        voxels = SimpleITK.GetArrayFromImage(image)
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, -1)[:, :3] * np.array(image.GetSpacing())[:3]
        affine[:3, 3] = image.GetOrigin()[:3]
        yield from _volumes(voxels.transpose(), LPS_TO_RAS @ affine)


def _dicom2nifti(folder: Path) -> Iterator[Found]:
    import dicom2nifti

    with tempfile.TemporaryDirectory() as out:
        dicom2nifti.convert_directory(str(folder), out, compression=False, reorient=False)
        yield from _nifti_files(Path(out))


def _dcm2niix(folder: Path) -> Iterator[Found]:
    import dcm2niix

    with tempfile.TemporaryDirectory() as out:
        command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "s%s", "-o", out, str(folder)]
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
        told = [line for line in lines if ("Warning" in line or "Error" in line) and NO_VENDOR not in line]
        print("\n".join(told), flush=True)
        if done.returncode and not any(Path(out).glob("*.nii")):
            raise RuntimeError(f"exit status {done.returncode}")
        if done.returncode:
            print(f"Error: exit status {done.returncode}", flush=True)
        yield from _nifti_files(Path(out))


READERS = (
    Reader("MONAI PydicomReader", ("monai", "pydicom"), _monai_pydicom),
    Reader("MONAI ITKReader", ("monai", "itk"), _monai_itk),
    Reader("SimpleITK", ("SimpleITK",), _simpleitk),
    Reader("dicom2nifti", ("dicom2nifti",), _dicom2nifti),
    Reader("dcm2niix", ("dcm2niix",), _dcm2niix),
)


def read_apart(reader: Reader, study: Path) -> Reading:
    """Let ``reader`` read ``study`` in a process of its own."""
    for module in reader.modules:
        _load(module)  # once, not in every process
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with tempfile.TemporaryFile() as printed:
        arguments = (reader, study, printed.fileno(), sender)
        child = multiprocessing.get_context("fork").Process(target=_work, args=arguments)
        child.start()
        sender.close()
        answer = _answer(receiver)
        child.kill()
        child.join()
        printed.seek(0)
        messages = ("message",) if MESSAGE.search(printed.read().decode("utf-8", "replace")) else ()
    if isinstance(answer, str):
        return Reading(refused=(answer,), warned=messages)
    return Reading(tuple(answer), refused=messages if not answer else (), warned=messages)


@functools.cache
def _load(module: str) -> None:
    """Import a module, and all parts of one that imports them when they are first used, as itk does."""
    force = getattr(importlib.import_module(module), "force_load", None)
    if force is not None:
        force()


def _answer(receiver: Connection) -> list[Found] | str:
    """What the process sent: volumes, or the kind of error that it ended in."""
    if not receiver.poll(TIMEOUT_S):
        return "no end"
    try:
        return receiver.recv()
    except EOFError:
        return "crash"


def _work(reader: Reader, study: Path, printed: int, sender: Connection) -> None:
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    try:
        answer: object = list(reader.read(study))
    except BaseException as error:
        answer = type(error).__name__
        print("error:", error, flush=True)
    sender.send(answer)
    sender.close()


def _volumes(voxels: NDArray, affine: NDArray[np.float64]) -> Iterator[Found]:
    """Volumes of an array (column, row, slice) or (column, row, slice, volume), where later ones were made later."""
    for index in range(voxels.shape[3] if voxels.ndim == 4 else 1):
        one = voxels[..., index] if voxels.ndim == 4 else voxels
        yield Found(np.asarray(one, dtype=float).transpose(), affine, later=index > 0)


def _nifti_files(folder: Path) -> Iterator[Found]:
    import nibabel

    for path in sorted(folder.rglob("*.nii*")):
        image = nibabel.load(path)
        yield from _volumes(np.asarray(image.dataobj, dtype=float), np.asarray(image.affine))
