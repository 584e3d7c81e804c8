"""The picture of a contact sheet: one row a sequence, views of the same place below each other."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from mpmri_monai.report.contact_sheet import Row, Sheet
from mpmri_monai.report.contact_views import Outline, Panel
from mpmri_monai.report.style import CONTOUR, DOTS_PER_INCH, INK, RESEARCH_ONLY, SMALL, TEXT

VIEW, GAP, LABEL, MARGIN = 2.05, 0.06, 1.75, 0.12  # inches: a view, between views, the words of a row, the edge
HEAD, LINE, FOOT, ABSENT = 0.43, 0.17, 0.32, 0.3  # inches: heights
LETTERS_PER_INCH = 12.5
"""So many letters of the small text fit into an inch."""
OTHERS_A_LINE, OTHER, OTHER_TEXT = 6, 1.3, 0.34
PROBLEMS_SHOWN = 6
WARNING = "#8C2D04"
ON_BLACK = [Stroke(linewidth=2.0, foreground="black", alpha=0.8), Normal()]


def draw_sheet(sheet: Sheet) -> Figure:
    """Draw a contact sheet; its height follows the number of rows."""
    columns = len(sheet.columns)
    width = max(2 * MARGIN + LABEL + columns * (VIEW + GAP), 2 * MARGIN + OTHERS_A_LINE * (OTHER + GAP))
    lesions = textwrap.wrap("; ".join(sheet.lesions) or "no lesion given", round(LETTERS_PER_INCH * width))
    problems = _problem_lines(sheet, round(LETTERS_PER_INCH * width))
    lines = -(-len(sheet.others) // OTHERS_A_LINE)
    rows = sum(VIEW + GAP if row.panels else ABSENT for row in sheet.rows)
    others = (LINE * 2 + lines * (OTHER + OTHER_TEXT)) if sheet.others else 0.0
    height = HEAD + (len(lesions) + len(problems)) * LINE + LINE + rows + others + FOOT
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    page = _Page(figure, width, height)
    page.text(MARGIN, 0.2, sheet.name, size=TEXT + 4, weight="bold")
    top = HEAD
    for line in lesions:
        page.text(MARGIN, top, line)
        top += LINE
    for line in problems:
        page.text(MARGIN, top, line, colour=WARNING)
        top += LINE
    for index, title in enumerate(sheet.columns):
        page.text(MARGIN + LABEL + index * (VIEW + GAP), top + LINE / 2, title, weight="bold")
    top += LINE
    for row in sheet.rows:
        top = _draw_row(page, row, columns, top)
    if sheet.others:
        _draw_others(page, sheet.others, top + LINE)
    page.text(MARGIN, height - FOOT / 2, f"{_legend(sheet)}{RESEARCH_ONLY}", colour=WARNING, weight="bold")
    return figure


class _Page:
    """A figure on which things are placed in inches from the top left corner."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self.figure, self.width, self.height = figure, width, height

    def text(
        self, left: float, top: float, words: str, size: float = SMALL, colour: str = INK, weight: str = "normal"
    ) -> None:
        place = (left / self.width, 1 - top / self.height)
        self.figure.text(*place, words, fontsize=size, color=colour, fontweight=weight, va="center", parse_math=False)

    def axes(self, left: float, top: float, side: float) -> Axes:
        bottom = 1 - (top + side) / self.height
        return self.figure.add_axes((left / self.width, bottom, side / self.width, side / self.height))


def _problem_lines(sheet: Sheet, width: int) -> list[str]:
    lines = [line for problem in sheet.problems[:PROBLEMS_SHOWN] for line in textwrap.wrap(problem, width)]
    more = len(sheet.problems) - PROBLEMS_SHOWN
    return [*lines, f"and {more} more findings"] if more > 0 else lines


def _legend(sheet: Sheet) -> str:
    outlines = [
        outline for row in sheet.rows for panel in row.panels if isinstance(panel, Panel) for outline in panel.outlines
    ]
    if not outlines:
        return ""
    dotted = "; dotted: the mask ends before this slice" if any(outline.projected for outline in outlines) else ""
    return f"Line: the mask{dotted}. "


