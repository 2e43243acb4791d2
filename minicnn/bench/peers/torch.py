"""PyTorch: channels_last, RMSprop over all weights at once (foreach), the best of eager and compiled."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from minicnn.bench.neutral import Convolution, Layer, Network, channels_first_kernel
from minicnn.bench.peers import Candidates, Job, batches, epoch_order
from minicnn.config import num_threads

torch.set_num_threads(num_threads())

SLOW = ("compiled",)

EPSILON = 1e-7**0.5
"""PyTorch adds ε outside the square root and Keras inside, as 1e-7: with its root both agree where a gradient is 0."""
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU}  # softmax and sigmoid belong to the loss here


class Average(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def modules(layer: Layer) -> list[nn.Module]:
    """The modules of one layer, without its weights' values. Strides are 1."""
    arguments, activation = layer.arguments, ACTIVATIONS.get(layer.arguments.get("activation") or "")
    after = [activation()] if activation else []
    if layer.kind == "Conv2D":
        size, filters = arguments["kernel_size"], arguments["filters"]
        return [nn.Conv2d(layer.input_shape[-1], filters, size, padding=arguments["padding"]), *after]
    if layer.kind == "Dense":
        return [nn.Linear(layer.input_shape[-1], arguments["units"]), *after]
    if layer.kind == "MaxPooling2D":
        return [nn.MaxPool2d(arguments["pool_size"])]
    return [nn.Flatten() if layer.kind == "Flatten" else Average()]


def build(network: Network) -> nn.Sequential:
    """The network up to its logits."""
    layers = network.resolved()
    model = nn.Sequential(*(module for layer in layers for module in modules(layer)))
    set_weights(model, torch_weights(network))
    return model.to(memory_format=torch.channels_last)


def torch_weights(network: Network) -> list[torch.Tensor]:
    """The network's weights in PyTorch's order of axes."""
    layers, arrays = network.resolved(), iter(network.weights())
    flattened = {
        id(after): before.input_shape for before, after in pairwise(layers) if before.kind == "Flatten"
    }
    tensors = []
    for layer in layers:
        if not layer.weight_shapes:
            continue
        kernel, bias = next(arrays), next(arrays)
        if id(layer) in flattened:
            kernel = channels_first_kernel(kernel, flattened[id(layer)])
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        tensors += [torch.tensor(kernel.transpose(axes)), torch.tensor(bias)]
    return tensors


def keras_gradients(network: Network, model: nn.Sequential) -> dict[str, np.ndarray]:
    """The gradients that backward has left, in Keras's order of axes."""
    before_flat = next((layer.input_shape for layer in network.resolved() if layer.kind == "Flatten"), None)
    answers, is_first_dense = {}, True
    for k, parameter in enumerate(model.parameters()):
        gradient = np.asarray(parameter.grad)
        if gradient.ndim == 4:
            gradient = gradient.transpose(2, 3, 1, 0)
        elif gradient.ndim == 2:
            gradient = gradient.T
            if before_flat and is_first_dense:
                height, width, channels = before_flat
                gradient = gradient.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
                gradient = gradient.reshape(height * width * channels, -1)
            is_first_dense = False
        answers[f"gradient {k}"] = gradient
    return answers


def set_weights(model: nn.Module, weights: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), weights, strict=True):
            parameter.copy_(value)


def channels_last(x: np.ndarray) -> torch.Tensor:
    """(N, H, W, C) → (N, C, H, W) over the same memory."""
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def loss_of(network: Network, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if network.loss == "binary_crossentropy":
        return F.binary_cross_entropy_with_logits(logits, y)
    return F.cross_entropy(logits, y)


def train_step(network: Network, batch_size: int, steps: int) -> Candidates:
    def job(compiled: bool) -> Job:
        images, targets = batches(network, batch_size, steps)
        x, y, weights = channels_last(images), torch.from_numpy(targets), torch_weights(network)
        model = build(network)
        optimizer = torch.optim.RMSprop(model.parameters(), 1e-3, 0.9, EPSILON, foreach=True)

        def loss_and_logits(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = model(x)
            return loss_of(network, logits, y), logits

        function = torch.compile(loss_and_logits) if compiled else loss_and_logits

        def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            optimizer.zero_grad(set_to_none=True)
            loss, _ = function(x, y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        def epoch() -> float:
            total = torch.zeros(())
            for rows in epoch_order(steps * batch_size, batch_size):
                total += step(x[rows], y[rows])
            return float(total)

        def answers() -> dict[str, np.ndarray]:
            loss = function(x[:batch_size], y[:batch_size])[0]
            loss.backward()
            return {"first loss": np.array([loss.item()])} | keras_gradients(network, model)

        return Job(answers, epoch, steps, lambda: set_weights(model, weights))

    return {"eager": partial(job, False), "compiled": partial(job, True)}


def inference(network: Network, batch_size: int, steps: int) -> Candidates:
    def job(compiled: bool) -> Job:
        x, model = channels_last(network.examples(batch_size)[0]), build(network).eval()
        is_binary = network.loss == "binary_crossentropy"

        def outputs(x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(model(x)) if is_binary else torch.softmax(model(x), -1)

        function = torch.compile(outputs) if compiled else outputs

        def run() -> np.ndarray:
            with torch.inference_mode():
                return function(x).numpy()

        return Job(lambda: {"predictions": run()}, run, batch_size)

    return {"eager": partial(job, False), "compiled": partial(job, True)}


def convolve(convolution: Convolution, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """TensorFlow's 'same' is asymmetric with strides, so that it needs padding of its own there."""
    (top, left), (bottom, right) = convolution.window.pads_before, convolution.window.pads_after
    padding: Any = (top, left)
    if convolution.padding == "valid":
        padding = 0
    elif (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), 0
    return F.conv2d(x, w, b, convolution.stride, padding, convolution.dilation, convolution.groups)


def conv_tensors(convolution: Convolution) -> tuple[torch.Tensor, ...]:
    x, w, b, dy = convolution.arrays()
    kernel = torch.tensor(w.transpose(3, 2, 0, 1)).to(memory_format=torch.channels_last)
    return channels_last(x), kernel, torch.from_numpy(b), channels_last(dy)


def convolution_forward(convolution: Convolution) -> Candidates:
    def job() -> Job:
        x, w, b, _ = conv_tensors(convolution)

        def run() -> np.ndarray:
            with torch.inference_mode():
                return convolve(convolution, x, w, b).permute(0, 2, 3, 1).numpy()

        return Job(lambda: {"y": run()}, run)

    return {"eager": job}


def convolution_both(convolution: Convolution) -> Candidates:
    def job() -> Job:
        *leaves, dy = conv_tensors(convolution)
        x, w, b = (leaf.requires_grad_() for leaf in leaves)

        def run() -> dict[str, np.ndarray]:
            y = convolve(convolution, x, w, b)
            dx, dw, db = torch.autograd.grad(y, (x, w, b), dy)
            images = {"y": y.detach(), "dx": dx}
            arrays = {name: image.permute(0, 2, 3, 1).numpy() for name, image in images.items()}
            return arrays | {"dw": dw.permute(2, 3, 1, 0).numpy(), "db": db.numpy()}

        return Job(run, run)

    return {"eager": job}
