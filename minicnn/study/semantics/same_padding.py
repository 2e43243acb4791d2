"""'same' padding: as much as the windows need, the odd row at the bottom, or k//2 on every side."""

from typing import Any

import numpy as np

from minicnn import Input, layers
from minicnn.engine import ops
from minicnn.geometry import Window, dilated, make_window
from minicnn.reference.conv2d import Conv2DResiduals, conv2d_backward, conv2d_forward
from minicnn.study.semantics import lab
from minicnn.study.semantics.confusion import Confusion, Example, Shown, Source, Training


def symmetric(window: Window) -> Window:
    """The same kernel with k//2 rows and columns of zeros on every side, as `padding=k // 2` in PyTorch means."""
    pads = window.kernel_size[0] // 2, window.kernel_size[1] // 2
    axes = list(
        zip(window.image_size, window.kernel_size, window.strides, window.dilation, pads, strict=True)
    )
    output_h, output_w = (
        (size + 2 * pad - dilated(kernel, step)) // stride + 1 for size, kernel, stride, step, pad in axes
    )
    bottom, right = (
        (out - 1) * stride + dilated(kernel, step) - size - pad
        for out, (size, kernel, stride, step, pad) in zip((output_h, output_w), axes, strict=True)
    )
    return window._replace(pads_before=pads, pads_after=(bottom, right), output_size=(output_h, output_w))


def pair(op: ops.Conv2D) -> lab.Pair:
    """A convolution with symmetric padding; the map must keep its size, as it does for odd kernels."""
    window = symmetric(op.window)

    def symmetric_padding(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, Conv2DResiduals]:
        return conv2d_forward(x, w, b, window, op.groups)

    return symmetric_padding, conv2d_backward


def example() -> Example:
    row = np.arange(1.0, 7.0)
    window = make_window((1, 6), (1, 3), (1, 2), "same")
    x, w = row.reshape(1, 1, 6, 1), np.ones((1, 3, 1, 1))
    ours = conv2d_forward(x, w, None, window)[0].reshape(1, -1)
    other = conv2d_forward(x, w, None, symmetric(window))[0].reshape(1, -1)
    even = make_window((1, 6), (1, 2), padding="same")
    return Example(
        (
            Shown("a row of pixels, kernel (1, 1, 1), stride 2", row[None]),
            Shown("padding='same': one zero on the right", ours),
            Shown("padding=k//2: one zero on each side", other),
        ),
        "With stride 2 three windows need one zero: TensorFlow puts it on the right and the windows start at "
        "pixel 1; one zero on each side starts them half outside, and the last zero is never read. Every "
        "number differs. With an even kernel the sizes differ too: 6 pixels, kernel 2, stride 1 give "
        f"{even.output_size[1]} outputs by 'same' and {symmetric(even).output_size[1]} by k//2. At stride 1 "
        "with an odd kernel both are one.",
    )


def net() -> list[Any]:
    return [
        Input((28, 28, 1)),
        layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]


def train() -> Training:
    variants: lab.Variants = {ops.Conv2D: pair}
    ours = lab.fit(lab.build(net))
    rows = (
        lab.judged("trained and run by TensorFlow's 'same'", ours),
        lab.judged("the same weights run with k//2", lab.build(net, variants, weights=ours.get_weights())),
        lab.judged("trained and run with k//2", lab.fit(lab.build(net, variants))),
    )
    return Training(
        rows,
        f"Each convention learns ({lab.percent(rows[0].accuracy)} and {lab.percent(rows[2].accuracy)}). Moved "
        f"from one to the other, every map is shifted by a pixel a layer, and {lab.percent(rows[0].accuracy)} "
        f"become {lab.percent(rows[1].accuracy)}: shapes agree, nothing complains.",
    )


CONFUSION = Confusion(
    "same-padding",
    "Where does 'same' padding put its zeros?",
    "As many as ⌈size / stride⌉ windows need, which depends on the size; the odd one at the bottom or right.",
    "k//2 on every side, as code for PyTorch writes it, whatever the size and the stride.",
    (
        Source("pytorch/pytorch", 3867, "Implement same padding for convolution operations?"),
        Source(
            "taehoonlee/tensornets",
            25,
            "Notes for different padding behaviors when `stride=2, padding='SAME'`",
        ),
        Source(
            "pytorch/pytorch",
            67551,
            'Using nn.Conv2d with padding="same" supports a stride of 2, however it currently fails due to an error '
            "message",
        ),
    ),
    example,
    train,
)
