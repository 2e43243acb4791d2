"""Networks and convolutions described for no library in particular, and their arrays: the same numbers for all peers.

Needs NumPy only, so that a peer's process loads nothing of ours that it doesn't use.
"""

from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from minicnn.geometry import Pair, make_window

Shape = tuple[int, ...]
SEED = 20261124


class Layer(NamedTuple):
    """One layer of a network, its arguments in full and its shapes (batch axis left out) known."""

    kind: str
    """Conv2D, MaxPooling2D, GlobalAveragePooling2D, Flatten or Dense."""
    arguments: dict[str, Any]
    """Keras's; those that DEFAULTS knows are always there."""
    input_shape: Shape
    output_shape: Shape

    @property
    def weight_shapes(self) -> tuple[Shape, ...]:
        """Of kernel and bias."""
        if self.kind == "Conv2D":
            filters = self.arguments["filters"]
            return (*self.arguments["kernel_size"], self.input_shape[-1], filters), (filters,)
        if self.kind == "Dense":
            return (self.input_shape[-1], self.arguments["units"]), (self.arguments["units"],)
        return ()

    @property
    def multiply_adds(self) -> int:
        """Of dense work forward, for one image."""
        if not self.weight_shapes:
            return 0
        return prod(self.output_shape[:-1]) * prod(self.weight_shapes[0])


DEFAULTS: dict[str, dict[str, Any]] = {
    "Conv2D": {"padding": "valid", "activation": None},
    "Dense": {"activation": None},
    "MaxPooling2D": {},
    "GlobalAveragePooling2D": {},
    "Flatten": {},
}


