"""What all pictures share: colours, sizes, and figures that belong to nobody's global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours ("Color Universal Design", 2008) stay apart for colour-blind readers. Wherever colour
# carries a meaning, so does a marker, a line style or a number: the pictures read in black and white too.
BLUE = "#0072B2"
VERMILLION = "#D55E00"
INK = "#222222"
FAINT = "#767676"  # 4.5 : 1 on white, the least that WCAG 2 calls readable
GRID = "#E4E4E4"
# The other four of Okabe and Ito's that are dark enough for a line on white.
SERIES: list[dict[str, Any]] = [
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": VERMILLION, "linestyle": "--", "marker": "s"},
    {"color": "#009E73", "linestyle": "-.", "marker": "^"},
    {"color": "#CC79A7", "linestyle": ":", "marker": "D"},
    {"color": "#E69F00", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": INK, "linestyle": (0, (1, 1)), "marker": "P"},
]
"""One look for each line of a picture, apart in colour, dashes and markers."""

PAD_IN = 0.1
SMALL_SIZE = 8.5
TITLE: dict[str, Any] = {"fontsize": 11, "color": INK}
LABEL: dict[str, Any] = {"fontsize": 9.5, "color": FAINT}


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty white figure that lays itself out; pyplot doesn't know of it."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=PAD_IN, h_pad=PAD_IN)
    return Figure(figsize=(width_in, height_in), layout=layout, facecolor="white")


def clean(ax: Axes) -> None:
    """Leave of the frame only the left and the lower line, in grey, with small dark tick labels."""
    ax.set_facecolor("white")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FAINT)
    ax.tick_params(colors=FAINT, labelcolor=INK, labelsize=SMALL_SIZE)
