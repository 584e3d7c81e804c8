"""The package as a reader: scan a study and read every volume of it."""

from __future__ import annotations

from pathlib import Path

from faults.outcome import Found, Reading
from mpmri_monai.catalogue import VolumeRecord, scan
from mpmri_monai.errors import MpmriError
from mpmri_monai.volumes import read_volume


def read(study: Path, protocol: str = "none") -> Reading:
    """Read all volumes of a study; a refusal of the whole study or of single series is noted by its code."""
    try:
        catalogue = scan(study, protocol)
        found = {volume.id: _voxels(volume) for volume in catalogue.volumes}  # volumes are asked for by their ids
    except MpmriError as error:
        return Reading(refused=(error.code or type(error).__name__,))
    return Reading(
        found=tuple(found.values()),
        refused=tuple(problem.code for problem in catalogue.problems),
        warned=tuple(caution.code for volume in catalogue.volumes for caution in volume.warnings),
        roles=tuple((name, found[volume]) for name, volume in catalogue.roles.items()),
    )


def _voxels(volume: VolumeRecord) -> Found:
    stack = read_volume(volume)
    voxels = stack.volume().numpy()[0]
    return Found(voxels.transpose(2, 1, 0), stack.geometry.affine)
