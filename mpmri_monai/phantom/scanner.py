"""The scanner: what it stores when it samples a body on a sequence's own oblique grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from mpmri_monai.phantom.patients import Patient
from mpmri_monai.phantom.presets import Protocol
from mpmri_monai.phantom.shapes import Points
from mpmri_monai.sequences import DCE, SEQUENCES

GAIN_SPREAD = 0.1
"""Standard deviation of the log gain, one gain for each acquisition of a patient."""

TILT_DEG = 0.8
"""Largest rotation of a stack about each axis: any two stacks stay well within 2 degrees of each other."""

SHIFT_MM = {"T2": 1.5, "dual": 1.5, "dce": 0.6}
"""Standard deviation of the shift along z; half of it in the plane. Each DCE phase is a breath-hold."""

SHIFT_LIMIT = 2.0
"""Shifts end at this many standard deviations."""

SUBPLANES = 3
"""Planes averaged over the thickness of a thick slice."""

THICK_MM = 3.5
"""Slices thinner than this are sampled at their middle plane only."""

PARALLEL = {"T2": 0, "dual": 1, "dce": 2}


@dataclass(frozen=True)
class Grid:
    """Where the voxels of one sequence lie.

    Attributes:
        affine: (4, 4), voxel index (column, row, slice) -> mm, RAS+.
        shape: (columns, rows, slices).
        thickness_mm: of a slice, along the normal.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    thickness_mm: float

    def crop(self, start: ArrayLike, shape: tuple[int, int, int]) -> Grid:
        """Return the part that begins at index ``start`` (column, row, slice); it may reach beyond the grid."""
        affine = self.affine.copy()
        affine[:3, 3] = self.affine[:3, :3] @ np.asarray(start, dtype=float) + self.affine[:3, 3]
        return Grid(affine, shape, self.thickness_mm)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector along which the slice index grows."""
        step = self.affine[:3, 2]
        return step / np.linalg.norm(step)

    def points(self, offset_mm: ArrayLike = (0, 0, 0)) -> Points:
        """Return the voxel centres plus ``offset_mm`` as x, y, z arrays of shape (slice, row, column), flattened.

        Products and sums one by one, not a matrix product: these are the same on every processor.
        """
        column, row, plane = (np.arange(n, dtype=np.float64) for n in self.shape)
        coordinates = []
        for a, o in zip(self.affine[:3], np.asarray(offset_mm, dtype=float), strict=True):
            along_plane = (a[0] * column)[None, :] + (a[1] * row)[:, None]
            place = along_plane[None] + (a[2] * plane + (a[3] + o))[:, None, None]
            coordinates.append(place.astype(np.float32).ravel())
        x, y, z = coordinates
        return x, y, z


@dataclass(frozen=True)
class Scan:
    """One examination: grids, gains, shifts and shading of one patient."""

    patient: Patient
    grids: dict[str, Grid]
    shift_mm: dict[str, NDArray[np.float64]]
    """How far the body lies from its own frame during each sequence."""
    gain: dict[str, float]
    shading: NDArray[np.float64]
    """Coefficients of x, y, z, x², y² (mm/100) of the coil's relative sensitivity."""

    def expected(self, sequence: str, points_mm: ArrayLike) -> NDArray[np.float32]:
        """Return what a noise-free scanner with infinitely thin slices stores at scanner positions (..., 3), RAS+."""
        points = np.asarray(points_mm, dtype=np.float32)
        flat = points.reshape(-1, 3)
        return self._values(sequence, tuple(flat.T.copy())).reshape(points.shape[:-1])

    def acquire(self, sequence: str, grid: Grid | None = None, noisy: bool = True) -> NDArray[np.uint16]:
        """Return the stored pixels (slice, row, column) of a sequence, on its own grid or on a part of it."""
        grid = grid or self.grids[sequence]
        planes = SUBPLANES if grid.thickness_mm > THICK_MM else 1
        depths = (np.arange(planes) - (planes - 1) / 2) * grid.thickness_mm / planes
        columns, rows, slices = grid.shape
        clean = np.zeros((slices, rows * columns), np.float32)
        for k in range(slices):  # one by one, so that the arrays at work stay in the processor's cache
            one = grid.crop((0, 0, k), (columns, rows, 1))
            for depth in depths:
                clean[k] += self._values(sequence, one.points(depth * grid.normal))
        clean = clean.ravel() / np.float32(planes)
        if noisy:
            clean = self._rician(sequence, clean)
        return np.rint(np.minimum(clean, 32767)).astype(np.uint16).reshape(grid.shape[::-1])

    def protocol(self, sequence: str) -> Protocol:
        """Return the settings with which ``sequence`` is acquired."""
        return self.patient.site.protocols[group(sequence)]

    def _values(self, sequence: str, points: Points) -> NDArray[np.float32]:
        moved = tuple(p - np.float32(s) for p, s in zip(points, self.shift_mm[sequence], strict=True))
        value = self.patient.body.values(sequence, moved)
        x, y, z = (p * np.float32(0.01) for p in points)
        a, b, c, d, e = (np.float32(k) for k in self.shading)
        sensitivity = 1 + a * x + b * y + c * z + d * x * x + e * y * y
        return value * sensitivity * np.float32(self.gain[sequence])

    def _rician(self, sequence: str, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the magnitude of the signal with Gaussian noise in both channels."""
        organ = self.patient.body.signals[self.patient.anatomy.signals.reference][sequence]
        sigma = np.float32(self.protocol(sequence).noise * organ * self.gain[sequence])
        rng = self.patient.rng("noise", SEQUENCES.index(sequence))
        real = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
        imaginary = sigma * rng.standard_normal(clean.shape, dtype=np.float32)
        return np.sqrt(real * real + imaginary * imaginary)


def group(sequence: str) -> str:
    """Return the acquisition that a sequence belongs to: ``T2``, ``dual`` or ``dce``."""
    return "T2" if sequence == "T2" else "dce" if sequence in DCE else "dual"


def draw_scan(patient: Patient) -> Scan:
    """Draw how ``patient`` is examined at its site."""
    rng = patient.rng("scan")
    site = patient.site
    grids_by_group = {name: _grid(protocol, rng) for name, protocol in site.protocols.items()}
    shifts = {name: _shift(rng, SHIFT_MM[name]) for name in ("T2", "dual")}
    phases = {name: _shift(rng, SHIFT_MM["dce"]) for name in DCE}
    gains = {name: float(np.exp(rng.normal(0, GAIN_SPREAD))) for name in ("T2", "dual", "dce")}
    shading = np.array([0.12, 0.14, 0.06, 0.05, 0.06]) * rng.standard_normal(5)
    return Scan(
        patient,
        grids={name: grids_by_group[group(name)] for name in site.sequences},
        shift_mm={name: phases.get(name, shifts.get(group(name))) for name in site.sequences},
        gain={name: gains[group(name)] for name in site.sequences},
        shading=np.clip(shading, -0.2, 0.2),
    )


def _grid(protocol: Protocol, rng: Generator) -> Grid:
    """Place a nearly axial stack whose middle is near the middle of the organ."""
    turn = _rotation(np.deg2rad(rng.uniform(-TILT_DEG, TILT_DEG, 3)))
    # columns run to the patient's left, rows to the back, slices to the head
    axes = turn @ np.diag([-1.0, -1.0, 1.0])
    spacing = np.array([protocol.pixel_mm, protocol.pixel_mm, protocol.spacing_mm])
    shape = (protocol.columns, protocol.rows, protocol.slices)
    middle = np.array([0.0, 0.0, 0.0]) + rng.uniform(-1, 1, 3) * (6.0, 4.0, 1.5)
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(np.round(affine, 6), shape, protocol.thickness_mm)


def _shift(rng: Generator, deviation: float) -> NDArray[np.float64]:
    return np.round(np.clip(rng.standard_normal(3), -SHIFT_LIMIT, SHIFT_LIMIT) * deviation * (0.5, 0.5, 1.0), 3)


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrix for small turns about x, y and z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x
