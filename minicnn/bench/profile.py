"""Profiles for the command line and for files of results. `model.profile` measures; here is what feeds and keeps it.

`python -m minicnn.bench.profile`, a network of benchmarks/cases.py as JSON on stdin, profiles it in a new process.
"""

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.bench.neutral import Network, from_dict
from minicnn.models.profile import Cost, Profile, Row

if TYPE_CHECKING:
    from minicnn.models import Model

SEED = 20261124


def profile_file(target: str, batch_size: int = 64, repeats: int | None = None) -> Profile:
    """Profile the model that the function in `target`, 'FILE.py:function', returns, on random images.

    A model that isn't compiled is trained by RMSprop on the loss that its last activation is made for.

    Raises:
        ValueError: no such file or function, no model, an input shape that isn't known; a model compiled without loss.
    """
    from minicnn import runs
    from minicnn.checks import integer

    batch_size = integer("batch_size", batch_size, 1)
    model: Model = runs.net_from_file(target)
    if not model.built or None in model.input_shape[1:]:
        shape = model.input_shape if model.built else "none"
        raise ValueError(
            f"The model of {target} must say how large its images are, with an Input first. Received shape {shape}."
        )
    if not model.compiled:
        model.compile("rmsprop", loss_for(model))
    return model.profile(*random_batch(model, batch_size), repeats=repeats)


def loss_for(model: "Model") -> str:
    """The loss that goes with the last activation: softmax, sigmoid or another."""
    return {"Softmax": "categorical_crossentropy", "Sigmoid": "binary_crossentropy"}.get(
        type(model.last_op).__name__, "mean_squared_error"
    )


def random_batch(model: "Model", n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images from 0 to 1 (n, …), and targets that the model's loss takes: class numbers, or zeros and ones."""
    from minicnn import losses

    rng, shape = np.random.default_rng(SEED), (n, *known(model.input_shape))
    x = rng.random(shape).astype(model.dtype)
    *leading, classes = known(model.compute_output_shape(shape))
    labels = rng.integers(0, max(2, classes), (n, *leading))
    loss = losses.resolve(model.loss) if model.loss is not None else None
    if isinstance(loss, losses.SparseCategoricalCrossentropy):
        return x, labels
    if classes == 1:
        return x, labels[..., np.newaxis].astype(model.dtype)
    return x, np.eye(classes, dtype=model.dtype)[labels]


def known(shape: Any) -> tuple[int, ...]:
    """A shape without its batch axis."""
    return tuple(int(size) for size in shape[1:])


# In files of results


def as_record(profile: Profile) -> dict[str, Any]:
    """What JSON can hold of a profile: all of its fields."""
    return asdict(profile)


def from_record(record: dict[str, Any]) -> Profile:
    """The profile that `as_record`, and JSON, have made the record of.

    Raises:
        ValueError: it isn't one.
    """
    try:
        return Profile(**record | {"rows": tuple(_row(row) for row in record["rows"])})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"A profile must have the fields of `Profile`. Received something else: {error}"
        ) from error


def _row(row: dict[str, Any]) -> Row:
    costs = {name: Cost(**row[name]) if row[name] is not None else None for name in ("forward", "dw", "dx")}
    return Row(**row | costs | {"output_shape": tuple(row["output_shape"])})


def profile_network(
    network: Network, batch_size: int | None = None, repeats: int | None = None
) -> dict[str, Any]:
    """The record of a network of benchmarks/cases.py, from a process of its own with one thread on one CPU.

    Raises:
        DeadWorker: the process fails.
    """
    from minicnn.bench.session import Child, DeadWorker

    child = Child(["-m", "minicnn.bench.profile"], threads=1)
    try:
        with child.process.stdin as pipe:  # type: ignore[union-attr]
            content = {"network": asdict(network), "batch_size": batch_size or network.batch_size}
            pipe.write(json.dumps(content | {"repeats": repeats}))
        line = child.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            child.process.wait()
            raise DeadWorker(child.last_words())
        return json.loads(line)
    finally:
        child.end()


def main() -> None:
    """The new process: the profile's record on stdout, whatever else is printed on stderr."""
    from minicnn.bench.peers.minicnn import build

    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    network = from_dict(request["network"])
    model = build(network)  # type: ignore[arg-type]
    model.name = network.name
    x, y = network.examples(request["batch_size"])  # type: ignore[union-attr]
    record = as_record(model.profile(x, y, repeats=request["repeats"]))
    print(json.dumps(record), file=replies)


if __name__ == "__main__":
    main()
