"""The comparison of the MCTL paper (its table 3): classical baselines, networks, and what transfer adds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mpmri_monai.experiments.context import Content, Context
from mpmri_monai.experiments.mctl_tables_arms import ARMS, EXAMPLES
from mpmri_monai.experiments.mctl_tables_content import content
from mpmri_monai.experiments.mctl_tables_plan import CONVOLUTIONS, REACH, SHAPE, SPACING, WINDOW, Comparison
from mpmri_monai.experiments.plan import Stage
from mpmri_monai.report.wording import plural


class MctlTables:
    """Every arm on the same folds by patient, with the autoencoder that the transferred ones begin with."""

    name = "mctl-tables"
    help = (
        "the MCTL paper's comparison: SVM, k nearest neighbours, naive Bayes, dense network, CNN, MCTL from a random "
        "start and transferred, 3D ResNet-10 (options: source=own|MANIFEST of the autoencoder's cohort, or "
        "pretrained=FILE; folds=N|leave-one-out, or split=FILE; epochs, copies; pretraining_epochs, patches, masked of "
        "the autoencoder; layers, filters, dense; slices, pixels, depth_mm, plane_mm, window, trim, reach of the crops)"
    )
    options: Sequence[str] = (
        "source", "pretrained", "folds", "split", "epochs", "copies", "pretraining_epochs", "patches", "masked",
        *CONVOLUTIONS, "dense", *SHAPE, *SPACING, *WINDOW, *REACH,
    )  # fmt: skip

    def stages(self, context: Context) -> list[Stage]:
        """Return a stage of autoencoders, unless one is given, and one for each group of arms."""
        comparison = Comparison.of(context)
        pretraining = comparison.autoencoders
        stages = []
        if pretraining:
            title = f"{plural(len(pretraining), 'autoencoder')} on patches of {comparison.source_in_words}"
            stages.append(Stage(title, len(pretraining), pretraining[0], partial(comparison.kept, pretraining)))
        for group, example in EXAMPLES.items():
            runs = comparison.trainings([arm for arm in ARMS if arm.group == group])
            timed = next(run for run in runs if run.cell == example.name)
            stages.append(Stage(group, len(runs), timed, partial(comparison.kept, runs)))
        return stages

    def collect(self, context: Context) -> Content:
        """Return every arm side by side, what transfer adds, and what is right when the least certain go."""
        return content(Comparison.of(context))
