"""No library but a measure: how long the dense work of a training step takes at the rate of NumPy's matrix product."""

import numpy as np

from minicnn.bench.neutral import Network
from minicnn.bench.peers import Candidates, Job

SIZE = 2048
"""Of square float32 matrices, 17 GFLOP a product: large enough for the best rate, small enough for many samples."""


def train_step(network: Network, batch_size: int, steps: int) -> Candidates:
    def job() -> Job:
        a = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
        out = np.empty_like(a)
        dense_steps = SIZE**3 / (network.multiply_adds(training=True) * batch_size)
        return Job(dict, lambda: np.matmul(a, a, out=out), dense_steps)

    return {f"matrices of {SIZE}×{SIZE}": job}
