"""The images of one series: which are set aside, how the others fall into volumes, and what is wrong with them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpmri_monai.catalogue.headers.header import FileHeader, Unreadable
from mpmri_monai.catalogue.pixels.stored import stored_pixels
from mpmri_monai.catalogue.record import Caution, Evidence, Problem, SetAside, VolumeRecord
from mpmri_monai.catalogue.roles.protocol import Protocol
from mpmri_monai.catalogue.series.axes import INSTANCE_NUMBER, Part, Split, split, split_by_rank
from mpmri_monai.catalogue.series.slices import Fault, affine_of, axes_of, fault_of, orientation_name, slots_of
from mpmri_monai.errors import CatalogueError

GRID_TOLERANCE = 0.01
"""Images are on one grid when direction cosines and pixel spacings (mm) differ by no more."""
LOCALIZER_IMAGES = 10
"""A series with several orientations of at most this many images each is a localizer (count)."""
GE_LOCALIZER_PLANE = 256
"""Value of GE's series plane for three-plane localizers."""
ECHO_TOLERANCE = 0.05
"""Echo times of one volume may differ by this part; some sequences write a slightly different one for each slice."""
MOST_THICKNESSES = 1.5
"""Slices of a 3D acquisition are no farther apart (slice thicknesses)."""
PROJECTIONS = ("PROJECTION IMAGE", "MIP", "MINIP", "MPR", "REFORMATTED", "MAX_IP", "MIN_IP")
"""Values of ImageType for images computed along rays or on another plane."""


@dataclass
class Findings:
    """What the series of a study come to."""

    protocol: Protocol
    volumes: list[VolumeRecord] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, images: Sequence[FileHeader], number: int | None, code: str, message: str) -> None:
        """Note a problem; images that could have no role anyway are only set aside."""
        if images and not self.protocol.may_fit(images):
            self.leave_out(number, f"{code}: {message}; the protocol has no role for such images")
        elif (problem := Problem(code, message, number)) not in self.problems:
            self.problems.append(problem)

    def leave_out(self, number: int | None, why: str) -> None:
        """Note images that are left out on purpose."""
        if (entry := SetAside(number, why)) not in self.set_aside:
            self.set_aside.append(entry)


def sort_series(images: Sequence[FileHeader], unreadable: Sequence[Unreadable], findings: Findings) -> None:
    """Add the volumes of one series to ``findings``, or say why there are none.

    Args:
        images: of one series, in an order that does not depend on their files.
        unreadable: its other files; with any of them the series is not known to be whole and is refused.
        findings: taken from and added to.
    """
    wanted = [image for image in images if not _left_out(image, findings)]
    unreadable = [item for item in unreadable if not _left_out(item, findings)]
    if not wanted and (images or not unreadable):
        return
    for (number, code, message), count in Counter((u.series_number, u.code, u.message) for u in unreadable).items():
        findings.refuse(wanted, number, code, f"{message} ({count} files)" if count > 1 else message)
    if unreadable:
        return
    number, grids = wanted[0].series_number, _grids(wanted)
    if _is_localizer(grids):
        findings.leave_out(number, "localizer")
        return
    strays = _strays(grids)
    if strays:
        message = f"{strays} of {len(wanted)} images have another matrix, pixel spacing or frame of reference"
        findings.refuse(wanted, number, "E_GRID", message)
        return
    lost = _lost_slices(images)
    for grid in grids:
        _sort_grid(grid, lost, findings)


def _lost_slices(images: Sequence[FileHeader]) -> Fault | None:
    """Whether a series has fewer slice positions than the scanner wrote that it made.

    A slice lost at the end of a stack leaves no gap. All positions of the series count, on every grid and of every
    kind, for the number may stand for several stacks. Derived images may carry the number of what they were made of.
    """
    declared = {image.declared_slices for image in images if image.image_type[:1] != ("DERIVED",)}
    wanted = declared.pop() if len(declared) == 1 else None
    found = sum(max(slots_of(grid)) + 1 for grid in _grids(images)) if wanted else 0
    if wanted is None or found >= wanted:
        return None
    return Fault("E_SHORT", f"{found} slice positions of the {wanted} that the scanner declares")


