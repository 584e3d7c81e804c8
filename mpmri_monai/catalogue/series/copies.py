"""Volumes that a study holds twice: sent again, or as a series of their own and as part of a joint one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from mpmri_monai.catalogue.pixels.stored import stored_pixels
from mpmri_monai.catalogue.record import Caution, VolumeRecord
from mpmri_monai.catalogue.series.phases import acquired_s, families, same_grid
from mpmri_monai.errors import CatalogueError


def without_copies(volumes: Sequence[VolumeRecord]) -> tuple[list[VolumeRecord], list[VolumeRecord]]:
    """Part volumes into originals and their copies, which carry the caution ``W_DUP``.

    A copy is of the same acquisition, on the same grid, at the same time, and has the same pixels in every slice. Of
    several the first one counts as the original. Pixels are read only where all else is equal.
    """
    originals: list[VolumeRecord] = []
    copies: list[VolumeRecord] = []
    for family in families(volumes):
        at_time: dict[float | None, list[VolumeRecord]] = {}
        for volume in family:
            own = at_time.setdefault(acquired_s(volume), [])
            first = next((other for other in own if _same_images(other, volume)), None)
            if first is None:
                own.append(volume)
                originals.append(volume)
            else:
                caution = Caution("W_DUP", f"a copy of volume {first.id}, which counts in its place")
                copies.append(replace(volume, warnings=(*volume.warnings, caution)))
    return originals, copies


def _same_images(one: VolumeRecord, other: VolumeRecord) -> bool:
    if one.files[0].series == other.files[0].series or not same_grid(one, other):
        return False
    middle = one.slices // 2  # nearly always enough to tell two volumes apart
    try:
        return all(_digest(one, index) == _digest(other, index) for index in (middle, *range(one.slices)))
    except CatalogueError:
        return False


def _digest(volume: VolumeRecord, index: int) -> bytes:
    return hashlib.sha256(stored_pixels(volume.files[index]).tobytes()).digest()
