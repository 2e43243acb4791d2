"""PyTorch on the CPU.  Images and kernels are transposed on the way in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from minicnn.testing.geometry import pad_amounts
from minicnn.testing.target import OPTIONS, Target

Array = np.ndarray[Any, Any]
Tensor = torch.Tensor
SAME_NOTE = (
    "PyTorch has no padding='same' with strides > 1 and none for pooling: the adapter pads as TensorFlow "
    "would, with zeros (convolution), −inf (max pooling) or positions not counted (average pooling)"
)
TIES = "PyTorch's CPU kernels give a tie to the first maximum, but its documentation promises no rule"


def _tensor(a: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(a).copy())


def _image(a: Array) -> Tensor:
    return _tensor(np.moveaxis(a, -1, 1))


def _array(t: Tensor) -> Array:
    return np.ascontiguousarray(np.moveaxis(t.detach().numpy(), 1, -1))


def _pads(
    x: Tensor, kernel: Any, strides: Any, padding: str, dilation: Any = (1, 1)
) -> tuple[int, int, int, int]:
    if padding not in ("valid", "same"):
        raise ValueError(f"padding={padding!r}")
    sides = zip(x.shape[2:], kernel, strides, dilation, strict=True)
    (top, bottom), (left, right) = (pad_amounts(n, k, s, padding, d) for n, k, s, d in sides)
    return left, right, top, bottom


def _conv(x: Tensor, w: Tensor, b: Tensor | None, options: dict[str, Any]) -> Tensor:
    strides, dilation = options["strides"], options["dilation_rate"]
    if options["padding"] == "same" and max(strides) == 1:
        how: dict[str, Any] = {"padding": "same"}
    else:
        x = F.pad(x, _pads(x, w.shape[2:], strides, options["padding"], dilation))
        how = {"stride": strides}
    return F.conv2d(x, w, b, dilation=dilation, groups=options["groups"], **how)


def _kernel(w: Array) -> Tensor:
    # HWIO to OIHW, contiguous: autograd refuses the gradient of a permuted kernel
    return _tensor(w.transpose(3, 2, 0, 1))


def conv2d(x: Array, w: Array, b: Array | None = None, **options: Any) -> Array:
    """The forward pass."""
    return _array(_conv(_image(x), _kernel(w), None if b is None else _tensor(b), _defaults(options)))


def conv2d_backward(dy: Array, x: Array, w: Array, **options: Any) -> tuple[Array, Array, Array]:
    """dx, dw, db by autograd."""
    tensors = (_image(x), _kernel(w), torch.zeros(w.shape[3], dtype=_tensor(w).dtype))
    for tensor in tensors:
        tensor.requires_grad_()
    dx, dw, db = torch.autograd.grad(_conv(*tensors, _defaults(options)), tensors, _image(dy))
    return _array(dx), np.ascontiguousarray(dw.numpy().transpose(2, 3, 1, 0)), db.numpy()


def _defaults(options: dict[str, Any]) -> dict[str, Any]:
    return {"strides": (1, 1), "padding": "valid", "dilation_rate": (1, 1), "groups": 1, **options}


def _max(x: Tensor, options: dict[str, Any]) -> Tensor:
    strides = options.get("strides") or options["pool_size"]
    pads = _pads(x, options["pool_size"], strides, options.get("padding", "valid"))
    return F.max_pool2d(F.pad(x, pads, value=-torch.inf), options["pool_size"], strides)


def _average(x: Tensor, options: dict[str, Any]) -> Tensor:
    strides = options.get("strides") or options["pool_size"]
    pads = _pads(x, options["pool_size"], strides, options.get("padding", "valid"))
    total = F.avg_pool2d(F.pad(x, pads), options["pool_size"], strides, divisor_override=1)
    count = F.avg_pool2d(F.pad(torch.ones_like(x), pads), options["pool_size"], strides, divisor_override=1)
    return total / count


def _dense(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    return x @ w if b is None else x @ w + b


def _image_pair(
    f: Callable[[Tensor, dict[str, Any]], Tensor],
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(x: Array, **options: Any) -> Array:
        return _array(f(_image(x), options))

    def backward(dy: Array, x: Array, **options: Any) -> Array:
        tensor = _image(x).requires_grad_()
        return _array(torch.autograd.grad(f(tensor, options), tensor, _image(dy))[0])

    return forward, backward


def _plain_pair(f: Callable[..., Tensor]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(*arrays: Array) -> Array:
        return np.asarray(f(*map(_tensor, arrays)).detach().numpy())

    def backward(dy: Array, *arrays: Array) -> Any:
        tensors = [_tensor(a).requires_grad_() for a in arrays]
        out = tuple(g.numpy() for g in torch.autograd.grad(f(*tensors), tensors, _tensor(dy)))
        return out if len(out) > 1 else out[0]

    return forward, backward


def _dense_backward(dy: Array, x: Array, w: Array) -> Any:
    b = np.zeros(w.shape[1], w.dtype)
    return _plain_pair(_dense)[1](dy, x, w, b)


_THRESHOLD = "PyTorch's softplus is the identity above its documented threshold of 20"
SOFTPLUS = {"equals the oracle": _THRESHOLD, "the gradient is a valid subgradient": _THRESHOLD}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
}


def _crossentropy(
    y_true: Array, y_pred: Tensor, sample_weight: Array | None, reduction: str, kind: str
) -> Tensor:
    if kind == "binary":
        each = F.binary_cross_entropy_with_logits(y_pred, _tensor(y_true), reduction="none").mean(dim=-1)
    else:
        target = _tensor(y_true).long() if kind == "sparse" else _tensor(y_true)
        each = F.cross_entropy(y_pred, target, reduction="none")
    if sample_weight is not None:
        each = each * _tensor(sample_weight)
    return each.sum() if reduction == "sum" else each.mean()


def _loss_pair(kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(
        y_true: Array,
        y_pred: Array,
        *,
        sample_weight: Array | None = None,
        reduction: str = "sum_over_batch_size",
    ) -> Array:
        return np.asarray(_crossentropy(y_true, _tensor(y_pred), sample_weight, reduction, kind).numpy())

    def backward(
        y_true: Array,
        y_pred: Array,
        *,
        sample_weight: Array | None = None,
        reduction: str = "sum_over_batch_size",
    ) -> Array:
        tensor = _tensor(y_pred).requires_grad_()
        loss = _crossentropy(y_true, tensor, sample_weight, reduction, kind)
        return np.asarray(torch.autograd.grad(loss, tensor)[0].numpy())

    return forward, backward


def targets() -> list[Target]:
    """All of PyTorch's targets."""
    conv = frozenset(OPTIONS["conv2d"]) - {"data_format"}
    pool = frozenset(OPTIONS["max_pooling2d"]) - {"data_format"}
    loss = frozenset({"sample_weight", "reduction"})
    out = [
        Target("torch", "conv2d", conv2d, conv2d_backward, conv, notes=(SAME_NOTE,)),
        Target("torch", "max_pooling2d", *_image_pair(_max), pool, notes=(SAME_NOTE, TIES)),
        Target("torch", "average_pooling2d", *_image_pair(_average), pool, notes=(SAME_NOTE,)),
        Target("torch", "dense", _plain_pair(_dense)[0], _dense_backward),
        Target("torch", "flatten", *_plain_pair(lambda x: x.reshape(len(x), -1))),
        Target("torch", "softmax", *_plain_pair(lambda x: F.softmax(x, dim=-1))),
    ]
    for name, function in ACTIVATIONS.items():
        differs = SOFTPLUS if name == "softplus" else {}
        spec: dict[str, Any] = {"parameters": {"name": name}, "differences": differs}
        out.append(Target(f"torch {name}", "activation", *_plain_pair(function), **spec))
    for kind in ("categorical", "sparse", "binary"):
        mode = {"kind": kind, "from_logits": True}
        out.append(Target(f"torch {kind}", "crossentropy", *_loss_pair(kind), loss, parameters=mode))
    return out
