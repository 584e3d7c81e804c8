"""The picture of an autoencoder: patches, what it is shown of them, and what it makes of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor

from mpmri_monai import artefacts
from mpmri_monai.networks import PatchAutoencoder
from mpmri_monai.report.style import DOTS_PER_INCH, INK, TEXT, new_figure
from mpmri_monai.training import SampleData
from mpmri_monai.training.reconstruction import VALIDATION_SEED
from mpmri_monai.transforms.batch import centre_crop

SHOWN = 8
"""Patches drawn at most (count)."""
TILE = 1.1
"""Side of one patch in the picture (inches)."""
ERROR_PERCENTILE = 99.0
"""Of the differences drawn, the one that is black (percent)."""


@torch.no_grad()
def draw_reconstructions(
    network: PatchAutoencoder, data: SampleData, fusion: Sequence[str], device: str | torch.device, path: Path
) -> None:
    """Draw the middle slice of a few patches, one a column: input, what the encoder sees of it, output, difference.

    Args:
        network: trained; one without masked blocks sees the input itself, and that row is left out.
        data: the patches, of which evenly spaced ones are drawn; the first channel that they show.
        fusion: names of the channels.
        device: of the network.
        path: of the PNG.
    """
    network.eval()
    chosen = torch.linspace(0, len(data.table) - 1, min(SHOWN, len(data.table))).round().long().numpy()
    image = centre_crop(torch.as_tensor(data.image[chosen], device=device), network.size)
    present = torch.as_tensor(data.present[chosen], device=device)
    channel = int(present.float().mean(dim=0).argmax())
    hidden = network.draw_hidden(image, torch.Generator().manual_seed(VALIDATION_SEED))
    scale, mean = network.standardise.range[channel], network.standardise.mean[channel]
    restored = network(image, present, hidden)[:, channel] * scale + mean
    rows = {"input": image[:, channel]}
    if hidden is not None:
        rows["shown"] = network.shown(image, present, hidden)[:, channel] * scale + mean
    rows |= {"output": restored, "difference": (restored - image[:, channel]).abs()}
    _draw({name: patches.cpu() for name, patches in rows.items()}, f"{fusion[channel]}, middle slice of patches", path)


def _draw(rows: dict[str, Tensor], title: str, path: Path) -> None:
    """Draw patches (patch, depth, row, column), one row a name; all but the difference share one grey scale."""
    low, high = (float(rows["input"].quantile(q)) for q in (0.0, 1.0))
    largest = float(rows["difference"].quantile(ERROR_PERCENTILE / 100)) or 1.0
    columns = len(rows["input"])
    figure = new_figure(TILE * columns + 0.9, TILE * len(rows) + 0.4)
    figure.suptitle(title, fontsize=TEXT, color=INK, x=0.01, ha="left", fontweight="bold")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, (name, patches) in zip(grid, rows.items(), strict=True):
        axes[0].set_ylabel(name, fontsize=TEXT, color=INK)
        difference = name == "difference"
        limits = {"vmin": 0.0, "vmax": largest} if difference else {"vmin": low, "vmax": high}
        for place, patch in zip(axes, patches, strict=True):
            place.imshow(patch[len(patch) // 2], cmap="gray_r" if difference else "gray", **limits)
            _bare(place)
    with artefacts.whole_file(path) as part:
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
