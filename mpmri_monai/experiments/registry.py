"""The experiments by name. A module is imported when its experiment is asked for."""

from __future__ import annotations

from importlib import import_module

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Experiment

EXPERIMENTS = {
    "repeats": "mpmri_monai.experiments.repeats:Repeats",
    "single": "mpmri_monai.experiments.single:Single",
    "tables": "mpmri_monai.experiments.tables:Tables",
    "fusion-search": "mpmri_monai.experiments.fusion_search:FusionSearch",
    "permutation": "mpmri_monai.experiments.permutation:Permutation",
    "retraining": "mpmri_monai.experiments.retraining:Retraining",
    "robustness": "mpmri_monai.experiments.robustness:Robustness",
    "missing": "mpmri_monai.experiments.missing:Missing",
    "depth": "mpmri_monai.experiments.depth:Depth",
    "data-size": "mpmri_monai.experiments.data_size:DataSize",
    "convergence": "mpmri_monai.experiments.convergence:Convergence",
    "grid": "mpmri_monai.experiments.grid:GridSearch",
    "leave-one-out": "mpmri_monai.experiments.leave_one_out:LeaveOneOut",
    "shapes": "mpmri_monai.experiments.shapes:Shapes",
    "finding": "mpmri_monai.experiments.finding:Finding",
    "mctl-tables": "mpmri_monai.experiments.mctl_tables:MctlTables",
}
"""Where the class of each experiment is; it takes no argument."""


def experiment(name: str) -> Experiment:
    """Return the experiment called ``name``.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(expected=f"an experiment among {', '.join(EXPERIMENTS)}", found=repr(name), code="E_OPTION")
    module, _, kind = EXPERIMENTS[name].partition(":")
    return getattr(import_module(module), kind)()
