"""The pretrained weights that models of the paper start from: files that are named, or those that are shipped."""

from __future__ import annotations

from pathlib import Path

from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.published import Model, models
from mpmri_monai.experiments.repetitions import bundles_by_task
from mpmri_monai.report.wording import plural

SHIPPED = "natural_pretrain/models/cifar10_{pooling}{embedding}.pt"
"""Beside the folders of the given bundles."""


def pretrained_models(context: Context) -> list[Model]:
    """Return the paper's pretrained models of the given bundles' tasks."""
    tasks = bundles_by_task(context)
    return [model for model in models() if model.task in tasks and model.start == "pretrained"]


def pretrained_file(context: Context, model: Model) -> Path:
    """Return the weights that a pretrained model starts from.

    Raises:
        ConfigError: the file of the option ``pretrained`` is not there.
    """
    path = _place(context, model)
    if "pretrained" in context.options and not path.is_file():
        raise ConfigError(
            expected=f"a file of pretrained weights for {model.network}",
            found=f"no file {path}",
            fix="give --option pretrained=FILE; {pooling} (gap, spp) and {embedding} (2, 16, 32, 64) may stand in it",
            code="E_WEIGHTS",
        )
    return path.resolve()


def without_weights(context: Context) -> str:
    """Return what keeps the pretrained models from being trained, in words; empty when nothing does."""
    if "pretrained" in context.options:
        return ""
    places = [_place(context, model) for model in pretrained_models(context)]
    missing = list(dict.fromkeys(path.name for path in places if not path.is_file()))
    if not missing:
        return ""
    return f"needs {plural(len(missing), 'file')} of pretrained weights that natural_pretrain lacks: {missing[0]}" + (
        " and others" if len(missing) > 1 else ""
    )


def _place(context: Context, model: Model) -> Path:
    named = context.options.get("pretrained", str(context.bundles[0].resolve().parent / SHIPPED))
    return Path(named.replace("{pooling}", model.pooling).replace("{embedding}", str(model.embedding)))
