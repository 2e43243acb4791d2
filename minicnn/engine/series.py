"""Training steps one after the other in one piece: machine code goes on to the next batch by itself.

Between two steps Python has little to do that couldn't be done for many of them at once: it chooses the samples, says
how far the weights go, counts losses and metrics. But each time it costs a tenth of a small net's step, in one thread.
So a step that is known, all of it kernels, is repeated for as many batches as are at hand.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.engine.binding import kernels_only
from minicnn.engine.tape import Tape
from minicnn.engine.workspace import Workspace
from minicnn.recording import run_or_repair


class Update(NamedTuple):
    """How machine code takes an optimizer's next steps."""

    begin: Tape
    """Once in each step, before the weights change: have the numbers of this step read."""
    slices: Sequence[Tape]
    """All together update the weights from the gradient."""
    begun: np.ndarray
    """(1,) int64: in how many steps `begin` has been done."""


class NotFiniteError(Exception):
    """A loss isn't finite: the weights stay as they are until somebody has looked at them."""


def between_batches(workspaces: Sequence[Workspace], chunks: Sequence[slice], distances: np.ndarray) -> Tape:
    """What sees that all losses of a step are finite and turns the workspaces to the same chunks of the next batch.

    `distances` are `Job.distances` whenever the tape is repeated; now they are zero.
    """
    for ws, chunk in zip(workspaces, chunks, strict=True):
        ws.input("losses", chunk.stop - chunk.start)[...] = 0  # those of the last batch are looked at already
    tape = Tape()
    tape.do(_see_to_next, workspaces, chunks, distances)
    return tape.finish()


@kernels_only
def _see_to_next(workspaces: Sequence[Workspace], chunks: Sequence[slice], distances: np.ndarray) -> None:
    from minicnn.kernels._copy import move_on
    from minicnn.kernels.elementwise import all_finite

    for ws, chunk in zip(workspaces, chunks, strict=True):
        losses = ws.input("losses", chunk.stop - chunk.start)
        run_or_repair(all_finite, (losses.reshape(-1),), _stop)
        move_on(ws.cells, distances)


def _stop() -> None:
    raise NotFiniteError
