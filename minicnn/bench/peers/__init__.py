"""The contestants: one file each, each building the same network or convolution with the given weights.

A peer's module has a function for every job that it supports, named like the job:

    train_step(network, batch_size, steps) → Candidates
    inference(network, batch_size, steps) → Candidates        # steps is not used
    convolution_forward(convolution) → Candidates
    convolution_both(convolution) → Candidates
    build(network) → model              # with `train_on_batch`: for the time to the first step
    listing() → None                    # the whole of `minicnn train`, once in a process: for its memory

and may have SLOW, words in the names of variants that compile too long for `minicnn bench --quick`. Only these modules
import other libraries.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minicnn.bench.neutral import Network

NAMES = ("minicnn", "reference", "keras", "torch", "jax", "onnxruntime", "sgemm")
REQUIRES = {
    "keras": ("keras", "tensorflow"),
    "torch": ("torch",),
    "jax": ("jax",),
    "onnxruntime": ("onnx", "onnxruntime"),
}
"""Modules without which a peer is left out."""

CHECKED_STEPS = 3
"""Training steps whose losses are compared before anything is timed."""


class Job(NamedTuple):
    """One way of one peer to do a job, ready to be run."""

    answers: Callable[[], dict[str, np.ndarray]]
    """What it computes, to be compared with the reference's arrays of the same names; changes nothing."""
    run: Callable[[], object]
    """What is timed."""
    units: float = 1.0
    """Steps, images or calls in one run."""
    prepare: Callable[[], object] = lambda: None
    """Before every sample, not timed: the initial weights, so that every sample is of the same work."""


Candidates = dict[str, Callable[[], Job]]
"""By variant, how it is built. The fastest of those that give the right answers is timed."""


def load(name: str) -> ModuleType:
    """The peer's module; its libraries are imported by it."""
    return import_module(f"minicnn.bench.peers.{name}")


def missing(name: str) -> list[str]:
    """The modules that a peer needs and that aren't installed."""
    return [module for module in REQUIRES.get(name, ()) if find_spec(module) is None]


def batches(network: Network, batch_size: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and targets of `steps` batches, at least of those that are checked."""
    return network.examples(batch_size * max(steps, CHECKED_STEPS))


def epoch_order(number: int, batch_size: int) -> list[Any]:
    """The rows of each batch of a shuffled epoch, for peers whose training loop is the user's own."""
    order = np.random.default_rng().permutation(number)
    return [order[first : first + batch_size] for first in range(0, number, batch_size)]
