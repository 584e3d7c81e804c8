"""The pictures of a study report: where a lesion is, what the network saw of it, where it looked, how it enhances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpmri_monai.report.contact_figure import draw_panel
from mpmri_monai.report.contact_views import Panel, View, close_view, target_of, whole_slice
from mpmri_monai.report.panels import central, middle_plane, show_absent, show_crop
from mpmri_monai.report.style import INK, NETWORK, SMALL, TEXT, class_style, new_figure, quiet
from mpmri_monai.report.tsic import PHASES
from mpmri_monai.volumes import Mask, Stack

if TYPE_CHECKING:
    from mpmri_monai.explain import Explanation

VIEW, CROP, TITLE = 2.3, 1.45, 0.3  # inches: an acquired slice, a crop, the line above either
CHANNELS_ACROSS = 3
LONGEST_NAME = 24
"""Characters of a name in a picture; a bundle of elsewhere may have any."""
BRIGHTEST = 99.5
"""Percentile of the signal in an acquired slice that is shown as white; fat and vessels alone lie above."""
ABOVE_NOTHING = 0.05
"""Grad-CAM below this share of the largest value is not painted."""
SMALLEST_CHANGE = 0.02
"""Of a probability: smaller changes are drawn as small as they are."""
AGAINST = "#B35806"
"""Bars of what spoke against the class; the dark end of the colour map of occlusion."""


@dataclass(frozen=True, eq=False)
class AcquiredView:
    """A slice as the scanner gave it, with the lesion's outline."""

    sequence: str
    panel: Panel


@dataclass(frozen=True, eq=False)
class LesionPictures:
    """What a report shows of one lesion, at its middle slice."""

    fusion: tuple[str, ...]
    image: NDArray[np.float32]
    """(channel, row, column) in [0, 1]: what the network saw, channels in the order of ``fusion``."""
    mask: NDArray[np.bool_] | None
    """(row, column); None when only the lesion's place is known."""
    present: Mapping[str, bool]
    """Sequence -> whether it is there at this slice."""
    grad_cam: NDArray[np.float32] | None = None
    """(row, column) in [0, 1]; None where the network has no such map."""
    occlusion: NDArray[np.float32] | None = None
    """(row, column): change of the probability when the place is covered."""
    views: tuple[AcquiredView, ...] = ()
    """Acquired slices: the whole one through the lesion, and its surroundings."""

    @classmethod
    def of(
        cls,
        fusion: Sequence[str],
        images: NDArray[np.float32],
        masks: Sequence[NDArray[np.bool_]] | None,
        present: NDArray[np.bool_],
        size: Sequence[int],
        explanation: Explanation | None = None,
        *,
        views: Sequence[AcquiredView] = (),
    ) -> LesionPictures:
        """Return the pictures of the middle one of a lesion's samples.

        Args:
            fusion: sequence names along the channels.
            images: stored crops (sample, channel, row, column) or (sample, channel, depth, row, column) in [0, 1].
            masks: one a sample, of the same grid; None when only the lesion's place is known.
            present: (sample, channel).
            size: of the network's input, along the last axes of ``images``.
            explanation: of the same samples.
            views: as of `acquired_views`.
        """
        middle = len(images) // 2
        maps = None if explanation is None else explanation.grad_cam
        covered = None if explanation is None else explanation.occlusion
        return cls(
            fusion=tuple(fusion),
            image=middle_plane(central(np.asarray(images[middle]), size), leading=1),
            mask=None if masks is None else middle_plane(central(np.asarray(masks[middle]), size), leading=0),
            present=dict(zip(fusion, map(bool, present[middle]), strict=True)),
            grad_cam=None if maps is None else middle_plane(maps[middle], leading=0),
            occlusion=None if covered is None else middle_plane(covered, leading=0),
            views=tuple(views),
        )


def acquired_views(sequence: str, stack: Stack, lesion: str, mask: Mask) -> tuple[AcquiredView, ...]:
    """Return the acquired slice through a lesion, whole and close; nothing where the stack does not reach it.

    Args:
        sequence: what the stack is.
        stack: of the study, in patient space.
        lesion: its id.
        mask: of the lesion, in patient space; a box is one too.
    """
    target = target_of(lesion, mask)
    panels = (
        whole_slice(stack, [target]),
        close_view(stack, View(lesion, target, target.centre_mm), [target]),
    )
    return tuple(AcquiredView(sequence, panel) for panel in panels if isinstance(panel, Panel))


