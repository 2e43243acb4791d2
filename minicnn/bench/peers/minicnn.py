"""minicnn itself, as its users run it: `fit`, `predict_on_batch`, and for a convolution's backward pass its engine."""

import contextlib
from typing import Any

import numpy as np

from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.peers import CHECKED_STEPS, Candidates, Job, batches


def build(network: Network, backend: str = "numba") -> Any:
    """The network with its weights, compiled for training."""
    from minicnn import Input, layers, models

    stack = [getattr(layers, kind)(**arguments) for kind, arguments in network.layers]
    model = models.Sequential([Input(network.input_shape), *stack])
    model.set_weights(network.weights())
    model.compile("rmsprop", network.loss, metrics=["accuracy"], backend=backend)
    return model


def first_losses(model: Any, x: np.ndarray, y: np.ndarray, batch_size: int) -> np.ndarray:
    """Losses of the first steps on batches in order."""
    rows = [slice(k * batch_size, (k + 1) * batch_size) for k in range(CHECKED_STEPS)]
    return np.array([model.train_on_batch(x[part], y[part])[0] for part in rows])


def train_step(network: Network, batch_size: int, steps: int, backend: str = "numba") -> Candidates:
    def job() -> Job:
        x, y = batches(network, batch_size, steps)
        model = build(network, backend)

        def answers() -> dict[str, np.ndarray]:
            gradients = model.gradients(x[:batch_size], y[:batch_size]).weights.values()
            losses = first_losses(build(network, backend), x, y, batch_size)
            return {"losses": losses} | {f"gradient {k}": g for k, g in enumerate(gradients)}

        return Job(
            answers,
            lambda: model.fit(x[: steps * batch_size], y[: steps * batch_size], batch_size, verbose=0),
            steps,
            lambda: model.set_weights(network.weights()),
        )

    return {"fit": job}


def inference(network: Network, batch_size: int, steps: int, backend: str = "numba") -> Candidates:
    def job() -> Job:
        x, _ = network.examples(batch_size)
        model = build(network, backend)
        return Job(
            lambda: {"predictions": model.predict_on_batch(x)}, lambda: model.predict_on_batch(x), batch_size
        )

    return {"predict_on_batch": job}


def conv_layer(convolution: Convolution, w: np.ndarray, b: np.ndarray) -> Any:
    from minicnn import Input, layers, models

    layer = layers.Conv2D(
        convolution.filters,
        convolution.kernel,
        convolution.stride,
        convolution.padding,
        dilation_rate=convolution.dilation,
        groups=convolution.groups,
    )
    model = models.Sequential([Input(convolution.input_shape), layer])
    model.set_weights([w, b])
    return model


def convolution_forward(convolution: Convolution) -> Candidates:
    def job() -> Job:
        x, w, b, _ = convolution.arrays()
        model = conv_layer(convolution, w, b)
        return Job(lambda: {"y": model.predict_on_batch(x)}, lambda: model.predict_on_batch(x))

    return {"predict_on_batch": job}


def convolution_both(convolution: Convolution) -> Candidates:
    def job() -> Job:
        from minicnn.engine.parallel import Executor
        from minicnn.engine.plan import INPUT, make_plan

        x, w, b, dy = convolution.arrays()
        layer = conv_layer(convolution, w, b).layers[-1]
        parameters = layer.parameters()
        plan = make_plan(
            layer.lower(convolution.input_shape),
            convolution.input_shape,
            training=True,
            gradients=list(parameters),
            value_gradients=[INPUT],
        )
        executor = Executor(plan, layer.variables)

        def run() -> Any:
            return executor.run(parameters, x, seed=dy)

        def answers() -> dict[str, np.ndarray]:
            batch = run()
            dw, db = executor.gradients
            return {"y": batch.outputs, "dx": batch.value_gradients[INPUT], "dw": dw, "db": db}

        return Job(answers, run)

    return {"a plan of one op": job}


def listing() -> None:
    """`minicnn train` with one epoch, as the command runs it."""
    import runpy
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as out:
        sys.argv = ["minicnn", "train", "--epochs", "1", "--out", out]
        with contextlib.suppress(SystemExit):
            runpy.run_module("minicnn", run_name="__main__")
