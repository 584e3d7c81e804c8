"""From one study of a manifest to its samples, step by step; one study in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mpmri_monai.catalogue import Catalogue, Caution, scan
from mpmri_monai.cohort import DicomImage, Region, Study
from mpmri_monai.errors import ManifestError
from mpmri_monai.samples.background import background_balls, background_positions
from mpmri_monai.samples.grid import grid_planes, lesion_position, whole_position
from mpmri_monai.samples.harder_background import harder_positions
from mpmri_monai.samples.intensity import intensity_windows
from mpmri_monai.samples.locate import Position, lesion_positions, reference_planes
from mpmri_monai.samples.patches import patch_positions
from mpmri_monai.samples.region import box_mask
from mpmri_monai.samples.sample import Sample, take_samples
from mpmri_monai.samples.settings import Grid, Settings
from mpmri_monai.volumes import Mask, MaskRegion, Stack, mask_cautions, read_nifti, read_region, read_volume
from mpmri_monai.volumes.regions import FORMS

if TYPE_CHECKING:
    from mpmri_monai.samples.alignment import Alignment

LIVER = "liver"
"""The organ that 2.5D samples know."""
STRAY = "W_STRAY"
"""Caution about a mask whose parts lie so far apart that they stretch the box that the network sees."""
ORGAN_VALUE = 1
"""Voxel value of an organ that a manifest names by its mask file alone."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The masks of a study."""

    lesions: Mapping[str, Mask]
    organ: Mask | None
    """The liver; with a grid, of a study that has no liver but one organ, that organ."""
    cautions: Mapping[str, tuple[Caution, ...]] = field(default_factory=dict)
    """By lesion: what a person should look at, as of `mpmri_monai.volumes.mask_cautions`."""


def sample_study(
    study: Study, folder: Path, settings: Settings, sequences: Sequence[str], patches: int | None = None
) -> list[Sample]:
    """Return the samples of a study: lesions first, then background; with a grid, the study where it has no lesion, or
    patches where those are wanted.

    The same steps, one by one and as MONAI transforms, are ``mpmri_monai.transforms.preprocessing``.

    Args:
        study: the study's entry of a manifest.
        folder: what the paths of that entry are relative to.
        settings: how samples are taken.
        sequences: the sequences of the manifest, in order.
        patches: how many this study has of those that the settings want of the cohort; by default all.

    Raises:
        MpmriError: a file, a mask or the geometry is not usable; the message says which and what to do.
    """
    stacks: Mapping[str, Stack] = load_sequences(study, folder, sequences)
    regions = load_regions(study, folder, stacks, settings)
    stacks, regions, alignment = align_study(study, stacks, regions, settings)
    windows = intensity_windows(stacks, settings.trim, settings.joint_dce, settings.window)
    positions = locate_samples(study, stacks, regions, settings, patches)
    samples = take_samples(study, stacks, windows, positions, sequences, settings)
    return note_findings(samples, regions, alignment)


def load_sequences(study: Study, folder: Path, sequences: Sequence[str]) -> dict[str, Stack]:
    """Read every sequence that the study has, in the given order; each DICOM folder is scanned once."""
    catalogues: dict[str, Catalogue] = {}
    stacks = {}
    for sequence in sequences:
        image = study.images.get(sequence)
        if isinstance(image, DicomImage):
            if image.dicom not in catalogues:
                catalogues[image.dicom] = scan(Path(folder) / image.dicom, **study.scan_options)
            stacks[sequence] = read_volume(catalogues[image.dicom].volume(image.volume))
        elif image is not None:
            stacks[sequence] = read_nifti(Path(folder) / image)
    if not stacks:
        raise ManifestError(
            expected=f"at least one of {' '.join(sequences)}", found="no image", where=f"study {study.study}"
        )
    return stacks


