"""Pictures: arrays in, matplotlib Axes out. Matplotlib is imported when the first picture is drawn.

Nothing here touches pyplot or rcParams: figures work without a display and in any thread, and leave a user's own
plots alone.
"""

from minicnn.viz.confusion import confusion_matrix
from minicnn.viz.digits import misclassified
from minicnn.viz.files import save, save_animation
from minicnn.viz.history import history_curves
from minicnn.viz.lines import lines
from minicnn.viz.tiles import mosaic, overlays, tiles

__all__ = [
    "confusion_matrix",
    "history_curves",
    "lines",
    "misclassified",
    "mosaic",
    "overlays",
    "save",
    "save_animation",
    "tiles",
]
