"""Everything that decides what a sample looks like. The store is keyed by it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from mpmri_monai.errors import ConfigError

ThroughPlane = Literal["nearest", "slab_mean"]
Align = Literal["none", "rigid"]
WindowKind = Literal["trimmed", "central"]
BackgroundKind = Literal["liver", "edge", "vessel", "body"]

LATER = ("align", "grid", "window", "background_kinds")
"""Options that came later; left out where they change nothing, so that older stores and recipes keep their hashes."""

MOST_POINTS = 2**24
"""Points of a stored crop: taking one of 256³ holds about 2 GB, one of the largest grid a side allows 50 GB."""


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            name, known = type(self).__name__, ", ".join(type(self).model_fields)
            raise ConfigError(
                expected=f"usable sample {name.lower()}", found=problems, fix=f"known are {known}"
            ) from error


class Grid(_Options):
    """The points of a 3D sample (depth, row, column): parallel planes with square pixels, stated in mm.

    Raises:
        ConfigError: an option is unknown or out of its range.
    """

    slices: Annotated[int, Field(ge=1, le=512)] = 4
    """Planes that the network sees."""
    pixels: Annotated[int, Field(ge=8, le=512)] = 25
    """Rows and columns of a plane that the network sees."""
    depth_mm: Annotated[float, Field(gt=0, le=100)] = 6.0
    """Distance between planes."""
    plane_mm: Annotated[float, Field(gt=0, le=50)] = 1.0
    """Distance between the pixels of a plane."""
    patches: Annotated[int, Field(ge=0)] = 0
    """Take so many random places in the whole cohort, for pretraining, and no lesions; 0 takes lesions."""


class Settings(_Options):
    """How samples are taken: 2.5D, each on one slice of a lesion; with a grid in 3D, each lesion as a whole.

    Raises:
        ConfigError: an option is unknown or out of its range.
    """

    pixels: Annotated[int, Field(ge=8, le=512)] = 32
    """Pixels that the side of the lesion box maps to: what the network sees. A grid has its own."""
    reach: Annotated[float, Field(ge=1, le=4)] = 1.6
    """Side of the stored crop, in sides of what the network sees; the margin serves random crops, shifts, scales and
    rotations."""
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Share of the voxels that the intensity window leaves out."""
    window: WindowKind = "trimmed"
    """Leave out the brightest voxels (Jia et al. 2019, equation 2), or as many at either end: ``central``."""
    joint_dce: bool = False
    """Give the DCE phases one common intensity window, so that their relation survives."""
    through_plane: ThroughPlane = "nearest"
    """Nearest acquired slice, or the mean of the thin slices inside the slab of the reference slice."""
    background: bool = True
    """Also take samples of liver without lesion."""
    background_kinds: Annotated[tuple[BackgroundKind, ...], Field(min_length=1)] = ("liver",)
    """Where they lie; a region of each kind for every lesion. ``liver``: all of the disc in the liver. ``edge``: across
    its surface, as windows of a detector that is slid over it are. ``vessel``: on bright spots of the portal phase.
    ``body``: anywhere in the body outside the liver, in other organs, muscle or fat. Samples on a grid know the first
    alone."""
    background_margin_mm: Annotated[float, Field(ge=0, le=100)] = 10.0
    """Least distance of a background disc from every lesion."""
    minimum_box_mm: Annotated[float, Field(gt=0, le=200)] = 10.0
    """Smallest side of a lesion box, so that a tiny lesion is not magnified beyond what was acquired. Not for a
    grid, which magnifies nothing."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides, together with the name of the study, where background samples and patches lie."""
    align: Align = "none"
    """Take sequences where the scanner put them, or first undo their rigid motion against the one drawn on."""
    grid: Grid | None = None
    """Take 3D samples on this grid."""

    @model_validator(mode="after")
    def _kinds_that_there_are(self) -> Settings:
        if len(set(self.background_kinds)) != len(self.background_kinds):
            raise ValueError("background_kinds names one of them twice")
        if self.grid is not None and self.background_kinds != ("liver",):
            raise ValueError("on a grid the only one of background_kinds is liver")
        return self

    @model_validator(mode="after")
    def _small_enough(self) -> Settings:
        if math.prod(self.stored_shape) > MOST_POINTS:
            stored = " x ".join(map(str, self.stored_shape))
            raise ValueError(f"{stored} points to store, more than {MOST_POINTS}: a smaller grid or reach is needed")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what came later and changes nothing."""
        options = serialise(self)
        for name in LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                options.pop(name, None)
        return options

    @property
    def size(self) -> tuple[int, ...]:
        """What the network sees: (row, column), or with a grid (depth, row, column)."""
        grid = self.grid
        return (self.pixels, self.pixels) if grid is None else (grid.slices, grid.pixels, grid.pixels)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """What is stored: ``size`` with a margin as ``reach`` says, and odd or even as it is, so that they share their
        centre. Patches lie at random already and have no margin."""
        if self.grid is not None and self.grid.patches:
            return self.size
        needed = [math.ceil(self.reach * side) for side in self.size]
        return tuple(stored + (stored - side) % 2 for stored, side in zip(needed, self.size, strict=True))

    @property
    def stored_pixels(self) -> int:
        """Rows and columns of what is stored."""
        return self.stored_shape[-1]
