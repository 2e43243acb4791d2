"""Whatever `fit`, `evaluate` and `predict` accept, as batches.

Three kinds of source, one interface: arrays, datasets (`__getitem__` gives a batch) and generators of batches. A
source is checked once, when it is made; `epoch(e)` then yields its batches. For arrays and datasets the order is a
function of seed and epoch alone, so a resumed run sees what the interrupted one would have seen.
"""

import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from minicnn import config
from minicnn.engine.rows import Rows
from minicnn.models import data_arguments as arguments
from minicnn.models.data_arguments import split_validation, unpack

__all__ = [
    "ArrayData",
    "Batch",
    "Data",
    "DatasetData",
    "GeneratorData",
    "make_data",
    "split_validation",
    "unpack",
]

DEFAULT_BATCH_SIZE = 32


class Batch(NamedTuple):
    """Owned, contiguous arrays: x (n, …) in floatx; y (n, …), floats in floatx, integers as they came; weights (n,).

    Instead of x there may be the rows of a data set that it consists of, still to be gathered.
    """

    x: np.ndarray | Rows
    y: np.ndarray | None = None
    sample_weight: np.ndarray | None = None


class Data:
    """A source of batches."""

    num_batches: int | None = None
    """Batches in an epoch, as far as they are known: what a progress bar counts towards."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, counted from 0, from batch `start` on."""
        raise NotImplementedError

    def skip(self, taken: int) -> None:
        """Go on behind `taken` batches that an interrupted training has had, where they can't be had by number."""

    def peek(self) -> Batch:
        """The first batch, without consuming it: a model is built for its shapes."""
        raise NotImplementedError


def make_data(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool | str = False,
    class_weight: Mapping[int, float] | None = None,
    seed: int = 0,
    finite: bool = True,
) -> Data:
    """Check everything that can be checked before the first step, and return the source.

    Args:
        x: an array of examples (N, …), or what becomes one: a list, a memory map; or a dataset or a generator whose
            batches are tuples (x,), (x, y) or (x, y, sample_weight).
        y, sample_weight: as long as x; None for datasets and generators, whose batches hold them.
        batch_size: examples in a batch, by default 32 or what `steps` needs. Datasets and generators ignore it.
        steps: batches in an epoch; the next epoch goes on where it stopped. None: one pass over the data.
        shuffle: True for a new order of examples (of batches, for a dataset) every epoch; 'batch' keeps each batch's
            examples together and permutes only these. Generators ignore it.
        class_weight: the weight of each example by its class; 1 for classes that it doesn't name.
        finite: whether NaN and infinities are refused: when the source is made for arrays in memory, batch by batch
            for everything else. `config.check_finite = False` turns it off everywhere.

    Raises:
        TypeError: arrays that don't hold real numbers.
        ValueError: anything else that can't be a source of batches, or doesn't fit together.
    """
    size = None if batch_size is None else arguments.positive_integer("batch_size", batch_size)
    steps = None if steps is None else arguments.positive_integer("steps", steps)
    if not isinstance(shuffle, bool | np.bool_) and shuffle != "batch":
        raise ValueError(f"`shuffle` must be True, False or 'batch'. Received shuffle={shuffle!r}.")
    if x is None:
        raise ValueError("`x` must be an array, a dataset or a generator. Received x=None.")

    if not arguments.is_stream(x):
        arrays = arguments.examples(x, y, sample_weight, class_weight, finite=finite)
        return ArrayData(arrays, size, steps, shuffle, seed, finite)
    kind = "generator" if isinstance(x, Iterator) else "dataset"
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"`{name}` must be None when x is a {kind}: its batches hold it.")
    if kind == "dataset":
        return DatasetData(x, steps, shuffle, seed, class_weight, finite)
    if class_weight is not None:
        raise ValueError(
            "`class_weight` must be None when x is a generator: its batches can hold sample weights."
        )
    return GeneratorData(x, steps, finite)


class IndexedData(Data):
    """Batches that can be had in any order: a pass is a permutation of `count` things, cut into batches.

    With `steps`, epochs share a pass: each takes the next `steps` batches, the last one of a pass what is left.
    """

    def __init__(
        self, count: int, pass_length: int, steps: int | None, shuffle: bool | str, seed: int
    ) -> None:
        self.count = count
        self.pass_length = pass_length
        self.steps = steps
        self.num_batches = steps or pass_length
        self.shuffle = shuffle
        self.seed = seed

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        steps = self.steps or self.pass_length
        pass_number, share = divmod(epoch, ceil(self.pass_length / steps))
        indices = range(share * steps, min((share + 1) * steps, self.pass_length))
        yield from self.batches(self.order(pass_number), pass_number, indices[start:])
        if len(indices) < steps:
            warn_ran_out(steps, len(indices))

    def order(self, pass_number: int) -> np.ndarray:
        if self.shuffle and self.shuffle != "batch":
            return np.random.default_rng([self.seed, pass_number]).permutation(self.count)
        return np.arange(self.count)

    def batches(self, order: np.ndarray, pass_number: int, indices: Sequence[int]) -> Iterator[Batch]:
        """The batches of a pass with these indices."""
        raise NotImplementedError


