"""Op descriptors: what is to be computed, without arrays and without arithmetic.

Layers lower to these. A descriptor is frozen and hashable; its geometry is already resolved for one image size. Shapes
never include the batch axis. The name of an op is the name of the value it produces; the last op of a layer carries
the layer's name.
"""

from dataclasses import dataclass
from math import prod

from minicnn.geometry import Window

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Op:
    """Base: an elementwise op, whose output has its input's shape."""

    name: str
    parameters: tuple[str, ...] = ()
    """Paths of the variables read, in the order in which the arithmetic takes them."""

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def parameter_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        """The shapes of `parameters` for inputs of `shape`."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Conv2D(Op):
    """(H, W, C) → (OH, OW, F). Parameters: kernel (P, Q, C / groups, F), and a bias (F,) if there are two."""

    window: Window
    filters: int
    groups: int = 1
    algorithm: str | None = None
    """One of `algorithms.REFUSALS`; None leaves it to the backend. A fused op has none."""

    def output_shape(self, shape: Shape) -> Shape:
        return (*self.window.output_size, self.filters)

    def parameter_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        kernel = (*self.window.kernel_size, shape[-1] // self.groups, self.filters)
        return (kernel, (self.filters,))[: len(self.parameters)]


@dataclass(frozen=True, kw_only=True)
class Dense(Op):
    """(…, C) → (…, F). Parameters: kernel (C, F), and a bias (F,) if there are two."""

    units: int

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def parameter_shapes(self, shape: Shape) -> tuple[Shape, ...]:
        return ((shape[-1], self.units), (self.units,))[: len(self.parameters)]


@dataclass(frozen=True, kw_only=True)
class _Pool2D(Op):
    """(H, W, C) → (OH, OW, C)."""

    window: Window

    def output_shape(self, shape: Shape) -> Shape:
        return (*self.window.output_size, shape[-1])


@dataclass(frozen=True, kw_only=True)
class MaxPool2D(_Pool2D):
    """Maximum of each window; padding counts as −∞."""


@dataclass(frozen=True, kw_only=True)
class AveragePool2D(_Pool2D):
    """Mean of each window's pixels inside the image."""


@dataclass(frozen=True, kw_only=True)
class _GlobalPool2D(Op):
    """(H, W, C) → (C,)."""

    def output_shape(self, shape: Shape) -> Shape:
        return shape[-1:]


@dataclass(frozen=True, kw_only=True)
class GlobalMaxPool2D(_GlobalPool2D):
    """Maximum of each feature map."""


@dataclass(frozen=True, kw_only=True)
class GlobalAveragePool2D(_GlobalPool2D):
    """Mean of each feature map."""


@dataclass(frozen=True, kw_only=True)
class ZeroPad2D(Op):
    """(H, W, C) → larger (H, W, C): ((top, bottom), (left, right)) rows and columns of zeros."""

    pads: tuple[tuple[int, int], tuple[int, int]]

    def output_shape(self, shape: Shape) -> Shape:
        (top, bottom), (left, right) = self.pads
        return (shape[0] + top + bottom, shape[1] + left + right, shape[2])


@dataclass(frozen=True, kw_only=True)
class Transpose(Op):
    """Reorder the axes after the batch axis: output axis k is input axis `axes[k]`. Moves channels first or last."""

    axes: tuple[int, ...]

    def output_shape(self, shape: Shape) -> Shape:
        return tuple(shape[axis] for axis in self.axes)


@dataclass(frozen=True, kw_only=True)
class Reshape(Op):
    """The same elements in row-major order under another shape: a view, nothing is computed."""

    shape: Shape

    def output_shape(self, shape: Shape) -> Shape:
        if prod(shape) != prod(self.shape):
            raise ValueError(
                f"Reshape '{self.name}' must keep the number of elements. Received {shape} → {self.shape}."
            )
        return self.shape


@dataclass(frozen=True, kw_only=True)
class Identity(Op):
    """The same array: a linear activation, or what a random op is outside training."""


