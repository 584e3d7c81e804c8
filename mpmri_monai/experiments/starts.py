"""Where training starts and how much of the network it tunes: what the experiments on transfer compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpmri_monai.bundle.provenance import SCRATCH
from mpmri_monai.bundle.recipes import NETWORK_HEAD, RECIPES
from mpmri_monai.errors import ConfigError
from mpmri_monai.experiments.context import Context
from mpmri_monai.experiments.question import Question, recipe
from mpmri_monai.networks import INITS, LAYERS
from mpmri_monai.report.wording import plural

DEEP, SHALLOW = len(LAYERS), 2
CLASSICAL = "logistic"
"""Depth 0 has no layer to tune: a logistic regression is fitted to what the pretrained network sees."""
OPTIONS = ("epochs", "views", "pretrained", "recipe")
"""Options of every experiment on transfer."""
RECIPE = "layerwise"
WEIGHTS = "pretrained.pt"

SAME_RECIPE = (
    "Every start gets the same recipe and the same number of epochs, with the rates that the recipe's paper has: "
    "layer-wise, on pretrained weights alone the head learns ten times and biases learn twice as fast; in the recipe "
    "paper, scratch has twice the rate. The rate of the layer-wise recipe is small, for weights that are good already: "
    "where the training accuracy of a network from scratch is low, it was under-fitted, and less than its best. "
    "--option recipe=paper trains all of them by Adam."
)


@dataclass(frozen=True)
class Start:
    """One way to begin and to tune.

    Attributes:
        name: safe as a folder's.
        title: in words.
        options: overrides of the training configuration that make it.
    """

    name: str
    title: str
    options: Mapping[str, Any]


def scratch(init: str) -> Start:
    """Return random weights, all of them trained."""
    options = {"pretrained": SCRATCH, "init": init, "finetune_depth": DEEP, "head": NETWORK_HEAD}
    return Start(f"scratch-{init}", f"scratch ({init.capitalize()})", options)


def tuned(depth: int, weights: str, title: str = "") -> Start:
    """Return pretrained weights of which the last ``depth`` layers are tuned."""
    head = NETWORK_HEAD if depth else CLASSICAL
    options = {"pretrained": weights, "finetune_depth": depth, "head": head}
    return Start(f"depth{depth}", title or f"depth {depth}", options)


def five_starts(context: Context, question: Question) -> list[Start]:
    """Return scratch by each initialisation, shallow tuning (``--option depth``) and deep tuning.

    Raises:
        ConfigError: the depth is no shallow one, or there are no weights to start from.
    """
    depth, weights = context.option("depth", SHALLOW), pretrained_weights(context, question)
    if not 1 <= depth < DEEP:
        raise ConfigError(expected=f"a shallow depth from 1 to {DEEP - 1}", found=str(depth), code="E_OPTION")
    layers = f"{depth} layers" if depth > 1 else "layer"
    shallow = tuned(depth, weights, f"shallow tuning (last {layers})")
    return [*map(scratch, INITS), shallow, tuned(DEEP, weights, f"deep tuning (all {DEEP} layers)")]


def pretrained_weights(context: Context, question: Question) -> str:
    """Return the file of the option ``pretrained``, or that which the bundle ships.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(context.option("pretrained", str(question.bundle / "models" / WEIGHTS)))
    if not path.is_file():
        raise ConfigError(
            expected="a file of pretrained weights to start from",
            found=f"no file {path}",
            fix="give --option pretrained=FILE; the bundle natural_pretrain makes such files",
            code="E_WEIGHTS",
        )
    return str(path.resolve())


def training(context: Context, question: Question) -> dict[str, Any]:
    """Return the overrides that all starts of an experiment share: recipe, epochs, views.

    Raises:
        ConfigError: there is no such recipe; a number that is none.
    """
    name = context.option("recipe", RECIPE)
    if name not in RECIPES:
        raise ConfigError(expected=f"a recipe among {', '.join(RECIPES)}", found=repr(name), code="E_OPTION")
    return {"recipe": name, **recipe(context, question)}


def training_in_words(context: Context, question: Question) -> str:
    """Return what all starts share, in words."""
    epochs = recipe(context, question).get("max_epochs", question.config["max_epochs"])
    weights = Path(pretrained_weights(context, question)).name
    return (
        f"{question.sentence} Fusion {question.fusion}. Pretrained weights {weights}; recipe "
        f"{context.option('recipe', RECIPE)}, {plural(epochs, 'epoch')}, the last one counts."
    )
