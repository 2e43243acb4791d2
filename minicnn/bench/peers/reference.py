"""The reference backend, plain NumPy: what every other peer's answers are compared with."""

import numpy as np

from minicnn import config
from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.peers import Candidates, Job, minicnn
from minicnn.reference.conv2d import conv2d_backward, conv2d_forward

BACKEND = "reference"


def train_step(network: Network, batch_size: int, steps: int) -> Candidates:
    # One step is asked for only as answers: in float64, because NumPy adds up a bias's 100,000 float32 gradients one
    # after the other, which was seen to be 1e-3 of the largest off for (20, 72, 72, 64).
    config.set_floatx("float64" if steps == 1 else "float32")
    return minicnn.train_step(network, batch_size, steps, BACKEND)


def inference(network: Network, batch_size: int, steps: int) -> Candidates:
    return minicnn.inference(network, batch_size, steps, BACKEND)


def convolution_forward(convolution: Convolution) -> Candidates:
    def job() -> Job:
        x, w, b, _ = convolution.arrays()

        def run() -> np.ndarray:
            return conv2d_forward(x, w, b, convolution.window, convolution.groups)[0]

        return Job(lambda: {"y": run()}, run)

    return {"conv2d_forward": job}


def convolution_both(convolution: Convolution) -> Candidates:
    def job() -> Job:
        x, w, b, dy = convolution.arrays()

        def run() -> dict[str, np.ndarray]:
            y, residuals = conv2d_forward(x, w, b, convolution.window, convolution.groups)
            dx, dw, db = conv2d_backward(dy, residuals)
            return {"y": y, "dx": dx, "dw": dw, "db": db}

        return Job(run, run)

    return {"conv2d_forward, conv2d_backward": job}