def _left_out(image: FileHeader | Unreadable, findings: Findings) -> bool:
    """Whether an image is set aside for what it says it is."""
    kinds = image.image_type
    why = None
    header = image if isinstance(image, FileHeader) else None
    if "LOCALIZER" in kinds or (header and header.ge_series_plane == GE_LOCALIZER_PLANE):
        why = "localizer"
    elif header and header.mosaic:
        why = "a mosaic: sheets of several slices, which are not taken apart"
    elif findings.protocol.originals_only:
        if any(kind.startswith("SUB") for kind in kinds):
            why = "subtraction images"
        elif any(kind in PROJECTIONS for kind in kinds):
            why = "projection or reformatted images"
        elif kinds[:1] == ("DERIVED",) and not (header and findings.protocol.wants(header)):
            why = "derived images"
    if why:
        findings.leave_out(image.series_number, why)
    return why is not None


def _grids(images: Sequence[FileHeader]) -> list[list[FileHeader]]:
    """Put images on one grid together: matrix, orientation, pixel spacing, frame of reference."""
    exact: dict[tuple[Any, ...], list[FileHeader]] = {}
    for image in images:
        key = (image.rows, image.columns, image.frame_of_reference, *image.orientation, *image.pixel_spacing)
        exact.setdefault(key, []).append(image)
    found: list[tuple[tuple[Any, ...], list[FileHeader]]] = []
    for key, members in exact.items():  # one orientation may be spelled in two ways
        home = next((own for other, own in found if key[:3] == other[:3] and _close(key[3:], other[3:])), None)
        if home is None:
            found.append((key, list(members)))
        else:
            home.extend(members)
    return [sorted(members, key=lambda image: image.instance) for _, members in found]


