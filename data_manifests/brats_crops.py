"""Is there tumour in this crop? A 3D question on real brains, six patients only: a smoke test, and called that.

``python data_manifests/brats_crops.py DATA OUT`` writes ``manifest.json``, ``recipe.json`` and a clean brain mask of
each patient into the new folder ``OUT``; images are not copied. Below ``DATA`` lies a folder ``brats_2013_pat<n>_1``
for each patient of BraTS 2013 (Menze et al., IEEE Transactions on Medical Imaging 34(10), 2015) as DeepMedic's example
data has them: FLAIR and T1 with contrast at 1 mm, a label map (0 no tumour, 1–4 its parts) and a brain mask.

A crop is a cube of 25 mm. Each patient gives twelve that are centred on a tumour voxel, and the twelve at the mirrored
places on the other side of the mid-sagittal plane, in which there is no tumour voxel at all. Both lie almost wholly in
the brain. Crops of one patient may overlap by half; the patient is the unit.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import nibabel
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mpmri_monai.artefacts import digest, whole_folder, write_json
from mpmri_monai.cohort import Manifest, load_manifest, parse_manifest, save_manifest
from mpmri_monai.errors import ManifestError, MpmriError
from mpmri_monai.volumes import Geometry, Stack, read_nifti

NAME, LABEL, SITE = "brats_crops", "tumour", "brats2013"
CLASSES = ("absent", "present")
SEQUENCES = {"FLAIR": "Flair_subtrMeanDivStd.nii.gz", "T1CE": "T1c_subtrMeanDivStd.nii.gz"}
"""File of each sequence in a patient's folder."""
TUMOUR, BRAIN = "OTMultiClass.nii.gz", "brainmask.nii.gz"
PARTS = (0, 1, 2, 3, 4)
"""Values that a label map may hold; all but 0 are tumour."""
ROUNDING = 1e-6
"""The brain masks hold 0.99999997 for 1: values this near to whole ones are these."""
PAIRS = 12
"""A patient; with these rules the smallest tumour of the six has room for 17 or more."""
SIDE_VOXELS = 25
"""Of a crop, 25 mm: odd, so that its centre is a voxel, and planes 6 mm apart around it are planes between voxels."""
APART_VOXELS = 13
"""Least distance of two crops of a patient, along the axis in which they are farthest apart."""
IN_BRAIN = 0.9
"""Least share of a crop that lies in the brain."""
GRID = np.diag([-1.0, -1.0, 1.0])
"""Steps in mm of all volumes of the data set, whose heads were aligned to one: columns run from right to left."""
GRID_MM = 1e-3
"""Steps and positions this near are equal."""
RECIPE_SCHEMA = "mpmri-monai/brats-recipe/1"


def write_crops(data: Path, out: Path, seed: int = 0) -> Manifest:
    """Write the manifest, recipe and brain masks of the crops below ``data`` into the new folder ``out``.

    Equal images and seed give equal crops, of each patient whatever the others are.

    Returns:
        The manifest.

    Raises:
        ManifestError: ``data`` is no such folder, a file holds something else, or a patient has no room for the crops.
        GeometryError: a file cannot be read.
        OutputError: ``out`` exists already or cannot be written.
    """
    with whole_folder(out) as part:
        studies, voxels = [], []
        for number, folder in sorted(_folders(data).items()):
            study, digests = _study(number, folder, part, seed)
            studies.append(study)
            voxels.append(digests)
        content = {
            "schema": "mpmri-monai/manifest/1",
            "name": NAME,
            "sequences": list(SEQUENCES),
            "classes": {LABEL: CLASSES},
            "studies": studies,
        }
        save_manifest(parse_manifest(content, part, where=str(data)), part / "manifest.json")
        made_from = [voxels, [study["lesions"] for study in studies]]
        recipe = {"schema": RECIPE_SCHEMA, "patients": len(studies), "seed": seed, "content": digest(made_from)}
        write_json(part / "recipe.json", recipe)
    return load_manifest(out / "manifest.json")