class ArrayData(IndexedData):
    """Arrays: rows are gathered and cast batch by batch, so the arrays are never copied whole."""

    def __init__(
        self,
        arrays: arguments.Arrays,
        batch_size: int | None,
        steps: int | None,
        shuffle: bool | str,
        seed: int,
        finite: bool,
    ) -> None:
        n = len(arrays[0])
        self.arrays = arrays
        self.batch_size = batch_size or (ceil(n / steps) if steps else DEFAULT_BATCH_SIZE)
        self.check_each = finite and any(a is not None and arguments.is_mapped(a) for a in arrays)
        super().__init__(n, ceil(n / self.batch_size), steps, shuffle, seed)

    def batches(self, order: np.ndarray, pass_number: int, indices: Sequence[int]) -> Iterator[Batch]:
        for k in indices:
            rows = order[k * self.batch_size : (k + 1) * self.batch_size]
            if self.shuffle == "batch":
                rows = np.random.default_rng([self.seed, pass_number, k]).permutation(rows)
            yield self._batch(rows)

    def _batch(self, rows: np.ndarray) -> Batch:
        """Images that need no cast wait for the threads that will read them."""
        x, y, weight = self.arrays
        can_wait = not self.check_each and x.flags.c_contiguous and x.dtype == config.floatx()
        # Not `take`, which copies a whole array first that isn't C-contiguous.
        images = x[:0] if can_wait else x[rows]
        y = None if y is None else y[rows]
        weight = None if weight is None else weight[rows]
        if self.check_each:
            arguments.check_finite(images, y, weight)
        batch = cast(images, y, weight)
        return batch._replace(x=Rows(x, rows)) if can_wait else batch

    def peek(self) -> Batch:
        return self._batch(np.arange(min(self.batch_size, self.count)))


class DatasetData(IndexedData):
    """A `utils.PyDataset`, or whatever has its methods: `__getitem__(k)` is batch k."""

    def __init__(
        self,
        dataset: Any,
        steps: int | None,
        shuffle: bool | str,
        seed: int,
        class_weight: Mapping[int, float] | None,
        finite: bool,
    ) -> None:
        length = dataset.num_batches if hasattr(dataset, "num_batches") else len(dataset)
        if length is None or length < 1:
            raise ValueError(
                f"A dataset must know that it has at least one batch. Received {length} batches."
            )
        if getattr(dataset, "use_multiprocessing", False):
            raise ValueError("`use_multiprocessing` must be False: `workers` are threads. Received True.")
        self.dataset = dataset
        self.class_weight = class_weight
        self.finite = finite
        super().__init__(length, length, steps, bool(shuffle), seed)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        self.dataset.on_epoch_begin()
        try:
            yield from super().epoch(epoch, start)
        finally:
            self.dataset.on_epoch_end()

    def batches(self, order: np.ndarray, pass_number: int, indices: Sequence[int]) -> Iterator[Batch]:
        wanted = (int(order[k]) for k in indices)
        workers = getattr(self.dataset, "workers", 1)
        if workers <= 1:
            yield from map(self.batch, wanted)
            return
        pool = ThreadPoolExecutor(workers, thread_name_prefix="minicnn-dataset")
        try:
            ahead = deque(pool.submit(self.batch, k) for k in islice(wanted, self.dataset.max_queue_size))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(self.batch, k) for k in islice(wanted, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, index: int) -> Batch:
        return standard_batch(self.dataset[index], f"Batch {index}", self.class_weight, self.finite)

    def peek(self) -> Batch:
        return self.batch(0)


class GeneratorData(Data):
    """A generator of batches, consumed once: with `steps` an epoch takes as many, without them all that are left."""

    def __init__(self, generator: Iterator[Any], steps: int | None, finite: bool) -> None:
        first = next(generator, None)
        if first is None:
            raise ValueError("A generator must yield at least one batch. Received an empty generator.")
        if not isinstance(first, tuple):
            raise ValueError(
                "A generator must yield tuples (x,), (x, y) or (x, y, sample_weight). "
                f"Received a {type(first).__name__}."
            )
        self.steps = steps
        self.num_batches = steps
        self.first = standard_batch(first, "Batch 0", None, finite)
        rest = (standard_batch(item, f"Batch {k}", None, finite) for k, item in enumerate(generator, 1))
        self.batches = chain([self.first], rest)

    def skip(self, taken: int) -> None:
        for _ in islice(self.batches, taken):
            pass

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        yielded = start
        for batch in islice(self.batches, None if self.steps is None else self.steps - start):
            yielded += 1
            yield batch
        expected = self.num_batches or 1
        if yielded < expected:
            warn_ran_out(expected, yielded)
        self.num_batches = self.num_batches or yielded

    def peek(self) -> Batch:
        return self.first


def standard_batch(item: Any, what: str, class_weight: Mapping[int, float] | None, finite: bool) -> Batch:
    """One batch of a stream, checked like arrays; `what` says which."""
    parts = tuple(item) if isinstance(item, tuple | list) else (item,)
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            f"{what} must be a tuple (x,), (x, y) or (x, y, sample_weight). Received {len(parts)} elements."
        )
    x, y, weight = (*parts, None, None)[:3]
    return cast(*arguments.examples(x, y, weight, class_weight, finite=finite, what=f"{what}: "))


def cast(x: np.ndarray, y: np.ndarray | None, weight: np.ndarray | None) -> Batch:
    """Floats become floatx, and so do integer and bool images; integer labels stay what they are."""
    floatx = config.floatx()
    if y is not None:
        y = np.ascontiguousarray(y, floatx if y.dtype.kind == "f" else None)
    if weight is not None:
        weight = np.ascontiguousarray(weight, floatx)
    return Batch(np.ascontiguousarray(x, floatx), y, weight)


def warn_ran_out(expected: int, received: int) -> None:
    """Keras's situation: keras/src/trainers/epoch_iterator.py, `_interrupted_warning`."""
    warnings.warn(
        "The input ran out of data, so the epoch ends early: it must have at least `steps_per_epoch * epochs` "
        f"batches. Expected {expected} in this epoch, received {received}.",
        stacklevel=4,
    )