@dataclass(frozen=True)
class Network:
    """A chain of layers under Keras's names and arguments, and what it is trained on."""

    name: str
    input_shape: Shape
    """(H, W, C)."""
    layers: tuple[tuple[str, dict[str, Any]], ...]
    loss: str
    """categorical_crossentropy or binary_crossentropy."""
    batch_size: int
    """Of a training step, unless a measurement says otherwise."""
    data: str = "blocks"
    """'mnist' (images of (28, 28, 1), ten classes) or 'blocks' (see `examples`)."""
    input_scale: float = 1.0
    weight_scale: float = 1.0
    """Images and kernels are multiplied by these; below 1 also biases are 0, so that nothing hides what is tiny."""

    def resolved(self) -> list[Layer]:
        """The layers with their arguments in full and their shapes."""
        shape, layers = tuple(self.input_shape), []
        for kind, given in self.layers:
            arguments = DEFAULTS[kind] | given
            for name in ("kernel_size", "pool_size"):
                if name in arguments:
                    arguments[name] = pair(arguments[name])
            layers.append(Layer(kind, arguments, shape, output_shape(kind, arguments, shape)))
            shape = layers[-1].output_shape
        return layers

    def weights(self) -> list[np.ndarray]:
        """Kernel and bias of every layer that has them, in order, float32: Glorot's uniform kernels, small biases."""
        rng, arrays = np.random.default_rng(SEED), []
        is_tiny = min(self.input_scale, self.weight_scale) < 1
        for layer in self.resolved():
            for shape in layer.weight_shapes:
                if len(shape) == 1:
                    array = rng.normal(0, 0.0 if is_tiny else 0.05, shape)
                else:
                    fan = prod(shape[:-2]) * (shape[-2] + shape[-1])
                    array = rng.uniform(-1, 1, shape) * np.sqrt(6 / fan) * self.weight_scale
                arrays.append(array.astype(np.float32))
        return arrays

    def examples(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (number, H, W, C) and targets (number, classes), float32.

        'blocks' are 4×4 patches of colour with noise, and the class is the brightness of the first patch: something
        that can be learnt. On pure noise a net's ReLUs die, and work that is skipped then would be no honest saving.
        """
        if self.data == "mnist":
            from minicnn.datasets import mnist

            (pictures, classes), _ = mnist.load_data()
            index = np.arange(number) % len(pictures)
            images = np.divide(pictures[index, ..., np.newaxis], 255, dtype=np.float32)
            labels = classes[index].astype(int)
        else:
            height, width, channels = self.input_shape
            # Two generators: the first images are the same, however many there are.
            draw, draw_noise = (np.random.default_rng([SEED, k]).random for k in range(2))
            patches = draw((number, 4, 4, channels), np.float32)
            rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
            images = np.ascontiguousarray(patches[:, rows[:, np.newaxis], columns])
            images += np.float32(0.1) * draw_noise(images.shape, np.float32)
            labels = (patches[:, 0, 0, 0] * max(2, self.classes)).astype(int)
        if self.input_scale != 1:
            images = images * np.float32(self.input_scale)
        if self.classes == 1:
            return images, labels[:, np.newaxis].astype(np.float32)
        return images, np.eye(self.classes, dtype=np.float32)[labels]

    @property
    def classes(self) -> int:
        return self.resolved()[-1].output_shape[-1]

    def multiply_adds(self, training: bool) -> int:
        """Of dense work for one image: forward, and in training dw of every layer and dx of all but the first."""
        counts = [layer.multiply_adds for layer in self.resolved()]
        return sum(counts) * 3 - counts[0] if training else sum(counts)


def pair(size: Any) -> Pair:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def output_shape(kind: str, arguments: dict[str, Any], shape: Shape) -> Shape:
    """The shape after a layer, batch axis left out."""
    if kind == "Conv2D":
        window = make_window((shape[0], shape[1]), arguments["kernel_size"], (1, 1), arguments["padding"])
        return (*window.output_size, arguments["filters"])
    if kind == "MaxPooling2D":
        size = arguments["pool_size"]
        return (shape[0] // size[0], shape[1] // size[1], shape[2])
    if kind == "GlobalAveragePooling2D":
        return shape[-1:]
    return (arguments["units"],) if kind == "Dense" else (prod(shape),)


@dataclass(frozen=True)
class Convolution:
    """One Conv2D with a bias on one batch; sizes and strides are the same for rows and columns."""

    batch_size: int
    size: int
    channels: int
    filters: int
    kernel: int
    stride: int = 1
    padding: str = "valid"
    dilation: int = 1
    groups: int = 1

    @property
    def name(self) -> str:
        """'8x28x28x32-k3s1d1g1-64-same'."""
        image = f"{self.batch_size}x{self.size}x{self.size}x{self.channels}"
        return f"{image}-k{self.kernel}s{self.stride}d{self.dilation}g{self.groups}-{self.filters}-{self.padding}"

    @property
    def input_shape(self) -> Shape:
        """(H, W, C)."""
        return (self.size, self.size, self.channels)

    @property
    def window(self) -> Any:
        return make_window(
            (self.size, self.size), pair(self.kernel), pair(self.stride), self.padding, pair(self.dilation)
        )

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x (N, H, W, C), w (P, Q, C/groups, F), b (F,), dy (N, OH, OW, F): standard normal float32."""
        rng = np.random.default_rng(SEED)
        kernel = (self.kernel, self.kernel, self.channels // self.groups, self.filters)
        shapes = (
            (self.batch_size, *self.input_shape),
            kernel,
            (self.filters,),
            (self.batch_size, *self.window.output_size, self.filters),
        )
        x, w, b, dy = (rng.standard_normal(shape, np.float32) for shape in shapes)
        return x, w, b, dy

    @property
    def multiply_adds(self) -> int:
        """Of dense work forward, for the whole batch."""
        positions = self.batch_size * prod(self.window.output_size)
        return positions * self.filters * self.kernel**2 * (self.channels // self.groups)


def from_dict(content: dict[str, Any]) -> Network | Convolution:
    """What `dataclasses.asdict` and JSON have made of one of the two."""
    if "layers" not in content:
        return Convolution(**content)
    layers = tuple((kind, dict(arguments)) for kind, arguments in content["layers"])
    return Network(**content | {"layers": layers, "input_shape": tuple(content["input_shape"])})


def channels_first_kernel(kernel: np.ndarray, shape: Shape) -> np.ndarray:
    """A Dense kernel (H·W·C, units) for a library that flattens (C, H, W) instead of `shape` (H, W, C)."""
    units = kernel.shape[1]
    return np.ascontiguousarray(kernel.reshape(*shape, units).transpose(2, 0, 1, 3)).reshape(-1, units)