def _folders(data: Path) -> dict[int, Path]:
    """Return the folder of each patient; each holds all four files."""
    found: dict[int, Path] = {}
    for folder in sorted(data.rglob("brats_2013_pat*_1")):
        if name := re.fullmatch(r"brats_2013_pat(\d+)_1", folder.name):
            if int(name[1]) in found:
                raise _other("two folders", f"patient {int(name[1])}")
            found[int(name[1])] = folder
    if not found:
        raise _other("none", str(data))
    for number, folder in found.items():
        if absent := [name for name in (*SEQUENCES.values(), TUMOUR, BRAIN) if not (folder / name).is_file()]:
            raise _other(f"no {', '.join(absent)}", f"patient {number}")
    return found


def _other(found: str, where: str) -> ManifestError:
    return ManifestError(
        expected="one folder brats_2013_pat<n>_1 a patient, with FLAIR, T1 with contrast, label map and brain mask",
        found=found,
        where=where,
        fix="give the folder of the BraTS 2013 example data of DeepMedic",
        code="E_DATA",
    )


def _study(number: int, folder: Path, out: Path, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Write a patient's brain mask; return the entry of the manifest, and the digests of the images."""
    name, where = f"B{number:02d}", f"patient {number}"
    stacks = {sequence: read_nifti(folder / file) for sequence, file in SEQUENCES.items()}
    geometry = stacks["FLAIR"].geometry
    tumour = _whole(read_nifti(folder / TUMOUR), geometry, PARTS, f"{where}, label map") > 0
    brain = _whole(read_nifti(folder / BRAIN), geometry, (0, 1), f"{where}, brain mask") > 0
    _check_grid(stacks["T1CE"].geometry, geometry, f"{where}, T1CE")
    middle = mirror_sum(brain)
    centres = _centres(tumour, brain, middle, np.random.default_rng([seed, number]), where)
    mirrored = centres * [1, 1, -1] + [0, 0, middle]
    mask = f"{name}_brain.nii.gz"
    nibabel.save(nibabel.Nifti1Image(brain.astype(np.uint8).transpose(2, 1, 0), geometry.affine), out / mask)
    absent, present = CLASSES
    lesions = [
        {"id": f"{label}-{place + 1:02d}", "region": _box(centre, geometry), "labels": {LABEL: label}}
        for place, pair in enumerate(zip(centres, mirrored, strict=True))
        for label, centre in zip((present, absent), pair, strict=True)
    ]
    study = {
        "patient": name,
        "study": f"{name}-1",
        "site": SITE,
        "images": {sequence: _relative(folder / file, out) for sequence, file in SEQUENCES.items()},
        "organs": {"brain": mask},
        "lesions": lesions,
    }
    return study, [stack.digest for stack in stacks.values()]


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _whole(stack: Stack, geometry: Geometry, values: tuple[int, ...], where: str) -> NDArray[np.int8]:
    """Return a map (slice, row, column) of whole numbers that lies on the images' grid."""
    _check_grid(stack.geometry, geometry, where)
    stored = stack.stored * stack.slope[0] + stack.intercept[0]
    rounded = np.rint(stored)
    if np.abs(stored - rounded).max() > ROUNDING or not np.isin(rounded, values).all():
        raise ManifestError(
            expected=f"the values {', '.join(map(str, values))}", found="others", where=where, code="E_DATA"
        )
    return rounded.astype(np.int8)


def _check_grid(own: Geometry, geometry: Geometry, where: str) -> None:
    """Refuse a volume on another grid than the patient's first, or one that is not as the data set's are."""
    if np.abs(geometry.affine[:3, :3] - GRID).max() > GRID_MM:
        raise ManifestError(
            expected="voxels of 1 mm whose columns run from right to left, rows to the back and slices upwards",
            found=f"another grid, {' x '.join(f'{step:.2f}' for step in geometry.spacing_mm)} mm",
            where=where,
            code="E_DATA",
        )
    if own.shape != geometry.shape or np.abs(own.affine - geometry.affine).max() > GRID_MM:
        raise ManifestError(
            expected="all volumes of a patient on one grid", found="another", where=where, code="E_DATA"
        )


def mirror_sum(brain: NDArray[np.bool_]) -> int:
    """Return the sum of a column and its mirror image, so that the brain covers its own mirror image most.

    The mid-sagittal plane lies at half the sum, on a column or between two; columns run from right to left. The
    overlap for each sum s, Σ b(c) b(s - c), is a convolution.

    Args:
        brain: (slice, row, column).
    """
    length = 2 * brain.shape[2]
    spectrum = np.fft.rfft(brain, n=length, axis=2)
    return int(np.fft.irfft((spectrum**2).sum(axis=(0, 1)), n=length).argmax())


def _centres(
    tumour: NDArray[np.bool_], brain: NDArray[np.bool_], middle: int, rng: np.random.Generator, where: str
) -> NDArray[np.int_]:
    """Return the centre voxels (crop, 3) as slice, row, column of crops with tumour, drawn at random."""
    half = SIDE_VOXELS // 2
    centres = np.argwhere(tumour)
    mirrored = centres * [1, 1, -1] + [0, 0, middle]
    fits = np.logical_and.reduce(
        [((places >= half) & (places < np.array(tumour.shape) - half)).all(axis=1) for places in (centres, mirrored)]
    )
    here, there = (tuple((places[fits] - half).T) for places in (centres, mirrored))
    of_tumour, of_brain = _cube_sums(tumour), _cube_sums(brain)
    enough = IN_BRAIN * SIDE_VOXELS**3
    good = (of_tumour[there] == 0) & (of_brain[here] >= enough) & (of_brain[there] >= enough)
    left, chosen = rng.permutation(centres[fits][good]), []
    while len(left) and len(chosen) < PAIRS:
        chosen.append(left[0])
        left = left[np.abs(left - left[0]).max(axis=1) >= APART_VOXELS]
    if len(chosen) < PAIRS:
        raise ManifestError(
            expected=f"a tumour with room for {PAIRS} crops that have none at the mirrored places",
            found=f"room for {len(chosen)}",
            where=where,
            fix="try another --seed, which draws other places",
            code="E_DATA",
        )
    return np.array(chosen)


def _cube_sums(voxels: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return how many voxels are set in the cube of a crop's side that begins at each voxel, where it fits."""
    total = np.pad(voxels, ((1, 0),) * 3).astype(np.int32)
    for axis in range(3):
        total = np.moveaxis(total.cumsum(axis=axis, dtype=np.int32), axis, 0)
        total = np.moveaxis(total[SIDE_VOXELS:] - total[:-SIDE_VOXELS], 0, axis)
    return total


def _box(centre: NDArray[np.int_], geometry: Geometry) -> dict[str, list[float]]:
    """Return the crop around a voxel (slice, row, column) as a box along the axes of the body."""
    return {
        "center_mm": np.round(geometry.to_mm(centre[::-1]), 3).tolist(),
        "size_mm": [float(SIDE_VOXELS)] * 3,
    }


def main(
    data: Annotated[Path, typer.Argument(help="Folder with the patients' folders, at any depth.")],
    out: Annotated[Path, typer.Argument(help="New folder for manifest, recipe and brain masks.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same crops.")] = 0,
) -> None:
    """Write the manifest of the crops and say what is in it."""
    try:
        manifest = write_crops(data, out, seed)
    except MpmriError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    table = Table("patient", *CLASSES, title=f"{len(manifest.studies)} patients: a smoke test on real brains")
    for study in manifest.studies:
        counts = Counter(lesion.labels[LABEL] for lesion in study.lesions)
        table.add_row(study.patient, *(str(counts[name]) for name in CLASSES))
    Console().print(table)
    print(f"Manifest: {out / 'manifest.json'}    recipe: {out / 'recipe.json'}")
    print(
        "Next: mpmri experiment leave-one-out --bundle bundles/mctl_brain "
        f"--manifest {out / 'manifest.json'} --out DIR --task {LABEL} --fusion {'-'.join(SEQUENCES)}"
    )


if __name__ == "__main__":
    typer.run(main)
