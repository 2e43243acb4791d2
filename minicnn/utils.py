"""Small things users need around a model. Names and meanings are Keras's."""

import random as python_random
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import random
from minicnn.checks import integer, is_integer
from minicnn.progbar import Progbar

__all__ = ["Progbar", "PyDataset", "set_random_seed", "to_categorical"]


class PyDataset:
    """Base of data sets that make their batches in Python: subclasses define `__len__` and `__getitem__`.

    `dataset[k]` is batch k, for k in range(len(dataset)): x, (x, y) or (x, y, sample_weight).

    Args:
        workers: threads that make batches ahead; 1 for none.
        use_multiprocessing: not implemented; only False is accepted when the data set is used.
        max_queue_size: batches made ahead at most.

    Raises:
        ValueError: workers or max_queue_size not a positive integer.
    """

    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers = integer("workers", workers, 1)
        self.use_multiprocessing = bool(use_multiprocessing)
        self.max_queue_size = integer("max_queue_size", max_queue_size, 1)

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define `__getitem__`.")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define `__len__`.")

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self.num_batches))

    @property
    def num_batches(self) -> int:
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before the first batch of an epoch is asked for."""

    def on_epoch_end(self) -> None:
        """Called after the last one."""


def set_random_seed(seed: int) -> None:
    """Make everything that follows repeatable: initial weights, Dropout, the order of samples.

    Python's and NumPy's own generators are seeded too, as in Keras, for the user's code; minicnn doesn't use them.

    Raises:
        ValueError: not a non-negative integer below 2³², which is what NumPy takes.
    """
    if not is_integer(seed) or not 0 <= seed < 2**32:
        raise ValueError(f"`seed` must be an integer in [0, 2³²). Received seed={seed!r}.")
    python_random.seed(int(seed))
    np.random.seed(int(seed))
    random.reset_stream(int(seed))


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot vectors of labels: integers (*N) or (*N, 1) → float64 (*N, num_classes), 1 at the label and 0 elsewhere.

    `num_classes` is by default the largest label plus one.

    Raises:
        TypeError: not numbers.
        ValueError: a label that isn't an integer or not one of 0, …, num_classes − 1; no labels to count classes by.
    """
    labels = np.asarray(x)
    if labels.dtype.kind not in "fiub":
        raise TypeError(f"Labels must be numbers. Received an array of dtype {labels.dtype}.")
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        if not whole.all():
            raise ValueError(f"Labels must be integers. Received a label {labels[~whole].flat[0]}.")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if not num_classes:
        if not labels.size:
            raise ValueError("`num_classes` must be given when there are no labels. Received x of size 0.")
        num_classes = int(labels.max()) + 1
    count = integer("num_classes", num_classes, 1)
    if labels.size and not (labels.min() >= 0 and labels.max() < count):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"Labels must be 0 … {count - 1} for {count} classes. Received a label {wrong}.")
    one_hot = np.zeros((labels.size, count))
    one_hot[np.arange(labels.size), labels.reshape(-1).astype(np.intp)] = 1
    return one_hot.reshape(*labels.shape, count)
