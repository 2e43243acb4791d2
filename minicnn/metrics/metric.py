"""The base of all metrics, and those that add up: Sum, Mean, and the mean of any function of targets and predictions.

Source of the meanings: keras/src/metrics/metric.py and keras/src/metrics/reduction_metrics.py. Totals and counts are
kept in float64; results are given in the metric's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import isfunction
from typing import Any

import numpy as np

from minicnn import config as settings
from minicnn import initializers
from minicnn.engine.parameters import Variable
from minicnn.errors import ShapeError
from minicnn.naming import unique_name


class Metric:
    """Subclasses define `update_state` and `result`, and make their state with `add_variable`.

    Args:
        dtype: of the results, by default `config.floatx()`.
        name: by default the class's name in snake case.
    """

    direction: str | None = None
    """'up' if more is better, 'down' if less is, None if the metric doesn't say."""

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self.name = name or unique_name(type(self).__name__)
        self.dtype = settings.standardize_dtype(dtype)
        self._variables: list[Variable] = []

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Count one batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define `update_state`.")

    def result(self) -> Any:
        """The value so far."""
        raise NotImplementedError(f"{type(self).__name__} does not define `result`.")

    def reset_state(self) -> None:
        """Start counting anew."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Count one batch and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def add_variable(
        self,
        shape: tuple[int, ...] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Make a piece of state; `reset_state` sets it to zero."""
        values = initializers.get(initializer)(shape, dtype=dtype or self.dtype)
        name = name or f"variable_{len(self._variables)}"
        variable = Variable(values, name=name, path=f"{self.name}/{name}", trainable=False)
        self._variables.append(variable)
        return variable

    add_weight = add_variable

    @property
    def variables(self) -> list[Variable]:
        return list(self._variables)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_config` takes them back."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Metric:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Sum(Metric):
    """The sum of all values, each times its weight."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(dtype="float64", name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add `values`, of any shape, with weights that fit their leading axes."""
        self.total.assign_add(_by_sample(values, sample_weight, np.sum)[0].sum())

    def result(self) -> Any:
        return np.dtype(self.dtype).type(self.total.array)


class Mean(Metric):
    """The mean of all values, weighted; 0 before the first."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable(dtype="float64", name="total")
        self.count = self.add_variable(dtype="float64", name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add `values`: a number, or an array whose axes behind the first are averaged, with weights that fit."""
        values, weights = _by_sample(values, sample_weight, np.mean)
        samples = len(values) if values.ndim else 1
        self.add(values.sum(), samples if weights is None else weights.sum())

    def add(self, total: float, count: float) -> None:
        """Add values whose weighted sum is `total` and whose weights' sum is `count`."""
        self.total.array += total
        self.count.array += count

    def result(self) -> Any:
        count = float(self.count.array)
        return np.dtype(self.dtype).type(float(self.total.array) / count if count else 0.0)


class MeanMetricWrapper(Mean):
    """The mean of fn(y_true, y_pred, **kwargs), which gives one value for each sample.

    Args:
        fn: a function of targets and predictions.
        kwargs: further arguments of it.
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name, dtype)
        self._fn, self._fn_kwargs = fn, kwargs

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Count a batch of targets and predictions."""
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """As the base; a function is its name."""
        return super().get_config() | {"fn": getattr(self._fn, "__name__", None)} | self._fn_kwargs

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Metric:
        """Also takes the name of a function of `minicnn.metrics` as `fn`.

        Raises:
            ValueError: another name.
        """
        if "fn" not in config or callable(config["fn"]):
            return cls(**config)
        function = getattr(import_module("minicnn.metrics"), str(config["fn"]), None)
        if not isfunction(function):
            raise ValueError(
                f"`fn` must be a function or the name of one in metrics. Received {config['fn']!r}."
            )
        return cls(**{**config, "fn": function})


def _by_sample(
    values: Any, sample_weight: Any, reduce: Callable[..., Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """(one weighted value for each sample, its weight), both float64.

    Values with more axes than the weights are reduced to as many first; what is left behind the first axis is reduced
    at the end, the weights likewise.
    """
    values = np.asarray(values, np.float64)
    if sample_weight is None:
        return _reduce_behind(values, 1, reduce), None
    weights = np.asarray(sample_weight, np.float64)
    given = values.shape, weights.shape
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    values = _reduce_behind(values, weights.ndim, reduce)
    if weights.shape != values.shape:
        try:
            weights = np.broadcast_to(weights, values.shape)
        except ValueError:
            raise ShapeError(
                f"`sample_weight` must fit the values' shape {given[0]}. Received shape {given[1]}."
            ) from None
    return _reduce_behind(values * weights, 1, reduce), _reduce_behind(weights, 1, reduce)


def _reduce_behind(array: np.ndarray, ndim: int, reduce: Callable[..., Any]) -> np.ndarray:
    """Reduce all axes but the first `ndim`."""
    return np.asarray(reduce(array, axis=tuple(range(ndim, array.ndim)))) if array.ndim > ndim else array
