"""A run of a model that keeps every value and every gradient: op by op, nothing fused, by the reference."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import losses
from minicnn.engine import ops
from minicnn.engine.parallel import Executor
from minicnn.engine.plan import INPUT, make_plan
from minicnn.layers.layer import Layer
from minicnn.models import Model
from minicnn.models.chain import Chain, join_loss


@dataclass(frozen=True)
class Part:
    """The ops of one layer, as positions in the recording's list of ops."""

    layer: Layer
    start: int
    stop: int


@dataclass(frozen=True)
class Recording:
    """`values[k]` and `gradients[k]` belong to the input of `ops[k]`, those at k + 1 to its output."""

    ops: tuple[ops.Op, ...]
    parts: tuple[Part, ...]
    values: tuple[np.ndarray, ...]
    gradients: tuple[np.ndarray, ...]
    """Empty when nothing but the forward pass was asked for."""
    weights: dict[str, np.ndarray]
    weight_gradients: dict[str, np.ndarray]
    target: np.ndarray | None = None
    """What the loss compared the predictions with."""
    seed: np.ndarray | None = None
    """The gradient of the loss by each sample's loss, or of what was asked for by the outputs."""

    def part(self, name: str) -> Part:
        """The ops of the layer `name`.

        Raises:
            ValueError: no layer has this name; the message lists those there are.
        """
        for part in self.parts:
            if part.layer.name == name:
                return part
        raise ValueError(
            f"`layer` must be one of {[part.layer.name for part in self.parts]}. Received layer={name!r}."
        )

    def w(self, k: int) -> tuple[np.ndarray, ...]:
        """The weights of `ops[k]`."""
        return tuple(self.weights[path] for path in self.ops[k].parameters)


def record(model: Model, x: Any, y: Any = None, dy: Any = None) -> Recording:
    """Run `model` on the batch x, and backward from its loss against y, or from the outputs' gradients dy, if given.

    In inference mode: Dropout does nothing. The reference backend is taken because it is direct: a product for every
    tap, where the kernels may take Winograd's way.

    Raises:
        ValueError: x that the model doesn't take, y that the loss doesn't, dy of another shape than the outputs', or y
            for a model compiled without a loss.
    """
    x = np.ascontiguousarray(model.build_for(np.asarray(x)), model.dtype)
    chain, parts = _lowered(model, x.shape[1:])
    loss = None
    if y is not None:
        chain, parts, loss = _with_loss(model, chain, parts)
    names = [op.name for op in chain]
    backward = y is not None or dy is not None
    variables = model.variables if backward else []
    plan = make_plan(
        chain,
        x.shape[1:],
        backend="reference",
        dtype=model.dtype,
        gradients=[v.path for v in variables],
        value_gradients=[INPUT, *names[:-1]] if backward else (),
        intermediates=names,
    )
    by_path = {v.path: v for v in variables}
    executor = Executor(plan, [by_path[path] for path in plan.gradients])
    shape = (len(x), *plan.output_shape)
    target, seed = None, None
    if loss is not None:
        target, seed = (
            loss.targets(np.asarray(y), shape, model.dtype),
            loss.seed(shape[:-1], None, model.dtype),
        )
    elif dy is not None:
        seed = _as_gradient(dy, shape, model.dtype)
    batch = executor.run(model.parameters(), x, target=target, seed=seed)
    gradients = [batch.value_gradients[name] for name in (INPUT, *names[:-1])] if backward else []
    if backward and seed is not None:
        gradients.append(seed)
    return Recording(
        tuple(plan.steps[k].op for k in range(len(chain))),
        parts,
        (x, *(batch.values[name] for name in names)),
        tuple(gradients),
        {v.path: v.numpy() for v in model.variables},
        {path: g.copy() for path, g in zip(plan.gradients, executor.gradients, strict=True)},
        target,
        seed,
    )


def _lowered(model: Model, shape: ops.Shape) -> tuple[list[ops.Op], tuple[Part, ...]]:
    chain: list[ops.Op] = []
    parts: list[Part] = []
    for layer in leaves(model):
        start = len(chain)
        for op in layer.lower(shape):
            chain.append(op)
            shape = op.output_shape(shape)
        parts.append(Part(layer, start, len(chain)))
    return chain, tuple(parts)


def leaves(model: Chain) -> Iterator[Layer]:
    """The layers of a model, those of models among them in their place."""
    for layer in model.layers:
        if isinstance(layer, Chain):
            yield from leaves(layer)
        else:
            yield layer


def _with_loss(
    model: Model, chain: list[ops.Op], parts: tuple[Part, ...]
) -> tuple[list[ops.Op], tuple[Part, ...], losses.Loss]:
    """The chain with its loss, which belongs to the layer whose softmax or sigmoid it contains, or to none."""
    if not model.compiled or model.loss is None:
        raise ValueError(
            "A gradient by a loss needs a model compiled with one; without it give `dy`, the gradient by the outputs."
        )
    loss = losses.resolve(model.loss)
    last = max(k for k, op in enumerate(chain) if not isinstance(op, ops.Identity))
    joined = join_loss(chain[: last + 1], loss.lower("loss", model.last_op))
    if len(joined) > last + 1:
        return [*chain, joined[-1]], parts, loss
    end = last + 1
    return joined, tuple(Part(p.layer, min(p.start, end), min(p.stop, end)) for p in parts), loss


def _as_gradient(dy: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = np.ascontiguousarray(dy, dtype)
    if array.shape != shape:
        raise ValueError(f"`dy` must have the outputs' shape {shape}. Received shape {array.shape}.")
    return array