def place_figure(pictures: LesionPictures) -> Figure:
    """Draw where the lesion is and what the network saw of it: acquired slices above, its channels below."""
    across = min(len(pictures.fusion), CHANNELS_ACROSS)
    down = -(-len(pictures.fusion) // across)
    rows = [VIEW + TITLE] * bool(pictures.views) + [down * (CROP + TITLE)]
    figure = new_figure(max(len(pictures.views) * (VIEW + 0.1), across * (CROP + 0.1), 3.0), sum(rows))
    *above, below = figure.subfigures(len(rows), 1, height_ratios=rows, squeeze=False)[:, 0]
    for part in above:
        panels = part.subplots(1, len(pictures.views), squeeze=False)[0]
        for axes, view in zip(panels, pictures.views, strict=True):
            draw_panel(axes, view.panel, _window(view.panel.image), captions=False)
            _title(axes, f"{plain(view.sequence)}, {view.panel.field_mm:.0f} mm wide")
    channels = below.subplots(down, across, squeeze=False).ravel()
    for axes in channels[len(pictures.fusion) :]:
        axes.set_axis_off()
    for axes, name, crop in zip(channels, pictures.fusion, pictures.image, strict=False):
        if pictures.present[name]:
            show_crop(axes, crop, pictures.mask, plain(name))
        else:
            show_absent(axes, crop.shape, plain(name), "missing")
    return figure


def maps_figure(pictures: LesionPictures) -> Figure | None:
    """Draw Grad-CAM and occlusion over the first sequence that is there; None when there is no map."""
    wanted = [draw for draw, found in ((_grad_cam, pictures.grad_cam), (_occlusion, pictures.occlusion))
              if found is not None]  # fmt: skip
    if not wanted:
        return None
    figure = new_figure(2.9 * len(wanted) + 0.2, 2.7)
    shown = next((i for i, name in enumerate(pictures.fusion) if pictures.present[name]), 0)
    for axes, draw in zip(figure.subplots(1, len(wanted), squeeze=False)[0], wanted, strict=True):
        draw(figure, axes, pictures, shown)
    return figure


def importance_figure(importance: Mapping[str, float], explained: str) -> Figure:
    """Draw by sequence how the probability of a class changes when it is left out."""
    names, values = [plain(name) for name in importance], list(importance.values())
    figure = new_figure(3.6, 0.75 + 0.3 * len(names))
    axes = figure.subplots()
    axes.barh(names, values, color=[NETWORK if value <= 0 else AGAINST for value in values], height=0.55)
    low, high = min(*values, 0.0), max(*values, 0.0)
    room = 0.35 * max(high - low, SMALLEST_CHANGE)  # for the number beside the bar
    for y, value in enumerate(values):
        side, align = (-1, "right") if value <= 0 else (1, "left")
        axes.text(value + side * 0.05 * room, y, signed(value), va="center", ha=align, fontsize=SMALL, color=INK)
    axes.axvline(0, color="#888888", linewidth=0.8)
    quiet(axes, x=f"change of the probability of {plain(explained)}")
    axes.set_xlim(low - room * (min(values) <= 0), high + room * (max(values) > 0))
    axes.set_ylim(len(names) - 0.5, -0.5)
    return figure


def enhancement_figure(
    curve: Mapping[str, float], cohort: Mapping[str, Mapping[str, float]], classes: Sequence[str], lesion: str
) -> Figure:
    """Draw the lesion's time–signal intensity curve among the mean curves of the classes in the training cohort.

    Args:
        curve: phase -> signal, relative to the plain phase.
        cohort: class -> curve of the same kind.
        classes: in order, for their colours.
        lesion: what to call it.
    """
    figure = new_figure(4.2, 3.2)
    axes = figure.subplots()
    phases = [phase for phase in PHASES if phase in curve or any(phase in other for other in cohort.values())]
    for name in classes:
        if name in cohort:
            style = class_style(classes, name) | {"linewidth": 1.3, "markersize": 4, "alpha": 0.9}
            _curve(axes, phases, cohort[name], f"{plain(name)}, training", style)
    _curve(axes, phases, curve, plain(lesion), {"color": INK, "marker": "o", "linewidth": 2.6, "markersize": 6})
    quiet(axes, y="signal ÷ own plain-phase signal")
    axes.set_xticks(range(len(phases)), [f"{phase}\n{PHASES[phase]}" for phase in phases])
    axes.legend(fontsize=SMALL, frameon=False)
    return figure


def signed(value: float) -> str:
    """Return a change with its sign, a true minus and two decimals."""
    return f"{value:+.2f}".replace("-", "−")


def plain(text: str) -> str:
    """Return a name that fits a picture and that matplotlib does not read as mathematics."""
    short = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
    return short.replace("$", r"\$")


def _curve(axes: Axes, phases: Sequence[str], curve: Mapping[str, float], label: str, style: dict) -> None:
    known = [phase for phase in phases if phase in curve]
    axes.plot([phases.index(phase) for phase in known], [curve[phase] for phase in known], label=label, **style)


def _window(image: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(image.min()), float(np.percentile(image, BRIGHTEST))
    return low, max(high, low + 1e-6)  # a constant slice is shown dark


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=SMALL, color=INK, pad=3)


def _grad_cam(figure: Figure, axes: Axes, pictures: LesionPictures, shown: int) -> None:
    _ground(axes, pictures, shown, "where the class is seen")
    painted = np.ma.masked_less(pictures.grad_cam, ABOVE_NOTHING)
    drawn = axes.imshow(painted, cmap="viridis", vmin=0, vmax=1, alpha=0.5, interpolation="bilinear")
    _scale(figure, axes, drawn, "Grad-CAM, share of largest")


def _occlusion(figure: Figure, axes: Axes, pictures: LesionPictures, shown: int) -> None:
    _ground(axes, pictures, shown, "what covering a place changes")
    reach = max(float(np.abs(pictures.occlusion).max()), 0.01)
    drawn = axes.imshow(
        pictures.occlusion, cmap="PuOr_r", vmin=-reach, vmax=reach, alpha=0.55, interpolation="bilinear"
    )
    _scale(figure, axes, drawn, "change of probability")


def _ground(axes: Axes, pictures: LesionPictures, shown: int, title: str) -> None:
    show_crop(axes, pictures.image[shown], pictures.mask, f"{title}\n(on {plain(pictures.fusion[shown])})")


def _scale(figure: Figure, axes: Axes, drawn: object, label: str) -> None:
    bar = figure.colorbar(drawn, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label(label, fontsize=TEXT - 2, color=INK)
    bar.ax.tick_params(labelsize=TEXT - 2, length=2)
    bar.outline.set_visible(False)