def _close(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= GRID_TOLERANCE


def _is_localizer(grids: Sequence[Sequence[FileHeader]]) -> bool:
    orientations: list[tuple[float, ...]] = []
    for grid in grids:
        if not any(_close(grid[0].orientation, known) for known in orientations):
            orientations.append(grid[0].orientation)
    return len(orientations) > 1 and max(map(len, grids)) <= LOCALIZER_IMAGES


def _strays(grids: Sequence[Sequence[FileHeader]]) -> int:
    """Images parallel to the largest grid of the series that lie on another, smaller one."""
    largest = max(grids, key=len)
    parallel = [grid for grid in grids if grid is not largest and _close(grid[0].orientation, largest[0].orientation)]
    return sum(len(grid) for grid in parallel if len(grid) < len(largest) / 2)


def _sort_grid(images: Sequence[FileHeader], lost: Fault | None, findings: Findings) -> None:
    """Split the images of one grid into volumes and check each; ``lost`` is what is wrong with all of them."""
    number, slots = images[0].series_number, slots_of(images)
    if max(slots) == 0:
        findings.leave_out(number, "one slice position, which is no stack")
        return
    echoes = _unlabelled_echoes(images, slots)
    if echoes:
        message = f"the scanner declares {echoes} echoes and writes one echo time for all of them"
        findings.refuse(images, number, "E_ECHO", message)
        return
    cautions: tuple[Caution, ...] = ()
    found = split(images, slots)
    if found is None:
        try:
            unique = _without_duplicates(images, slots)
        except CatalogueError as error:
            findings.refuse(images, number, error.code or "E_TRUNCATED", f"an image holds {error.found}")
            return
        found, images, cautions = _split_again(images, slots, unique)
        slots = slots_of(images)
    if found is None:
        findings.refuse(images, number, *_unsplit(slots))
        return
    if found.disagreements:  # either could be wrong, and a volume with a slice of another phase looks like any other
        pairs = ", ".join(f"{one} and {other}" for one, other in found.disagreements)
        findings.refuse(images, number, "E_AXES", f"{pairs} split this series differently")
        return
    volumes = []
    for part in found.parts:
        members = sorted(part.members, key=lambda member: slots[member])
        headers = tuple(images[member] for member in members)
        fault = fault_of(headers) or _mixed(headers) or lost
        if fault is not None:
            findings.refuse(headers, number, fault.code, fault.message)
            continue
        volumes.append(_record(headers, part, len(found.parts), cautions))
    findings.volumes.extend(volumes)


def _mixed(headers: Sequence[FileHeader]) -> Fault | None:
    """Whether a stack holds images of more than one kind, or rescaled ones beside others.

    Where two echoes each lost the images that the other has left, every slice position is there once.
    """
    if len({header.scaling for header in headers}) > 1:
        return Fault("E_RESCALE", "some images have a rescale or scale slope and others have none")
    echoes = [header.echo_time_ms for header in headers if header.echo_time_ms is not None]
    kinds = {(header.component, header.image_kind, header.b_value) for header in headers}
    if len(kinds) > 1 or (echoes and max(echoes) - min(echoes) > ECHO_TOLERANCE * max(echoes)):
        return Fault("E_MIXED", "a stack holds images of several components, kinds, echo times or b-values")
    return None


def _unlabelled_echoes(images: Sequence[FileHeader], slots: Sequence[int]) -> int:
    """Number of echoes that nothing tells apart, 0 when there are none.

    Some of GE's echo-planar sequences write the shortest echo time and echo number 1 for every echo; split by any other
    attribute, the echoes would pass for repetitions. Elsewhere several echoes may be made into one image, as for Dixon.
    """
    declared = {image.declared_echoes for image in images}
    echoes = declared.pop() or 0
    if declared or echoes < 2 or not all("EP" in image.scanning_sequence for image in images):
        return 0
    several = min(Counter(slots).values()) >= echoes
    return echoes if several and len({image.echo_time_ms for image in images}) == 1 else 0


def _without_duplicates(images: Sequence[FileHeader], slots: Sequence[int]) -> list[FileHeader]:
    """Keep one of the images that have the same pixels at the same slice position."""
    kept: dict[tuple[int, str], FileHeader] = {}
    for image, slot in zip(images, slots, strict=True):
        digest = hashlib.sha256(stored_pixels(image).tobytes()).hexdigest()
        kept.setdefault((slot, digest), image)
    return list(kept.values())


def _split_again(
    images: Sequence[FileHeader], slots: Sequence[int], unique: Sequence[FileHeader]
) -> tuple[Split | None, Sequence[FileHeader], tuple[Caution, ...]]:
    """Split what no attribute splits: without duplicates, else by the order of InstanceNumber.

    No two images of a scanner have the same pixels, unless they are blank; so duplicates are of one volume, and images
    that do not fall into volumes without them do not do so with them.
    """
    dropped = len(images) - len(unique)
    caution = Caution("W_DUP", f"{dropped} images dropped: the same pixels at the same slice position as another one")
    in_order = Caution("W_INORDER", f"no attribute separates the volumes of this series; took {INSTANCE_NUMBER}")
    own = slots_of(unique)
    cautions = (caution,) if dropped else ()
    if dropped and (found := split(unique, own)) is not None:
        return found, unique, cautions
    return split_by_rank(unique, own), unique, (*cautions, in_order)


def _unsplit(slots: Sequence[int]) -> tuple[str, str]:
    """Code and message for images that do not fall into volumes."""
    counts = Counter(Counter(slots).values())
    if len(counts) > 1:
        held = ", ".join(f"{places} hold {count}" for count, places in sorted(counts.items(), reverse=True))
        return "E_INCOMPLETE", f"slice positions hold different numbers of images: {held}"
    return "E_AMBIG", f"{next(iter(counts))} images at each slice position, and no attribute separates them"


def _record(headers: tuple[FileHeader, ...], part: Part, parts: int, cautions: tuple[Caution, ...]) -> VolumeRecord:
    first, affine = headers[0], affine_of(headers)
    spacing = float(abs(np.dot(np.subtract(headers[-1].position, first.position), axes_of(first)[2])))
    spacing /= len(headers) - 1
    place = " ".join(f"{axis} {value:g}" for axis, value in zip(part.axes, part.places, strict=True))
    evidence = (
        Evidence(
            "every slice position exactly once",
            place or "one image at each position",
            f"volume {'1 of 1' if parts == 1 else f'of {parts}'} with {len(headers)} slices",
        ),
        Evidence("even spacing along the normal, no shear", f"{spacing:.3f} mm", "holds"),
    )
    identity = hashlib.sha256("\n".join(sorted(header.instance for header in headers)).encode()).hexdigest()
    return VolumeRecord(
        id="v" + identity[:10],
        series_number=first.series_number,
        role=None,
        rows=first.rows,
        columns=first.columns,
        slices=len(headers),
        spacing_mm=(first.pixel_spacing[0], first.pixel_spacing[1], spacing),
        orientation=orientation_name(first),
        echo_time_ms=first.echo_time_ms,
        component=first.component,
        phase=None,
        time_s=None,
        split_by=part.axes,
        evidence=evidence,
        warnings=(*cautions, *_sparse(first, spacing)),
        files=headers,
        affine=affine,
        split_order=part.places,
    )


def _sparse(header: FileHeader, spacing_mm: float) -> tuple[Caution, ...]:
    """Slices of a 3D acquisition touch or overlap; a stack of every second one is as evenly spaced as the whole."""
    thickness = header.slice_thickness_mm
    if header.acquisition_type != "3D" or not thickness or spacing_mm <= MOST_THICKNESSES * thickness:
        return ()
    found = f"slices {thickness:g} mm thick are {spacing_mm:.1f} mm apart in a 3D acquisition"
    return (Caution("W_SPARSE", f"{found}: those between them may have been lost"),)
