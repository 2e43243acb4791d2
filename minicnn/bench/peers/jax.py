"""JAX: one jitted function, NHWC, buffers donated."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from minicnn.bench.neutral import Layer, Network
from minicnn.bench.peers import CHECKED_STEPS, Candidates, Job, batches, epoch_order

RATE, DECAY, EPSILON = 1e-3, 0.9, 1e-7


def apply(layer: Layer, x: jax.Array, weights: list[jax.Array]) -> jax.Array:
    """One layer; softmax and sigmoid belong to the loss."""
    if layer.kind == "Conv2D":
        kernel, bias = weights
        padding = layer.arguments["padding"].upper()
        x = (
            lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            + bias
        )
    elif layer.kind == "Dense":
        kernel, bias = weights
        x = x @ kernel + bias
    elif layer.kind == "MaxPooling2D":
        size = (1, *layer.arguments["pool_size"], 1)
        x = lax.reduce_window(x, -jnp.inf, lax.max, size, size, "VALID")
    elif layer.kind == "GlobalAveragePooling2D":
        x = x.mean((1, 2))
    else:
        x = x.reshape(len(x), -1)
    return jax.nn.relu(x) if layer.arguments.get("activation") == "relu" else x


def logits_of(network: Network, weights: list[jax.Array], x: jax.Array) -> jax.Array:
    rest = iter(weights)
    for layer in network.resolved():
        x = apply(layer, x, [next(rest) for _ in layer.weight_shapes])
    return x


def loss_of(network: Network, weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    logits = logits_of(network, weights, x)
    if network.loss == "binary_crossentropy":
        return jnp.mean(jnp.maximum(logits, 0) - logits * y + jnp.log1p(jnp.exp(-jnp.abs(logits))))
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(logits), -1))


def train_step(network: Network, batch_size: int, steps: int) -> Candidates:
    def job() -> Job:
        x, y = batches(network, batch_size, steps)
        loss_and_gradients = jax.jit(jax.value_and_grad(partial(loss_of, network)))

        def step(weights: Any, means: Any, x: jax.Array, y: jax.Array) -> Any:
            """Keras's RMSprop."""
            loss, gradients = loss_and_gradients(weights, x, y)
            means = [DECAY * m + (1 - DECAY) * g * g for m, g in zip(means, gradients, strict=True)]
            updates = [RATE * g / jnp.sqrt(m + EPSILON) for m, g in zip(means, gradients, strict=True)]
            return [w - update for w, update in zip(weights, updates, strict=True)], means, loss

        jitted = jax.jit(step, donate_argnums=(0, 1))
        state: list[Any] = []

        def start() -> None:
            weights = [jnp.array(w) for w in network.weights()]
            state[:] = weights, [jnp.zeros_like(w) for w in weights]

        def advance(rows: Any) -> jax.Array:
            *state[:], loss = jitted(*state, x[rows], y[rows])
            return loss

        def epoch() -> float:
            return float(sum(advance(rows) for rows in epoch_order(steps * batch_size, batch_size)))

        def answers() -> dict[str, np.ndarray]:
            start()
            _, gradients = loss_and_gradients(state[0], x[:batch_size], y[:batch_size])
            losses = [advance(slice(k * batch_size, (k + 1) * batch_size)) for k in range(CHECKED_STEPS)]
            named = {f"gradient {k}": np.asarray(g) for k, g in enumerate(gradients)}
            return {"losses": np.array(losses)} | named

        return Job(answers, epoch, steps, start)

    return {"jit": job}


def inference(network: Network, batch_size: int, steps: int) -> Candidates:
    def job() -> Job:
        x, weights = network.examples(batch_size)[0], [jnp.array(w) for w in network.weights()]
        last = jax.nn.sigmoid if network.loss == "binary_crossentropy" else jax.nn.softmax
        function = jax.jit(lambda weights, x: last(logits_of(network, weights, x)))

        def run() -> np.ndarray:
            return np.asarray(function(weights, x))

        return Job(lambda: {"predictions": run()}, run, batch_size)

    return {"jit": job}