def load_regions(study: Study, folder: Path, stacks: Mapping[str, Stack], settings: Settings | None = None) -> Regions:
    """Read the lesion masks and the organ mask, each on the grid of the sequence that it was drawn on.

    Args:
        study: entry of the manifest.
        folder: what its paths are relative to.
        stacks: its sequences.
        settings: with a grid, another organ than the liver counts where it is the only one; for patches no lesion is
            read.

    Raises:
        MaskError: as `mpmri_monai.volumes.read_region`.
    """
    grid = None if settings is None else settings.grid
    lesions = {
        lesion.id: _region_mask(
            f"study {study.study}, lesion {lesion.id}", lesion.region, lesion.drawn_on, Path(folder), stacks
        )
        for lesion in (() if grid is not None and grid.patches else study.lesions)
    }
    name = _organ_of(study, grid)
    if name is None:
        return Regions(lesions, None, mask_cautions(lesions, None, stacks))
    entry = study.organs[name]
    region = Region(mask=entry, value=ORGAN_VALUE) if isinstance(entry, str) else entry
    organ = _region_mask(f"study {study.study}, {name}", region, None, Path(folder), stacks)
    return Regions(lesions, organ, mask_cautions(lesions, organ, stacks))


def align_study(
    study: Study, stacks: Mapping[str, Stack], regions: Regions, settings: Settings
) -> tuple[Mapping[str, Stack], Regions, Alignment | None]:
    """Return the sequences where ``settings.align`` wants them: as acquired, or with their motion undone.

    Lesions stay where they are. The organ goes with the sequence that it was drawn on.

    Raises:
        MaskError: as `mpmri_monai.samples.alignment.align_sequences`.
    """
    if settings.align == "none":
        return stacks, regions, None
    from mpmri_monai.samples.alignment import align_sequences  # needs SimpleITK, which takes its time to import

    aligned, alignment = align_sequences(study, stacks, regions.lesions, regions.organ)
    return aligned, replace(regions, organ=alignment.organ(regions.organ, stacks)), alignment


def note_findings(samples: Sequence[Sample], regions: Regions, alignment: Alignment | None) -> list[Sample]:
    """Return the samples with what is known about the masks and the alignment that they come from."""
    stray = {name for name, found in regions.cautions.items() if any(one.code == STRAY for one in found)}
    noted = [replace(s, flags=(*s.flags, "stray")) if s.lesion in stray else s for s in samples]
    return noted if alignment is None else [alignment.note(sample) for sample in noted]


def locate_samples(
    study: Study, stacks: Mapping[str, Stack], regions: Regions, settings: Settings, patches: int | None = None
) -> list[Position]:
    """Return where samples are taken: all positions of every lesion, then the matching background.

    With a grid: one position a lesion, then the background; or that of the whole study; or patches, as many as
    ``patches`` says, by default as the settings say.
    """
    if settings.grid is not None and settings.grid.patches:
        count = settings.grid.patches if patches is None else patches
        return patch_positions(study.study, count, stacks, regions.organ, settings.grid, settings.seed)
    if settings.grid is not None:
        return _locate_on_grid(study, stacks, regions, settings, settings.grid)
    references = reference_planes(stacks)
    lesions = {name: lesion_positions(name, mask, references, settings) for name, mask in regions.lesions.items()}
    positions = [position for found in lesions.values() for position in found]
    if settings.background and regions.organ is not None:
        if "liver" in settings.background_kinds:
            positions += background_positions(
                study.study, lesions, regions.lesions, regions.organ, references, settings
            )
        positions += harder_positions(study.study, lesions, regions.lesions, regions.organ, stacks, settings)
    return positions


def _locate_on_grid(
    study: Study, stacks: Mapping[str, Stack], regions: Regions, settings: Settings, grid: Grid
) -> list[Position]:
    planes, shape = grid_planes(stacks), settings.stored_shape
    lesions = {n: lesion_position(n, mask, planes, grid, shape) for n, mask in regions.lesions.items()}
    if not lesions and study.labels:
        return [whole_position(stacks, regions.organ, planes, grid, shape)]
    positions = list(lesions.values())
    if settings.background and regions.organ is not None:
        positions += background_balls(study.study, lesions, regions.lesions, regions.organ, planes, settings, grid)
    return positions


def _organ_of(study: Study, grid: Grid | None) -> str | None:
    """Return the name of the organ that counts in a study."""
    if grid is not None and len(study.organs) == 1:
        return next(iter(study.organs))
    return LIVER if LIVER in study.organs else None


def _region_mask(name: str, region: Region, drawn_on: str | None, folder: Path, stacks: Mapping[str, Stack]) -> Mask:
    if region.center_mm is not None and region.size_mm is not None:  # a box has no grid
        return box_mask(region.center_mm, region.size_mm)
    form = next(form for form in FORMS if getattr(region, form) is not None)
    part = MaskRegion(folder / str(region.mask), form, getattr(region, form))
    return read_region(part, stacks, name, drawn_on)
