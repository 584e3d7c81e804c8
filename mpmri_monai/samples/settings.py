"""Everything that decides what a sample looks like. The store is keyed by it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from mpmri_monai.errors import ConfigError

ThroughPlane = Literal["nearest", "slab_mean"]
Align = Literal["none", "rigid"]


class Settings(BaseModel):
    """How samples are taken.

    Raises:
        ConfigError: an option is unknown or out of its range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: Annotated[int, Field(ge=8, le=512)] = 32
    """Pixels that the side of the lesion box maps to: what the network sees."""
    reach: Annotated[float, Field(ge=1, le=4)] = 1.6
    """Side of the stored crop, in lesion boxes; the margin serves random crops, shifts and scales."""
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Share of the brightest voxels trimmed off before the maximum is taken (Jia et al. 2019, equation 2)."""
    joint_dce: bool = False
    """Give the DCE phases one common intensity window, so that their relation survives."""
    through_plane: ThroughPlane = "nearest"
    """Nearest acquired slice, or the mean of the thin slices inside the slab of the reference slice."""
    background: bool = True
    """Also take samples of liver without lesion."""
    background_margin_mm: Annotated[float, Field(ge=0, le=100)] = 10.0
    """Least distance of a background disc from every lesion."""
    minimum_box_mm: Annotated[float, Field(gt=0, le=200)] = 10.0
    """Smallest side of a lesion box, so that a tiny lesion is not magnified beyond what was acquired."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides, together with the name of the study, where background samples lie."""
    align: Align = "none"
    """Take sequences where the scanner put them, or first undo their rigid motion against the one drawn on."""

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(
                expected="usable sample settings", found=problems, fix=f"known are {', '.join(Settings.model_fields)}"
            ) from error

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``align`` out where it changes nothing: stores and recipes older than it keep their hashes."""
        options = serialise(self)
        if self.align == "none":
            options.pop("align", None)
        return options

    @property
    def stored_pixels(self) -> int:
        """Side of the stored crop in pixels: even, so that the centre lies between pixels as it does for ``pixels``."""
        needed = math.ceil(self.reach * self.pixels)
        return needed + (needed - self.pixels) % 2
