"""Small nets for Hypothesis, as recipes that either library can follow."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

INPUT_SHAPE = (8, 8, 2)
OUTPUTS = 3
ACTIVATIONS = [
    "linear",
    "relu",
    "elu",
    "gelu",
    "leaky_relu",
    "silu",
    "softplus",
    "sigmoid",
    "tanh",
    "softmax",
]


class Net(NamedTuple):
    """Layers by class and arguments; `tail`, if any, becomes a model among the layers."""

    stack: list[tuple[str, dict[str, Any]]]
    tail: list[tuple[str, dict[str, Any]]]
    is_functional: bool

    def build(self, input_: Any, layers: Any, models: Any) -> Any:
        """The model of one library, its layers named alike in either."""

        def chain(recipes, start, prefix):
            made = [
                getattr(layers, kind)(**arguments, name=f"{prefix}{k}")
                for k, (kind, arguments) in enumerate(recipes)
            ]
            return [input_(start), *made]

        whole = chain(self.stack, INPUT_SHAPE, "layer")
        if self.tail:
            whole.append(models.Sequential(chain(self.tail, (OUTPUTS,), "inner"), name="tail"))
        if not self.is_functional:
            return models.Sequential(whole, name="net")
        end = whole[0]
        for layer in whole[1:]:
            end = layer(end)
        return models.Model(whole[0], end, name="net")


@st.composite
def nets(draw: st.DrawFn, drops: bool = True, activations: Sequence[str] = ACTIVATIONS) -> Net:
    """Nets of every kind of layer for images of INPUT_SHAPE; with `drops` perhaps with Dropout, some of it unseeded."""
    pick = lambda *choices: draw(st.sampled_from(choices))  # noqa: E731
    stack = []
    for _ in range(draw(st.integers(0, 2))):
        stack += pick(
            lambda: [("Conv2D", {"filters": 4, "kernel_size": pick(1, 2, (3, 2)), "padding": pick("same", "valid"),
                                 "groups": pick(1, 2), "activation": pick(*activations), "use_bias": pick(True, False),
                                 "dilation_rate": pick(1, 2)})],
            lambda: [("Conv2D", {"filters": 2, "kernel_size": 2, "strides": (2, 1), "padding": pick("same", "valid")})],
            lambda: [("MaxPooling2D", {"pool_size": 2, "strides": pick(1, 2), "padding": pick("same", "valid")})],
            lambda: [("AveragePooling2D", {"pool_size": (2, 1), "padding": pick("same", "valid")})],
            lambda: [("ZeroPadding2D", {"padding": ((1, 0), (2, 0))}), ("ReLU", {"max_value": pick(None, 6.0)})],
            lambda: [("ReLU", {"negative_slope": 0.25, "threshold": pick(0.0, 0.5)}), ("Softmax", {"axis": 1})],
            lambda: [("Rescaling", {"scale": 0.5, "offset": -1.0}), ("Activation", {"activation": pick(*activations)})],
            lambda: [("Dropout", {"rate": 0.5, "seed": pick(None, 3)})] if drops else [],
        )()  # fmt: skip
    stack += pick(
        lambda: [("Flatten", {})],
        lambda: [("GlobalMaxPooling2D", {})],
        lambda: [("GlobalAveragePooling2D", {"keepdims": True}), ("Flatten", {})],
    )()
    stack += [
        ("Dense", {"units": 4, "activation": pick(*activations), "trainable": pick(True, False)}),
        ("Dense", {"units": OUTPUTS}),
    ]
    tail = pick([], [("Dense", {"units": 3, "use_bias": False}), ("Softmax", {})])
    return Net(stack, tail, pick(True, False))
