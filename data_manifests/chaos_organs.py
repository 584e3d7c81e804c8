"""Which organ is this? A 2D question on real MRI: patches of liver, kidney and spleen from CHAOS T2-SPIR.

``python data_manifests/chaos_organs.py DATA OUT`` writes ``OUT/manifest.json`` and ``OUT/recipe.json``; nothing is
copied. ``DATA`` holds ``image_<n>.nii.gz`` and ``label_<n>.nii.gz`` for each patient, with the values 1 liver, 2 right
kidney, 3 left kidney, 4 spleen (CHAOS, Kavur et al., Medical Image Analysis 69, 2021).

A patch is a box of about 30 mm in plane and one slice thick that lies mostly inside one organ; each organ of a patient
gives five, in five slices drawn from the seed. Left and right kidney are one class, because the six views that training
makes of a sample turn one into the other.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mpmri_monai.artefacts import digest, write_json
from mpmri_monai.cohort import Manifest, parse_manifest, save_manifest
from mpmri_monai.errors import ManifestError, MpmriError
from mpmri_monai.volumes import Mask, check_mask, mask_regions, read_nifti, read_nifti_mask

NAME, SEQUENCE, LABEL = "chaos_organs", "T2", "organ"
CLASSES = ("liver", "kidney", "spleen")
ORGANS = {1: "liver", 2: "kidney", 3: "kidney", 4: "spleen"}
"""Class by the value in the label maps."""
PATCHES = 5
"""A patient and value; the smallest organ of the 20 patients has room for a patch in six slices or more."""
SIDE_MM = 30.0
"""Of a patch: it fits into a kidney, and a 32-pixel crop shows it at about the pixel size that was acquired."""
INSIDE = 0.75
"""Least share of a patch that is its organ: no patch of a kidney is all kidney, it has a sinus."""
DECIMALS = 3
"""Written digits of a position in mm."""
RECIPE_SCHEMA = "mpmri-monai/organs-recipe/1"


def write_organs(data: Path, out: Path, seed: int = 0) -> Manifest:
    """Write the manifest and the recipe of the organ patches below ``data`` into ``out``; return the manifest.

    Equal images and seed give equal patches, of each patient whatever the others are.

    Raises:
        ManifestError: ``data`` is not such a folder, or an organ has no room for its patches.
        MaskError, GeometryError: a file cannot be read, or a label map is not on its image's grid.
        OutputError: ``out`` cannot be written.
    """
    studies, voxels = [], {}
    for number, image in sorted(_numbers(data, "image").items()):
        study, voxels[number] = _study(number, image, data / f"label_{number}.nii.gz", seed)
        studies.append(study)
    content = {
        "schema": "mpmri-monai/manifest/1",
        "name": NAME,
        "sequences": [SEQUENCE],
        "classes": {LABEL: CLASSES},
        "studies": studies,
    }
    manifest = save_manifest(parse_manifest(content, data, where=str(data)), out / "manifest.json")
    made_from = [[voxels[number] for number in sorted(voxels)], [study["lesions"] for study in studies]]
    recipe = {"schema": RECIPE_SCHEMA, "patients": len(studies), "seed": seed, "content": digest(made_from)}
    write_json(out / "recipe.json", recipe)
    return manifest


def _numbers(data: Path, kind: str) -> dict[int, Path]:
    """Return the images by the number of their patient; every image needs its label map, and the other way round."""
    found: dict[str, dict[int, Path]] = {"image": {}, "label": {}}
    for path in data.glob("*.nii.gz"):
        if name := re.fullmatch(r"(image|label)_(\d+)\.nii\.gz", path.name):
            found[name[1]][int(name[2])] = path
    images, labels = set(found["image"]), set(found["label"])
    if not images or images != labels:
        raise ManifestError(
            expected="image_<n>.nii.gz and label_<n>.nii.gz of each patient of CHAOS T2-SPIR",
            found=f"{len(images)} images and {len(labels)} label maps; "
            f"without their partner: {', '.join(map(str, sorted(images ^ labels))) or 'none'}",
            where=str(data),
            fix="give the folder with the 20 patients whose masks are public",
            code="E_DATA",
        )
    return found[kind]


def _study(number: int, image: Path, labels: Path, seed: int) -> tuple[dict[str, Any], str]:
    """Return a patient's entry of the manifest with its patches, and the digest of the image's voxels."""
    where = f"patient {number}"
    values = tuple(region.number for region in mask_regions(labels))
    if values != tuple(ORGANS):
        raise ManifestError(
            expected=f"the label values {', '.join(map(str, ORGANS))}",
            found=", ".join(map(str, values)),
            where=where,
            fix="use the label maps of CHAOS with the organs numbered 1 liver, 2 and 3 kidneys, 4 spleen",
            code="E_DATA",
        )
    stack = read_nifti(image)
    lesions = []
    for value, organ in ORGANS.items():
        mask = read_nifti_mask(labels, value, f"{where}, {organ}")
        check_mask(mask, stack.geometry, f"{where}, {organ}")
        for place in _places(mask, np.random.default_rng([seed, number, value]), f"{where}, {organ}"):
            lesions.append(
                {
                    "id": f"{organ}-{sum(one['labels'][LABEL] == organ for one in lesions) + 1}",
                    "region": _box(mask, place),
                    "drawn_on": SEQUENCE,
                    "labels": {LABEL: organ},
                }
            )
    name = f"C{number:02d}"
    study = {"patient": name, "study": f"{name}-1", "site": "chaos", "images": {SEQUENCE: image.name}}
    return study | {"lesions": lesions}, stack.digest


def _places(mask: Mask, rng: np.random.Generator, where: str) -> list[tuple[int, int, int]]:
    """Return the first voxel (slice, row, column) of each patch: `PATCHES` slices, and a place in each, at random."""
    rows, columns = _side(mask)
    fits = {}
    for k in np.flatnonzero(mask.voxels.any(axis=(1, 2))):
        enough = _window_sums(mask.voxels[k], rows, columns) >= INSIDE * rows * columns
        if enough.any():
            fits[int(k)] = np.argwhere(enough)
    if len(fits) < PATCHES:
        raise ManifestError(
            expected=f"an organ with room for {PATCHES} patches of {SIDE_MM:.0f} mm, each in a slice of its own",
            found=f"room in {len(fits)} slices",
            where=where,
            code="E_DATA",
        )
    chosen = np.sort(rng.choice(sorted(fits), PATCHES, replace=False))
    return [(int(k), *map(int, rng.choice(fits[k]))) for k in chosen]


def _side(mask: Mask) -> tuple[int, int]:
    """Return the rows and columns of a patch."""
    across, down, _ = mask.geometry.spacing_mm
    return round(SIDE_MM / down), round(SIDE_MM / across)


def _window_sums(plane: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.int64]:
    """Return how many voxels of ``plane`` are set in the window that begins at each of them, where it fits."""
    total = np.pad(plane, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    return total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]


def _box(mask: Mask, place: tuple[int, int, int]) -> dict[str, list[float]]:
    """Return the patch that begins at a voxel, as a box along the axes of the body.

    The slices are those of an axial volume, tilted by little: the sides belong to the nearest axes of the body.
    """
    rows, columns = _side(mask)
    k, row, column = place
    centre = mask.geometry.to_mm([column + (columns - 1) / 2, row + (rows - 1) / 2, k])
    steps = mask.geometry.affine[:3, :3] * [columns, rows, 1]
    size = np.abs(steps).max(axis=1)
    return {"center_mm": np.round(centre, DECIMALS).tolist(), "size_mm": np.round(size, DECIMALS).tolist()}


def main(
    data: Annotated[Path, typer.Argument(help="Folder with image_<n>.nii.gz and label_<n>.nii.gz.")],
    out: Annotated[Path, typer.Argument(help="Folder for manifest.json and recipe.json.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patches.")] = 0,
) -> None:
    """Write the manifest of the organ patches and say what is in it."""
    try:
        manifest = write_organs(data, out, seed)
    except MpmriError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    table = Table("organ", "patients", "patches", title=f"{len(manifest.studies)} patients")
    found = [(study.patient, one.labels[LABEL]) for study in manifest.studies for one in study.lesions]
    for organ, count in Counter(organ for _, organ in found).items():
        table.add_row(organ, str(len({patient for patient, own in found if own == organ})), str(count))
    Console().print(table)
    print(f"Manifest: {out / 'manifest.json'}    recipe: {out / 'recipe.json'}")
    print(
        "Next: python -m monai.bundle run training --config_file bundles/hcc_grade/configs/train.json "
        f"--manifest {out / 'manifest.json'} --task {LABEL} --fusion {SEQUENCE}"
    )


if __name__ == "__main__":
    typer.run(main)
