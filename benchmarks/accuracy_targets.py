"""Who is measured: one function a target, from a configuration and its arrays to results by name.

Names are those of `accuracy_oracles.Exact`. Frameworks are imported when their target is made, each in a process of
its own. Losses are taken for each sample; gradients are those of their sum.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.accuracy_corpus import ACTIVATIONS, Arrays, Case, pads

Results = dict[str, np.ndarray]
Target = Callable[[Case, Arrays], Results]

OPTIMIZERS = ("sgd", "rmsprop", "adam")
MOMENTUM, RHO, BETAS, EPSILON = 0.9, 0.9, (0.9, 0.999), 1e-7
CLIP = 1e-7


def make_target(name: str) -> Target:
    """'numba', 'reference', 'keras' or 'torch'."""
    return {"keras": _keras, "torch": _torch}[name]() if name in ("keras", "torch") else _ours(name)


# Ours: a plan of one op, run as `fit` runs it: in chunks of the plan's own size, over the accumulators


def _ours(backend: str) -> Target:
    from minicnn.engine import ops
    from minicnn.engine.parallel import Executor
    from minicnn.engine.parameters import Variable
    from minicnn.engine.plan import INPUT, make_plan
    from minicnn.geometry import make_window
    from minicnn.losses import sparse_categorical_crossentropy

    losses = {
        "categorical_logits": ops.SoftmaxCrossEntropy,
        "sparse_logits": ops.SoftmaxCrossEntropy,
        "binary_logits": ops.SigmoidCrossEntropy,
        "categorical_probabilities": ops.CategoricalCrossEntropy,
        "binary_probabilities": ops.BinaryCrossEntropy,
    }
    simple = {name: getattr(ops, name.capitalize()) for name in (*ACTIVATIONS, "softmax")}

    def window_of(case: Case, size: Any = None, kernel: Any = None, strides: Any = None) -> Any:
        own = (case["x"][1:3], case["kernel"], case["strides"]) if size is None else (size, kernel, strides)
        if size is not None:
            return make_window(*map(tuple, own))
        return make_window(*map(tuple, own), case["padding"], tuple(case["dilation"]))

    def op_of(case: Case) -> Any:
        kind = case["op"]
        with_weights = {"name": "op", "parameters": ("w", "b")}
        if kind == "dense":
            return ops.Dense(**with_weights, units=case["filters"])
        if kind in losses or kind in simple:
            return (losses | simple)[kind](name="op")
        window = window_of(case)
        if kind == "conv2d":
            return ops.Conv2D(**with_weights, window=window, filters=case["filters"], groups=case["groups"])
        if kind == "conv_relu_pool":
            pool = window_of(case, window.output_size, (2, 2), (2, 2))
            return ops.ConvReLUPool(**with_weights, window=window, filters=case["filters"], pool=pool)
        return {"average_pool2d": ops.AveragePool2D, "max_pool2d": ops.MaxPool2D}[kind](
            name="op", window=window
        )

    def run(case: Case, data: Arrays) -> Results:
        if case["op"] in OPTIMIZERS:
            return {"step": _our_step(case, data, backend)}
        if case["op"] == "sparse_probabilities":  # a function of arrays: no model trains by it
            return {"forward": sparse_categorical_crossentropy(data["t"], data["x"])}
        op, x = op_of(case), data["x"]
        x = x.reshape(len(x), -1) if case["op"] in ACTIVATIONS else x
        params = {path: data[path] for path in op.parameters}
        plan = make_plan(
            (op,),
            x.shape[1:],
            training=True,
            backend=backend,
            gradients=op.parameters,
            value_gradients=[INPUT],
        )
        executor = Executor(plan, [Variable(array, name=path) for path, array in params.items()])
        target = data.get("t")
        if target is not None and target.ndim == 1:
            target = np.eye(x.shape[1], dtype=np.float32)[target]
        seed = data["dy"].reshape(len(x), *plan.output_shape) if "dy" in data else np.ones(len(x), np.float32)
        batch = executor.run(params, x, target=target, seed=seed)
        results = {"forward": batch.outputs if batch.losses is None else batch.losses}
        results["dx"] = batch.value_gradients[INPUT]
        if op.parameters:
            results["dw"], results["db"] = (g.copy() for g in executor.gradients)
        if case["op"] in ACTIVATIONS:
            return {name: array.reshape(data["x"].shape) for name, array in results.items()}
        return results

    return run


def _our_step(case: Case, data: Arrays, backend: str) -> np.ndarray:
    from minicnn import optimizers
    from minicnn.optimizers.optimizer import MOST_NUMBERS, Scalars

    rate = case["learning_rate"]
    optimizer = {
        "sgd": lambda: optimizers.SGD(rate, MOMENTUM),
        "rmsprop": lambda: optimizers.RMSprop(rate, RHO, epsilon=EPSILON),
        "adam": lambda: optimizers.Adam(rate, *BETAS, EPSILON),
    }[case["op"]]()
    w, g, first, second = (data[name].copy() for name in ("w", "g", "first", "second"))
    scalars = Scalars(rate, case.get("step", 1), np.zeros(MOST_NUMBERS))
    numbers = optimizer.numbers(scalars, w.dtype)
    scalars.numbers[: len(numbers)] = numbers
    slots = {"sgd": [first], "rmsprop": [second], "adam": [first, second]}[case["op"]]
    optimizer.step_slice(w, g, slots, scalars, backend)
    return w


# Keras on TensorFlow: its layers and losses, called eagerly, which on a CPU runs the kernels that `fit` runs


def _keras() -> Target:
    import keras
    import tensorflow as tf

    layers, losses = keras.layers, keras.losses

    def gradients(function: Any, arrays: list[Any], dy: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        tensors = [tf.Variable(a) for a in arrays]
        with tf.GradientTape() as tape:
            y = function(*tensors)
        found = tape.gradient(y, tensors, None if dy is None else tf.constant(dy))
        return y.numpy(), [g.numpy() for g in found]

    def with_weights(layer: Any, data: Arrays) -> Results:
        layer.build((None, *data["x"].shape[1:]))
        layer.set_weights([data["w"], data["b"]])
        x = tf.Variable(data["x"])
        with tf.GradientTape() as tape:
            y = layer(x)
        wanted = [x, *(v.value for v in layer.trainable_variables)]
        found = tape.gradient(y, wanted, tf.constant(data["dy"]))
        return dict(zip(("forward", "dx", "dw", "db"), (t.numpy() for t in (y, *found)), strict=True))

    def convolution(case: Case, data: Arrays) -> Results:
        arguments = {
            "strides": tuple(case["strides"]),
            "padding": case["padding"],
            "dilation_rate": tuple(case["dilation"]),
            "groups": case["groups"],
        }
        layer = layers.Conv2D(case["filters"], tuple(case["kernel"]), **arguments)
        if case["op"] == "conv_relu_pool":
            layer = _Chain(layer, lambda z: layers.MaxPooling2D(2)(layers.ReLU()(z)))
        return with_weights(layer, data)

    def pooling(case: Case, data: Arrays) -> Results:
        kind = layers.MaxPooling2D if case["op"] == "max_pool2d" else layers.AveragePooling2D
        layer = kind(tuple(case["kernel"]), tuple(case["strides"]), case["padding"])
        y, (dx,) = gradients(layer, [data["x"]], data["dy"])
        return {"forward": y, "dx": dx}

    def loss(case: Case, data: Arrays) -> Results:
        kind, _, form = case["op"].partition("_")
        names = {"categorical": "categorical", "sparse": "sparse_categorical", "binary": "binary"}
        function = getattr(losses, names[kind] + "_crossentropy")
        values, (dx,) = gradients(
            lambda x: function(data["t"], x, from_logits=form == "logits"), [data["x"]], None
        )
        return {"forward": values, "dx": dx}

    def step(case: Case, data: Arrays) -> Results:
        makers = {
            "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=MOMENTUM),
            "rmsprop": lambda rate: keras.optimizers.RMSprop(rate, RHO, epsilon=EPSILON),
            "adam": lambda rate: keras.optimizers.Adam(rate, *BETAS, epsilon=EPSILON),
        }
        optimizer, w = makers[case["op"]](case["learning_rate"]), keras.Variable(data["w"])
        optimizer.build([w])
        optimizer.iterations.assign(case["step"] - 1)
        slots = {"sgd": ["first"], "rmsprop": ["second"], "adam": ["first", "second"]}[case["op"]]
        slot_variables = [v for v in optimizer.variables if tuple(v.shape) == data["w"].shape]
        for variable, name in zip(slot_variables, slots, strict=True):
            variable.assign(data[name])
        optimizer.apply([tf.constant(data["g"])], [w])
        return {"step": w.numpy()}

    def run(case: Case, data: Arrays) -> Results:
        op = case["op"]
        if op in ("conv2d", "conv_relu_pool"):
            return convolution(case, data)
        if op == "dense":
            return with_weights(layers.Dense(case["filters"]), data)
        if op.endswith("pool2d"):
            return pooling(case, data)
        if op in OPTIMIZERS:
            return step(case, data)
        if "_" in op:
            return loss(case, data)
        layer = layers.Softmax() if op == "softmax" else layers.Activation(op)
        y, (dx,) = gradients(layer, [data["x"]], data["dy"])
        return {"forward": y, "dx": dx}

    return run


class _Chain:
    """A Keras layer followed by a function, with what `with_weights` needs of a layer."""

    def __init__(self, layer: Any, rest: Any) -> None:
        self.layer, self.rest = layer, rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)

    def __call__(self, x: Any) -> Any:
        return self.rest(self.layer(x))


# PyTorch, eagerly


def _torch() -> Target:
    import torch
    import torch.nn.functional as F

    def tensor(a: np.ndarray) -> Any:
        return torch.from_numpy(np.ascontiguousarray(a)).clone()

    def image(a: np.ndarray) -> Any:
        return tensor(np.moveaxis(a, -1, 1))

    def back(t: Any) -> np.ndarray:
        return np.moveaxis(t.detach().numpy(), 1, -1)

    def padding(case: Case) -> tuple[int, int, int, int]:
        (top, bottom), (left, right) = pads(case)
        return left, right, top, bottom

    def convolution(case: Case, data: Arrays) -> Results:
        x, b = image(data["x"]).requires_grad_(), tensor(data["b"]).requires_grad_()
        w = tensor(data["w"].transpose(3, 2, 0, 1)).requires_grad_()
        padded = F.pad(x, padding(case)) if any(padding(case)) else x
        strides, dilation = tuple(case["strides"]), tuple(case["dilation"])
        y = F.conv2d(padded, w, b, stride=strides, dilation=dilation, groups=case["groups"])
        if case["op"] == "conv_relu_pool":
            y = F.max_pool2d(F.relu(y), 2)
        dx, dw, db = torch.autograd.grad(y, [x, w, b], image(data["dy"]))
        return {
            "forward": back(y),
            "dx": back(dx),
            "dw": dw.numpy().transpose(2, 3, 1, 0),
            "db": db.numpy(),
        }

    def dense(case: Case, data: Arrays) -> Results:
        x, w, b = (tensor(data[name]).requires_grad_() for name in ("x", "w", "b"))
        y = torch.addmm(b, x, w)
        found = torch.autograd.grad(y, [x, w, b], tensor(data["dy"]))
        return dict(
            zip(("forward", "dx", "dw", "db"), (t.detach().numpy() for t in (y, *found)), strict=True)
        )

    def pooling(case: Case, data: Arrays) -> Results:
        """PyTorch pads neither at one side only nor leaves that out of the mean: −∞, or sums over counts."""
        x = image(data["x"]).requires_grad_()
        kernel, strides = tuple(case["kernel"]), tuple(case["strides"])
        has_pads = any(padding(case))
        if case["op"] == "max_pool2d":
            padded = F.pad(x, padding(case), value=-torch.inf) if has_pads else x
            y = F.max_pool2d(padded, kernel, strides)
        elif has_pads:
            total, count = (
                F.avg_pool2d(F.pad(values, padding(case)), kernel, strides, divisor_override=1)
                for values in (x, torch.ones_like(x))
            )
            y = total / count
        else:
            y = F.avg_pool2d(x, kernel, strides)
        (dx,) = torch.autograd.grad(y, x, image(data["dy"]))
        return {"forward": back(y), "dx": back(dx)}

    def clipped(p: Any) -> Any:
        return p.clamp(CLIP, 1 - CLIP)

    def loss(case: Case, data: Arrays) -> Results:
        """PyTorch has no categorical loss of probabilities and clips the binary one elsewhere: its ops, written out."""
        x, t = tensor(data["x"]).requires_grad_(), tensor(data["t"])
        op = case["op"]
        if op == "binary_logits":
            values = F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(-1)
        elif op == "binary_probabilities":
            values = F.binary_cross_entropy(clipped(x), t, reduction="none").mean(-1)
        elif op.endswith("_logits"):
            values = F.cross_entropy(x, t.long() if op == "sparse_logits" else t, reduction="none")
        elif op == "sparse_probabilities":
            q = clipped(x)
            values = F.nll_loss((q / q.sum(-1, keepdim=True)).log(), t.long(), reduction="none")
        else:
            values = -(t * clipped(x / x.sum(-1, keepdim=True)).log()).sum(-1)
        (dx,) = torch.autograd.grad(values.sum(), x)
        return {"forward": values.detach().numpy(), "dx": dx.numpy()}

    def step(case: Case, data: Arrays) -> Results:
        rate, w = case["learning_rate"], tensor(data["w"]).requires_grad_()
        first, second, t = (
            tensor(data["first"]),
            tensor(data["second"]),
            torch.tensor(float(case["step"] - 1)),
        )
        optimizer, state = {
            "sgd": lambda: (torch.optim.SGD([w], rate, MOMENTUM), {"momentum_buffer": first}),
            "rmsprop": lambda: (
                torch.optim.RMSprop([w], rate, RHO, EPSILON),
                {"step": t, "square_avg": second},
            ),
            "adam": lambda: (
                torch.optim.Adam([w], rate, BETAS, EPSILON),
                {"step": t, "exp_avg": first, "exp_avg_sq": second},
            ),
        }[case["op"]]()
        optimizer.state[w] = state
        w.grad = tensor(data["g"])
        optimizer.step()
        return {"step": w.detach().numpy()}

    def run(case: Case, data: Arrays) -> Results:
        op = case["op"]
        if op in ("conv2d", "conv_relu_pool"):
            return convolution(case, data)
        if op == "dense":
            return dense(case, data)
        if op.endswith("pool2d"):
            return pooling(case, data)
        if op in OPTIMIZERS:
            return step(case, data)
        if "_" in op:
            return loss(case, data)
        x = tensor(data["x"]).requires_grad_()
        functions = {"softmax": lambda z: F.softmax(z, -1), "sigmoid": torch.sigmoid, "tanh": torch.tanh}
        y = functions.get(op, getattr(F, op))(x)
        (dx,) = torch.autograd.grad(y, x, tensor(data["dy"]))
        return {"forward": y.detach().numpy(), "dx": dx.numpy()}

    return run