@dataclass(frozen=True, kw_only=True)
class Rescaling(Op):
    """x·scale + offset, each one number or one for each element of the last axis."""

    scale: float | tuple[float, ...]
    offset: float | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Random(Op):
    """Drawn anew for every sample at every training step; an Identity outside training."""

    seed: int
    """With the step and the sample's place in the batch it decides what is drawn."""


@dataclass(frozen=True, kw_only=True)
class Dropout(Random):
    """Zeroes a share `rate` of the elements and scales up the rest."""

    rate: float


@dataclass(frozen=True, kw_only=True)
class RandomAffine(Random):
    """(H, W, C) → (H, W, C): each image read through an affine map of its own."""

    kind: str
    """One of reference.random_affine's KINDS."""
    bounds: tuple[tuple[float, float], ...]
    """Between which two each of the map's numbers is drawn."""
    fill_mode: str = "constant"
    interpolation: str = "nearest"
    fill_value: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ReLU(Op):
    """max(x, 0)."""


@dataclass(frozen=True, kw_only=True)
class ClippedReLU(Op):
    """Keras's general ReLU."""

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LeakyReLU(Op):
    negative_slope: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Elu(Op):
    alpha: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Gelu(Op):
    approximate: bool = False


@dataclass(frozen=True, kw_only=True)
class Silu(Op):
    """x·sigmoid(x)."""


@dataclass(frozen=True, kw_only=True)
class Softplus(Op):
    """log(1 + e^x)."""


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Op):
    """1 / (1 + e^−x)."""


@dataclass(frozen=True, kw_only=True)
class Tanh(Op):
    """tanh(x)."""


@dataclass(frozen=True, kw_only=True)
class Softmax(Op):
    """exp(x) / Σ exp(x) along the last axis; other axes are transposed to the end by the layer."""


@dataclass(frozen=True, kw_only=True)
class Custom(Op):
    """A user's NumPy pair, by the name it was registered under (`minicnn.ops.register`)."""

    function: str
    shape: Shape
    """Of the output."""

    def output_shape(self, shape: Shape) -> Shape:
        return self.shape


@dataclass(frozen=True, kw_only=True)
class Loss(Op):
    """Ends a plan: predictions and targets (…, K) → one loss for each sample (…). Its value is the predictions."""


@dataclass(frozen=True, kw_only=True)
class SoftmaxCrossEntropy(Loss):
    """Softmax and categorical cross-entropy from the logits; the predictions are the probabilities."""


@dataclass(frozen=True, kw_only=True)
class SigmoidCrossEntropy(Loss):
    """Sigmoid and binary cross-entropy from the logits; the predictions are the probabilities."""


@dataclass(frozen=True, kw_only=True)
class LogitsSoftmaxCrossEntropy(Loss):
    """Categorical cross-entropy of a model that ends in logits; the predictions stay the logits."""


@dataclass(frozen=True, kw_only=True)
class LogitsSigmoidCrossEntropy(Loss):
    """Binary cross-entropy of a model that ends in logits; the predictions stay the logits."""


@dataclass(frozen=True, kw_only=True)
class CategoricalCrossEntropy(Loss):
    """Categorical cross-entropy of given probabilities, renormalised and clipped."""


@dataclass(frozen=True, kw_only=True)
class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of given probabilities, clipped."""


@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(Loss):
    """Mean of (y − t)² over the last axis."""


@dataclass(frozen=True, kw_only=True)
class MeanAbsoluteError(Loss):
    """Mean of |y − t| over the last axis."""


@dataclass(frozen=True, kw_only=True)
class CustomLoss(Loss):
    """A user's NumPy pair as a loss."""

    function: str


@dataclass(frozen=True, kw_only=True)
class ConvReLU(Conv2D):
    """Fused: a convolution whose output passes through ReLU as it is written."""


@dataclass(frozen=True, kw_only=True)
class ConvReLUPool(Conv2D):
    """Fused: convolution, ReLU and a tiling max pool; the map before pooling is never stored."""

    pool: Window

    def output_shape(self, shape: Shape) -> Shape:
        return (*self.pool.output_size, self.filters)


@dataclass(frozen=True, kw_only=True)
class DenseReLU(Dense):
    """Fused: a dense layer whose output passes through ReLU as it is written."""
