"""AdrenalMNIST3D as a cohort: is this adrenal gland normal or hyperplastic? A 3D question with published results.

``python data_manifests/adrenal_mnist.py NPZ OUT`` writes each shape as NIfTI, ``manifest.json``, ``splits.csv`` with
the official division, ``choosing.csv`` without its test part, and ``recipe.json`` into the new folder ``OUT``. ``NPZ``
is ``adrenalmnist3d.npz`` (28³ voxels) or ``adrenalmnist3d_64.npz`` (64³) of MedMNIST v2 (Yang et al., Scientific Data
10:41, 2023; CC BY 4.0).

The volumes are shapes cut out of CT, without grey values: the one sequence is called ``SHAPE``, 0 outside the gland
and 1 inside. A shape is a study without lesions, labelled as a whole. The authors divided 792 patients with two glands
each, but the file does not say which two belong together: here every gland is a patient of its own, the official parts
keep patients apart, and intervals over "patients" count two glands of one patient as independent.

The axes of the arrays are taken as slices, rows and columns, and a voxel is called 1 mm wide, so that a grid sample of
1 mm is the array itself. (In truth the cube is 64 mm wide, and its axes have no stated direction.)
"""

from __future__ import annotations

import sys
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import nibabel
import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mpmri_monai.artefacts import digest, make_folder, whole_folder, write_json
from mpmri_monai.cohort import OUTER_FIT, Manifest, load_manifest, parse_manifest, save_manifest, write_splits
from mpmri_monai.errors import ManifestError, MpmriError

NAME, SEQUENCE, LABEL, SITE = "adrenal_mnist", "SHAPE", "adrenal", "medmnist"
CLASSES = ("normal", "hyperplasia")
"""In the order of the labels 0 and 1 in the file."""
PARTS = ("train", "val", "test")
"""Of the official division, which are the roles as well."""
VALIDATES = 10
"""Where something is to be chosen, every tenth training shape of a class validates, and the validation part tests."""
SIDES = (28, 64)
"""Voxels along each side of the published sets."""
INSIDE = 255
"""Value of a voxel of the gland in the file; every other voxel is 0."""
MOST_BYTES = 2**30
"""Unpacked: more than twice the larger set, so that a file that is none of them fills no memory."""
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Of a shape, 1 mm a voxel: columns grow to the left, rows to the back, slices upwards, as grid samples show them."""
SAMPLES = (
    "--samples#grid#slices {side} --samples#grid#pixels {side} --samples#grid#depth_mm 1 --samples#grid#plane_mm 1 "
    "--samples#window trimmed --samples#trim 0 --samples#reach 1.1"
)
"""Settings of the samples: the cube as it is with a margin of nothing, and no voxel of the gland trimmed off."""
RECIPE_SCHEMA = "mpmri-monai/adrenal-recipe/1"


def write_shapes(npz: Path, out: Path) -> Manifest:
    """Write the shapes of ``npz`` as a cohort into the new folder ``out``; return its manifest.

    Raises:
        ManifestError: ``npz`` cannot be read or holds something else.
        OutputError: ``out`` exists already or cannot be written.
    """
    arrays = _checked(_arrays(npz), npz)
    with whole_folder(out) as part:
        studies, roles = [], []
        for role in PARTS:
            for shape, label in zip(arrays[f"{role}_images"], arrays[f"{role}_labels"][:, 0], strict=True):
                studies.append(_study(len(studies) + 1, shape, CLASSES[label], part))
                roles.append(role)
        content = {
            "schema": "mpmri-monai/manifest/1",
            "name": NAME,
            "sequences": [SEQUENCE],
            "classes": {LABEL: CLASSES},
            "studies": studies,
        }
        save_manifest(parse_manifest(content, part, where=npz.name), part / "manifest.json")
        official = _splits([study["patient"] for study in studies], roles)
        write_splits(part / "splits.csv", official)
        write_splits(part / "choosing.csv", _choosing(official, [study["labels"][LABEL] for study in studies]))
        write_json(part / "recipe.json", _recipe(arrays))
    return load_manifest(out / "manifest.json")


def _arrays(npz: Path) -> dict[str, NDArray]:
    """Return what a file holds, as numbers only: nothing in it is run."""
    wanted = {f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")}
    try:
        with zipfile.ZipFile(npz) as archive:
            found = {Path(member.filename).stem for member in archive.infolist()}
            size = sum(member.file_size for member in archive.infolist())
        if found != wanted:
            raise _other(npz, f"arrays named {', '.join(sorted(found)[:8]) or 'nothing'}")
        if size > MOST_BYTES:
            raise _other(npz, f"{size / 2**20:.0f} MiB")
        with np.load(npz, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in sorted(wanted)}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _other(npz, getattr(error, "strerror", None) or "a file that cannot be read") from error


def _checked(arrays: dict[str, NDArray], npz: Path) -> dict[str, NDArray]:
    """Return the arrays if they are shapes and labels as published; how many there are is not checked."""
    side = arrays[f"{PARTS[0]}_images"].shape[-1:]
    for part in PARTS:
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if (
            images.dtype != np.uint8
            or not len(images)
            or side not in {(n,) for n in SIDES}
            or images.shape[1:] != side * 3
        ):
            raise _other(npz, f"{part} images of shape {images.shape} and type {images.dtype}")
        if labels.shape != (len(images), 1) or labels.dtype.kind not in "ui" or not np.isin(labels, (0, 1)).all():
            raise _other(
                npz, f"{part} labels of shape {labels.shape}, type {labels.dtype}, or other values than 0 and 1"
            )
        inside = images == INSIDE
        if (inside != (images > 0)).any() or not inside.any(axis=(1, 2, 3)).all():
            raise _other(npz, f"{part} images with other values, or with nothing in them")
    return arrays


def _other(npz: Path, found: str) -> ManifestError:
    return ManifestError(
        expected=f"{', '.join(PARTS)} images of AdrenalMNIST3D, uint8 of {' or '.join(f'{n}³' for n in SIDES)} voxels "
        f"that are 0 or {INSIDE}, and a label 0 or 1 for each",
        found=found,
        where=npz.name,
        fix="give adrenalmnist3d.npz or adrenalmnist3d_64.npz of MedMNIST v2",
        code="E_DATA",
    )


def _study(number: int, shape: NDArray[np.uint8], label: str, folder: Path) -> dict[str, Any]:
    """Write a shape (slice, row, column) as NIfTI and return its entry of the manifest."""
    name = f"A{number:04d}"
    image = f"shapes/{name}.nii.gz"
    make_folder(folder / "shapes")
    voxels = (shape == INSIDE).astype(np.uint8).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), folder / image)
    return {
        "patient": name,
        "study": f"{name}-1",
        "site": SITE,
        "labels": {LABEL: label},
        "images": {SEQUENCE: image},
    }


def _splits(patients: list[str], roles: list[str]) -> pd.DataFrame:
    """Return the official division as the one fold of a splits table."""
    fold = {"unit": "patient", "lesion": "", "sample": "", "repeat": 0, "outer": 0, "inner": OUTER_FIT}
    return pd.DataFrame({"patient": patients, "role": roles}).assign(**fold)


def _choosing(official: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Return a division of the training and validation parts alone, by which models are chosen between."""
    number = official.assign(label=labels).groupby(["role", "label"]).cumcount()
    trains = official["role"] == "train"
    roles = official["role"].mask(trains & (number % VALIDATES == VALIDATES - 1), "val")
    roles = roles.mask(official["role"] == "val", "test")
    return official.assign(role=roles)[official["role"] != "test"]