def _draw_row(page: _Page, row: Row, columns: int, top: float) -> float:
    """Draw one sequence and return where the next begins."""
    if not row.panels:
        page.text(MARGIN, top + ABSENT / 2, row.name, size=TEXT + 2, weight="bold", colour="#888888")
        page.text(MARGIN + LABEL, top + ABSENT / 2, textwrap.shorten(row.facts[0], 110), colour=WARNING)
        return top + ABSENT
    page.text(MARGIN, top + 0.2, row.name, size=TEXT + 2, weight="bold")
    line = top + 0.45
    for words in row.facts:
        page.text(MARGIN, line, words)
        line += LINE
    for words in textwrap.wrap(" ".join(row.cautions), 24):
        page.text(MARGIN, line, words, colour=WARNING, weight="bold")
        line += LINE
    for index, panel in enumerate(row.panels[:columns]):
        axes = page.axes(MARGIN + LABEL + index * (VIEW + GAP), top, VIEW)
        draw_panel(axes, panel, row.window)
    return top + VIEW + GAP


def _draw_others(page: _Page, others: tuple[Row, ...], top: float) -> None:
    page.text(MARGIN, top, "Volumes without a role (middle slice)", weight="bold")
    for index, row in enumerate(others):
        line, column = divmod(index, OTHERS_A_LINE)
        left = MARGIN + column * (OTHER + GAP)
        place = top + LINE + line * (OTHER + OTHER_TEXT)
        draw_panel(page.axes(left, place, OTHER), row.panels[0], row.window, captions=False)
        page.text(left, place + OTHER + 0.09, row.name)
        page.text(left, place + OTHER + 0.22, " ".join([*row.facts, *row.cautions])[:26], size=SMALL - 1)


def draw_panel(axes: Axes, panel: Panel | str, window: tuple[float, float], captions: bool = True) -> None:
    """Draw an acquired slice with its outlines, or why there is none.

    Args:
        axes: square.
        panel: the view, or the reason.
        window: signal shown as black and as white.
        captions: whether slice and width are written into the picture.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    if isinstance(panel, str):
        axes.set_facecolor("#F4F4F4")
        axes.patch.set(hatch="//", edgecolor="#CFCFCF")
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}
        words = "\n".join(textwrap.wrap(panel, 26)[:6])
        axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=SMALL, color=INK, bbox=box, parse_math=False)
        return
    axes.set_facecolor("black")
    low, high = window
    axes.imshow(panel.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest", extent=panel.edges_mm)
    for outline in panel.outlines:
        _draw_outline(axes, outline, panel)
    half = panel.field_mm / 2
    axes.set_xlim(-half, half)
    axes.set_ylim(half, -half)
    axes.text(0.02, 0.5, panel.left, transform=axes.transAxes, color="white", fontsize=SMALL, path_effects=ON_BLACK)
    if captions:
        words = f"{panel.caption}, {panel.field_mm:.0f} mm wide"
        axes.text(0.02, 0.03, words, transform=axes.transAxes, color="white", fontsize=SMALL - 2, path_effects=ON_BLACK)


def _draw_outline(axes: Axes, outline: Outline, panel: Panel) -> None:
    if not outline.inside.any():
        return
    left, right, bottom, top = panel.edges_mm
    rows, columns = outline.inside.shape
    # One empty pixel all around closes the line of a mask that reaches the edge of the view.
    inside = np.pad(outline.inside.astype(float), 1)
    across = left + (np.arange(-1, columns + 1) + 0.5) * (right - left) / columns
    down = top + (np.arange(-1, rows + 1) + 0.5) * (bottom - top) / rows
    style = ":" if outline.projected else "-"
    lines = axes.contour(across, down, inside, levels=[0.5], colors=[CONTOUR], linewidths=0.9, linestyles=[style])
    lines.set_path_effects([Stroke(linewidth=1.8, foreground="black", alpha=0.5), Normal()])
