"""Studies against pydicom alone: headers per second, and study → volumes against decoding the same files.

    python benchmarks/studies.py

Four generated studies: 1,000 classic files (headers), 540 classic slices of 512 × 512, one enhanced multi-frame file of
540 frames, 90 slices as JPEG 2000. Each ratio is the median of pairs measured in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, MRImageStorage, generate_uid
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mpmri_monai.catalogue import scan
from mpmri_monai.volumes import read_volume

HEADER_PASS = """
import sys
from pathlib import Path
import pydicom
for path in sorted(Path(sys.argv[1]).iterdir()):
    pydicom.dcmread(path, stop_before_pixels=True)
"""
MOST = 2.0
"""Times the cost of pydicom alone that a study may take."""
SLICE_MM = 2.2
PHASES = 6
FILLER = ("InstitutionName", "StationName", "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ProtocolName",
          "SequenceName", "TransmitCoilName", "ReceiveCoilName", "StudyDescription", "SeriesDescription")  # fmt: skip
"""Texts that real headers hold beside what a catalogue reads."""


def _image(sop_class: str, side: int) -> Dataset:
    """Return a header with what all studies here share."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID = "2.25.1", "2.25.2"
    image.FrameOfReferenceUID, image.PatientID, image.PatientName = "2.25.3", "B", "Benchmark"
    image.StudyDate, image.Modality, image.ImageType = "20240102", "MR", ["ORIGINAL", "PRIMARY", "M", "NONE"]
    image.SeriesNumber, image.MagneticFieldStrength, image.MRAcquisitionType = 5, 3.0, "3D"
    image.Rows = image.Columns = side
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    for name in FILLER:
        setattr(image, name, name[:16])
    for element in range(0x10, 0x90):
        image.add_new(0x00190000 | 0x1000 | element, "DS", f"{element}.5")
    image.add_new(0x00190010, "LO", "BENCHMARK PRIVATE")
    return image


def _pixels(side: int, place: int) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    noise = np.random.default_rng(place).normal(0, 12, (side, side))
    return np.clip(900 + 700 * np.sin(rows / 37 + place / 9) * np.cos(columns / 53) + noise, 0, 4095).astype(np.uint16)


def _classic(folder: Path, files: int, side: int, compress: bool = False) -> Path:
    """Write a dynamic study of ``PHASES`` phases as single-frame files."""
    folder.mkdir()
    slices = files // PHASES
    for number in track(range(slices * PHASES), f"writing {folder.name}", console=Console(stderr=True), transient=True):
        phase, place = divmod(number, slices)
        image = _image(MRImageStorage, side)
        image.ScanningSequence, image.EchoTime, image.RepetitionTime, image.FlipAngle = "GR", 1.3, 3.2, 12
        image.InstanceNumber, image.TemporalPositionIdentifier = number + 1, phase + 1
        image.AcquisitionDate, image.AcquisitionTime = "20240102", f"1005{10 * phase:02}"
        image.ImageOrientationPatient, image.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.8]
        image.ImagePositionPatient, image.SliceThickness = [-200, -200, SLICE_MM * place], 4.4
        image.PixelData = _pixels(side, place).tobytes()
        if compress:
            image.compress(JPEG2000Lossless, generate_instance_uid=False)
        image.save_as(folder / f"{number:05}", enforce_file_format=True)
    return folder


def _enhanced(folder: Path, frames: int, side: int) -> Path:
    """Write a dynamic study of ``PHASES`` phases as one enhanced multi-frame file."""
    folder.mkdir()
    image = _image(EnhancedMRImageStorage, side)
    slices = frames // PHASES
    image.NumberOfFrames = slices * PHASES
    shared, measures, plane, timing, echo = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.8], 4.4
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    timing.RepetitionTime, timing.FlipAngle, echo.EffectiveEchoTime = 3.2, 12, 1.3
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.MRTimingAndRelatedParametersSequence, shared.MREchoSequence = [timing], [echo]
    image.SharedFunctionalGroupsSequence, image.EchoPulseSequence = [shared], "GRADIENT"
    groups = []
    for number in range(slices * PHASES):
        phase, place = divmod(number, slices)
        frame, content, position = Dataset(), Dataset(), Dataset()
        content.TemporalPositionIndex, content.InStackPositionNumber, content.StackID = phase + 1, place + 1, "1"
        content.FrameAcquisitionDateTime = f"202401021005{10 * phase:02}"
        position.ImagePositionPatient = [-200, -200, SLICE_MM * place]
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
        groups.append(frame)
    image.PerFrameFunctionalGroupsSequence = groups
    image.PixelData = b"".join(_pixels(side, number % slices).tobytes() for number in range(slices * PHASES))
    image.save_as(folder / "enhanced", enforce_file_format=True)
    return folder


def _headers(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        pydicom.dcmread(path, stop_before_pixels=True)


def _decode(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        _ = pydicom.dcmread(path).pixel_array


def _scan(folder: Path) -> None:
    scan(folder, "none")


def _volumes(folder: Path) -> None:
    catalogue = scan(folder, "none")
    if len(catalogue.volumes) != PHASES:
        raise SystemExit(f"{len(catalogue.volumes)} volumes instead of {PHASES}")
    for record in catalogue.volumes:
        read_volume(record)


def _command(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def _scan_command(folder: Path) -> None:
    program = "from mpmri_monai.cli import main; main()"
    _command(["-c", program, "scan", str(folder), "--protocol", "none"])


def _pass_command(folder: Path) -> None:
    _command(["-c", HEADER_PASS, str(folder)])


def ratio(ours: Callable[[Path], None], theirs: Callable[[Path], None], folder: Path, rounds: int) -> dict[str, float]:
    """Return the median ratio of the times of two functions over one folder, and the median time of the first (s)."""
    ratios, times = [], []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        theirs(folder)
        middle = time.perf_counter()
        ours(folder)
        end = time.perf_counter()
        if turn:  # the first round warms up the file cache
            ratios.append((end - middle) / (middle - start))
            times.append(end - middle)
    return {"ratio": median(ratios), "seconds": median(times)}


def measure(rounds: int = 5) -> dict[str, dict[str, float]]:
    """Return ratio and seconds of every comparison."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        many, classic = _classic(place / "headers", 1000, 64), _classic(place / "classic", 540, 512)
        enhanced, jpeg = _enhanced(place / "enhanced", 540, 256), _classic(place / "jpeg2000", 90, 512, compress=True)
        pairs = [
            ("mpmri scan ÷ header pass, as commands", _scan_command, _pass_command, many),
            ("scan ÷ header pass, in one process", _scan, _headers, many),
            ("study → volumes ÷ decoding, 540 classic slices", _volumes, _decode, classic),
            ("study → volumes ÷ decoding, one file of 540 frames", _volumes, _decode, enhanced),
            ("study → volumes ÷ decoding, 90 slices JPEG 2000", _volumes, _decode, jpeg),
        ]
        return {what: ratio(ours, theirs, folder, rounds) for what, ours, theirs, folder in pairs}


def main() -> int:
    """Measure, print the table, and return 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="paired measurements after one to warm up")
    found = measure(parser.parse_args().rounds)
    table = Table("measured", "ratio", "seconds", "at most", "kept")
    for what, values in found.items():
        kept = "yes" if values["ratio"] <= MOST else "no"
        table.add_row(what, f"{values['ratio']:.2f}", f"{values['seconds']:.2f}", f"{MOST:g}", kept)
    Console().print(table)
    return 0 if all(values["ratio"] <= MOST for values in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
