"""What the default plan computes for a chain that it fuses, and how far from the exact result that may be."""

import numpy as np

from minicnn.engine.plan import INPUT
from minicnn.models.wants import Wants
from minicnn.study.explaining.recording import Recording
from minicnn.testing.tolerances import Arithmetic, conv2d_bound, dense_bound
from tests.kernels import test_conv2d_winograd as winograd
from tests.kernels.cases import ConvCase
from tests.study.geometries import Chain

NAMES = ("weight", "bias")


def run(chain: Chain, model, x, dy) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """(y, gradients by what `explain` calls their elements) by the kernels, in one op."""
    paths = tuple(v.path for v in model.trainable_variables)
    with model.executor(Wants(x.shape[1:], True, None, paths, (INPUT,))) as executor:
        assert [type(step.op) for step in executor.plan.steps] == [chain.fused]
        batch = executor.run(model.parameters(), x, seed=dy)
        gradients = {name: g.copy() for name, g in zip(NAMES, executor.gradients, strict=False)}
    return batch.outputs.copy(), gradients | {"input": batch.value_gradients[INPUT].copy()}


def bounds(chain: Chain, model, plain: Recording, dtype: str) -> dict[str, np.ndarray]:
    """Elementwise: of 'output', before ReLU; and where Winograd's algorithm runs, of the gradients that it computes."""
    x, (w, *b) = plain.values[0], plain.w(0)
    if not chain.options:
        return {"output": dense_bound(x, w, *b, arithmetic=Arithmetic(dtype))}
    running = model.algorithms()["layer"]
    if running.forward == "direct":
        return {"output": conv2d_bound(x, w, *b, arithmetic=Arithmetic(dtype), **chain.options)}
    (layer, *_), channels = model.layers, x.shape[-1]
    window = layer.window(x.shape[1:3])
    case = ConvCase(len(x), channels, w.shape[-1], window, 1, True, np.dtype(dtype).type, 0)
    y, dx, dw = winograd.bounds(case, x, w, *b, plain.gradients[1])
    return {"output": y} | ({} if running.dw == "direct" else {"weight": dw, "input": dx})


def is_undecided(chain: Chain, z: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Outputs at a kink: where rounding decides whether ReLU lets z pass, or which pixel is the maximum.

    There two right plans may have gradients that differ by all of dy.
    """
    margin = 2 * bound  # of z as the reference computes it, and as the kernels do
    if not chain.pool:
        return abs(z) <= margin
    n, height, width, f = z.shape
    rows, columns = height // 2, width // 2

    def windows(a: np.ndarray) -> np.ndarray:
        tiles = a[:, : 2 * rows, : 2 * columns].reshape(n, rows, 2, columns, 2, f)
        return np.sort(tiles.transpose(0, 1, 3, 5, 2, 4).reshape(n, rows, columns, f, 4), axis=-1)

    ordered, widest = windows(z), windows(margin)[..., -1]
    first, second = ordered[..., -1], ordered[..., -2]
    return (abs(first) <= widest) | ((first - second <= widest) & (first > 0))
