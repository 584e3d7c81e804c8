"""What a network is shown of a lesion: slices in plane, three planes, several sizes, or all of it in 3D.

One bundle samples planes as it always does; another samples grids of parallel planes, and its networks see one crop in
several ways. All of them have the same folds of the same patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.plan import Run, Stage
from mpmri_monai.experiments.question import SHORTER, Question, positive_option, recipe
from mpmri_monai.experiments.shapes_results import shapes_content

FOLDS = 5
GRID = {"slices": 7, "pixels": 32, "depth_mm": 6.0, "plane_mm": 1.5}
"""A grid that holds a liver lesion and its rim: 42 × 48 × 48 mm. An odd number of slices has one in the middle: of an
even one, a plane would be shown up to a slice off the lesion's centre, which would flatter 3D."""
ARCHITECTURES = {
    "axial": "axial plane of the crop",
    "three_view": "axial, coronal and sagittal plane as channels",
    "three_view_bag": "axial, coronal and sagittal plane as a bag",
    "multi_size": "axial crops of three sizes",
    "mctl": "the whole crop, MCTL (3D)",
    "resnet10": "the whole crop, ResNet-10 with SPP (3D)",
}
"""What each network is shown of a grid sample, by its name in the configuration."""
SAME_INTENSITIES = ("window", "trim", "joint_dce", "through_plane", "align")
"""Settings of samples that the grids take over from the planes, so that both show the same voxels alike."""
AS_PLANES = {"window": "trimmed"}
"""Those that a bundle of planes may leave out, with what they are there."""


@dataclass(frozen=True)
class Shape:
    """One way to show a lesion.

    Attributes:
        cell: names its runs.
        title: in words.
        question: the bundle, and what it is asked.
        options: overrides of its training configuration.
    """

    cell: str
    title: str
    question: Question
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ShapesPlan:
    """The trainings of all shapes.

    Attributes:
        context: of the experiment.
    """

    context: Context

    @cached_property
    def planes(self) -> Question:
        """The bundle that samples planes, whose task and fusion the experiment is about."""
        return self._bundle(grids=False)

    @cached_property
    def grids(self) -> Question:
        """The bundle that samples grids, asked the same."""
        asked = {"task": self.planes.config["task"], "fusion": self.planes.fusion}
        own = self._bundle(grids=True)
        return replace(own, config={**own.config, **asked})

    def _bundle(self, grids: bool) -> Question:
        found = [Question.about(self.context, bundle) for bundle in self.context.bundles]
        chosen = [one for one in found if ("grid" in one.config.get("samples", {})) == grids]
        if len(chosen) != 1 or len(found) != 2:
            raise ConfigError(
                expected="two --bundle: one that samples planes, such as hcc_grade, and one that samples grids, such "
                "as mctl_brain",
                found=", ".join(bundle.name for bundle in self.context.bundles) or "none",
                code="E_OPTION",
            )
        return chosen[0]

    @cached_property
    def shapes(self) -> list[Shape]:
        """What is compared: planes as the bundle samples them, then the views of the grid.

        Raises:
            ConfigError: an architecture that is none.
        """
        planes = Shape(
            "planes", f"axial slices, 2.5D ({self.planes.bundle.name})", self.planes, {"pretrained": SCRATCH}
        )
        wanted = self.context.option("architectures", ",".join(ARCHITECTURES)).replace(" ", "").split(",")
        unknown = [name for name in wanted if name not in ARCHITECTURES]
        if unknown:
            raise ConfigError(
                expected=f"architectures among {', '.join(ARCHITECTURES)}", found=", ".join(unknown), code="E_OPTION"
            )
        grids = [
            Shape(name, ARCHITECTURES[name], self.grids, {**self._grid_options, "architecture": name})
            for name in ARCHITECTURES
            if name in wanted
        ]
        return [planes, *grids]

    @cached_property
    def grid(self) -> dict[str, float]:
        """The grid that all but the planes see: planes, points, and mm between them."""
        found = {name: self.context.option(name, default) for name, default in GRID.items()}
        wrong = [name for name, value in found.items() if value <= 0]
        if wrong:
            raise ConfigError(
                expected=f"more than 0 for --option {wrong[0]}", found=str(found[wrong[0]]), code="E_OPTION"
            )
        return found

    @cached_property
    def _grid_options(self) -> dict[str, Any]:
        planes, grids = self.planes.config["samples"], self.grids.config["samples"]
        taken = {
            f"samples#{name}": planes.get(name, AS_PLANES.get(name, grids[name]))
            for name in SAME_INTENSITIES
            if name in grids
        }
        return {
            "task": self.grids.config["task"],
            "fusion": self.grids.fusion,
            "pretrained": SCRATCH,
            "samples#grid": {**grids["grid"], **self.grid},
            **taken,
        }

    @property
    def folds(self) -> int:
        """Folds by patient, the same for all shapes."""
        return positive_option(self.context, "folds", FOLDS, least=2)

    def runs(self, shape: Shape) -> list[Run]:
        """Return the trainings of one shape, repetition by repetition."""
        repeats = 1 if self.context.repeats is None else self.context.repeats
        if repeats < 1:
            raise ConfigError(expected="at least 1 repetition", found=str(repeats), code="E_OPTION")
        split = {
            "split#file": "", "split#unit": "patient", "split#leave_out": "", "split#inner": -1, "split#val": 0.0,
            "split#folds": self.folds, "split#repeats": repeats, "cohort#seed": self.context.seed,
        }  # fmt: skip
        options = {**shape.options, **self._shorter(shape.question), **split}
        return [
            Run(
                name=f"{shape.cell}/repeat{repeat}-fold{fold}",
                cell=shape.cell,
                bundle=shape.question.bundle,
                options={**options, "seed": self.context.seed + repeat, "split#repeat": repeat, "split#fold": fold},
            )
            for repeat in range(repeats)
            for fold in range(self.folds)
        ]

    def _shorter(self, question: Question) -> dict[str, Any]:
        """Return the part of the recipe that was made shorter, as far as the bundle has it: views are of planes."""
        own = {name: typed for name, typed in self.context.options.items() if SHORTER.get(name) in question.config}
        return recipe(replace(self.context, options=own), question)


class Shapes:
    """The same patients and folds, with a network for every way to show a lesion."""

    name = "shapes"
    help = (
        "axial slices (2.5D), three views, several sizes and 3D side by side, of two bundles: one of planes, one of "
        "grids (options: architectures=axial,three_view,three_view_bag,multi_size,mctl,resnet10; slices, pixels, "
        "depth_mm, plane_mm of the grid; folds, epochs; views of planes, copies of grids)"
    )
    options: Sequence[str] = ("architectures", *GRID, "folds", *SHORTER)

    def stages(self, context: Context) -> list[Stage]:
        """Return a stage for every shape, since their times differ."""
        plan = ShapesPlan(context)
        planned = {shape.title: plan.runs(shape) for shape in plan.shapes}
        return [Stage(title, len(runs), runs[0], partial(list, runs)) for title, runs in planned.items()]

    def collect(self, context: Context) -> Content:
        """Return the scores of lesions and of patients side by side, with paired differences."""
        plan = ShapesPlan(context)
        return shapes_content(context, plan.planes, {one.cell: one.title for one in plan.shapes}, plan.folds, plan.grid)
