"""How deep to tune a pretrained network: every depth on outer folds, and the depth chosen on inner folds alone.

Tajbakhsh et al. (IEEE TMI 35(5), 2016) found that the best depth depends on the task, so that it has to be searched;
that search must not see the patients on whom its result is scored (see `experiments.nested`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.depth_choice import Depths
from mpmri_monai.experiments.depth_results import depth_content
from mpmri_monai.experiments.plan import Stage
from mpmri_monai.experiments.question import Question
from mpmri_monai.experiments.starts import OPTIONS


class Depth:
    """Every depth and scratch on inner and outer folds; each outer fold has its own choice among them."""

    name = "depth"
    help = (
        "how many of the last layers of a pretrained network to tune, chosen on inner folds and scored on outer ones, "
        "against all layers and scratch (options: depths=0,1,2,…; folds, inner_folds, epochs, views; pretrained=FILE; "
        "recipe=layerwise|paper)"
    )
    options: Sequence[str] = ("depths", "folds", "inner_folds", *OPTIONS)

    def stages(self, context: Context) -> list[Stage]:
        """Return the stage of the inner fits and that of the outer ones; neither depends on results."""
        depths = Depths(context, Question.of(context))
        deep = depths.starts[-2]
        inner = [run for fold in depths.folds for start in depths.starts for run in depths.inner_runs(start, fold)]
        outer = [depths.outer_run(start, fold) for fold in depths.folds for start in depths.starts]
        count, folds = len(depths.starts) - 1, len(depths.folds)
        return [
            Stage(
                f"{count} depths and scratch on the inner folds of {folds} outer folds",
                len(inner),
                depths.inner_runs(deep, depths.folds[0])[0],
                partial(list, inner),
            ),
            Stage(
                f"{count} depths and scratch on {folds} outer folds",
                len(outer),
                depths.outer_run(deep, depths.folds[0]),
                partial(list, outer),
            ),
        ]

    def collect(self, context: Context) -> Content:
        """Return every depth on the outer folds, and what choosing one came to."""
        return depth_content(Depths(context, Question.of(context)))