def _recipe(arrays: dict[str, NDArray]) -> dict[str, Any]:
    """Return how many shapes there are and the digest of all arrays."""
    content = {name: sha256(np.ascontiguousarray(values).data).hexdigest() for name, values in arrays.items()}
    shapes = {part: len(arrays[f"{part}_images"]) for part in PARTS}
    side = arrays[f"{PARTS[0]}_images"].shape[-1]
    return {"schema": RECIPE_SCHEMA, "side": side, "shapes": shapes, "content": digest(content)}


def main(
    npz: Annotated[Path, typer.Argument(help="adrenalmnist3d.npz or adrenalmnist3d_64.npz of MedMNIST v2.")],
    out: Annotated[Path, typer.Argument(help="New folder for the cohort.")],
) -> None:
    """Write AdrenalMNIST3D as a cohort and say what is in it."""
    try:
        manifest = write_shapes(npz, out)
    except MpmriError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    roles = pd.read_csv(out / "splits.csv")["role"]
    labels = pd.Series([study.labels[LABEL] for study in manifest.studies])
    table = Table("part", *CLASSES, title=f"{len(manifest.studies)} shapes")
    for part in PARTS:
        table.add_row(part, *(str(int(((roles == part) & (labels == name)).sum())) for name in CLASSES))
    Console().print(table)
    print(f"Manifest: {out / 'manifest.json'}    official division: {out / 'splits.csv'}")
    print(f"To choose between models without the official test part: {out / 'choosing.csv'}")
    side = nibabel.load(out / manifest.studies[0].images[SEQUENCE]).shape[0]
    print(
        "Next: python -m monai.bundle run training --config_file bundles/mctl_brain/configs/train.json "
        f"--manifest {out / 'manifest.json'} --task {LABEL} --fusion {SEQUENCE} --split#file {out / 'splits.csv'} "
        f"{SAMPLES.format(side=side)}"
    )


if __name__ == "__main__":
    typer.run(main)
