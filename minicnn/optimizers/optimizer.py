"""The base of all optimizers: hyperparameters, slots, clipping, weight decay, and how a step is taken in slices.

Users hand over one gradient for each variable:

    optimizer.apply_gradients(zip(gradients, variables))

The training loop hands over one flat gradient, laid out like `engine.parameters.flat_views(variables)`:

    optimizer.build(variables)                           # once, and whenever the variables change
    optimizer.step(gradient, backend, sliced)            # gradient is overwritten when it is clipped

or, for several steps with nothing of Python's between them,

    update = optimizer.next_steps(gradient, backend, sliced, count)    # None if a step needs Python
    …                                                                  # repeats `update`
    optimizer.end_steps(finished)

and a step is

    scalars = optimizer.begin_step()                     # learning rate and step number, read once
    optimizer.step_slice(w, g, slots, scalars, backend)  # for slices that cover the vectors; in any threads, any order
    optimizer.end_step(variables)                        # counts

`step_slice` is elementwise, so that any slicing gives the same bits. Subclasses define it, `slot_names` and
`get_config`; the arithmetic is in `reference.optimizers` and, to the last bit, in `kernels.optimizers`.

Slots are created as zeros, in flat vectors of the same layout. Names, arguments, meanings and the order of `variables`
are Keras's (keras/src/optimizers/base_optimizer.py).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from minicnn import config as settings
from minicnn.checks import number, one_of, only_default, optional_number
from minicnn.engine.binding import calls_kernels_only, kernels_only
from minicnn.engine.parameters import Variable, aligned_offsets, flat_views, give_home
from minicnn.engine.series import Update
from minicnn.engine.tape import Tape
from minicnn.errors import ShapeError
from minicnn.naming import unique_name
from minicnn.optimizers import schedules
from minicnn.optimizers.layout import Layout, Run, make_layout
from minicnn.optimizers.schedules import LearningRateSchedule
from minicnn.reference import optimizers as reference

Slicer = Callable[[int, Callable[[slice], None]], Callable[[], None]]
"""(size, function) → what calls the function on slices that cover range(size), as often as it is called itself."""

BACKENDS = ("reference", "numba")


class Scalars(NamedTuple):
    """What all slices of one step share."""

    learning_rate: float
    step: int
    """Counted from 1."""
    numbers: np.ndarray
    """`Optimizer.numbers`, float64; kernels read them here, where the next step's will be."""


MOST_NUMBERS = 8

MOST_STEPS = 64
"""That can be taken with nothing of Python's between them."""

STEP = "step", "begin_step", "end_step", "_update"
"""What takes a single step."""


class _Updates(NamedTuple):
    """What updates each run of a layout, and for what it was made."""

    gradient: np.ndarray | None = None
    layout: Layout | None = None
    how: tuple[str, Slicer] | None = None
    by_run: Sequence[Callable[[], None]] = ()


class Optimizer:
    """Arguments that all optimizers share, by Keras's names.

    Args:
        learning_rate: a number, or a schedule. The attribute is a Variable, which can be set to a number; with a
            schedule, the rate of the next step.
        weight_decay: λ in w ← w − w·λ·η before each update, None for none.
        clipnorm: largest norm of each variable's gradient. At most one of these three is given.
        clipvalue: largest absolute value of each element.
        global_clipnorm: largest norm of all gradients together.
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps: not implemented;
            only their defaults are accepted.
        name: by default the class's name in snake case.

    Raises:
        ValueError: a value outside its range, two ways of clipping, an argument that isn't implemented.
    """

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self._refused = {
            "use_ema": (use_ema, False),
            "ema_momentum": (ema_momentum, 0.99),
            "ema_overwrite_frequency": (ema_overwrite_frequency, None),
            "loss_scale_factor": (loss_scale_factor, None),
            "gradient_accumulation_steps": (gradient_accumulation_steps, None),
        }
        only_default(type(self).__name__, **self._refused)
        clipping = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        if sum(value is not None for value in clipping.values()) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}."
            )
        self.clipnorm = optional_number("clipnorm", clipnorm, 0)
        self.clipvalue = optional_number("clipvalue", clipvalue, 0)
        self.global_clipnorm = optional_number("global_clipnorm", global_clipnorm, 0)
        self.weight_decay = optional_number("weight_decay", weight_decay, 0)
        self.name = name or unique_name(type(self).__name__)
        self.built = False
        self.iterations = self._scalar("iteration", 0, "int64")
        self._learning_rate = self._rate_of(learning_rate)
        self._slots: dict[str, np.ndarray] = {}
        self._slot_variables: dict[str, list[Variable]] = {}
        self._known: dict[int, int] = {}
        self._layout: Layout | None = None
        self._undecayed: tuple[frozenset[int], re.Pattern[str] | None] = (frozenset(), None)
        self._scalars = Scalars(0.0, 0, np.zeros(MOST_NUMBERS))
        self._updates = _Updates()
        self._numbers = np.zeros((MOST_STEPS, MOST_NUMBERS))
        """Of each of the next steps, where `next_steps` has been asked for them."""
        self._begun = np.zeros(1, np.int64)

    # What a subclass defines

    @property
    def slot_names(self) -> tuple[str, ...]:
        """The slots that the hyperparameters call for, in the order in which `step_slice` gets them."""
        raise NotImplementedError(f"{type(self).__name__} does not define `slot_names`.")

    def step_slice(
        self, w: np.ndarray, g: np.ndarray, slots: Sequence[np.ndarray], scalars: Scalars, backend: str
    ) -> None:
        """Update `w` and `slots` in place from `g`: 1-D, of one length and dtype, slices of the flat vectors.

        Marked by `kernels_only` if the numba backend calls kernels alone, which then are repeated without it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define `step_slice`.")

    def numbers(self, scalars: Scalars, dtype: np.dtype) -> Sequence[float]:
        """The hyperparameters that kernels read, at most MOST_NUMBERS, for weights of `dtype`."""
        return ()

    # Hyperparameters and state

    @property
    def learning_rate(self) -> Any:
        return self._rate_at(self.iterations.array)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._learning_rate = value
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(_rate(value))
        else:
            raise TypeError(
                "The learning rate of an optimizer that follows a schedule can't be set to a number. "
                f"Received {value!r}."
            )

    def _rate_at(self, iteration: Any) -> Any:
        rate = self._learning_rate
        return rate if isinstance(rate, Variable) else rate(iteration)

    @property
    def variables(self) -> list[Variable]:
        """Iteration, learning rate unless it is a schedule's, then the slots: slot after slot, for all variables."""
        rate = [self._learning_rate] if isinstance(self._learning_rate, Variable) else []
        return [self.iterations, *rate, *self._slots_in_order()]

    def _slots_in_order(self) -> list[Variable]:
        return [variable for slots in self._slot_variables.values() for variable in slots]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; `from_config` takes them back."""
        rate = self._learning_rate
        return {
            "name": self.name,
            "learning_rate": float(rate) if isinstance(rate, Variable) else schedules.serialize(rate),
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
        } | {name: value for name, (value, _) in self._refused.items()}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Optimizer:
        """An optimizer of this configuration; `custom_objects` maps names to schedule classes of your own."""
        rate = config.get("learning_rate")
        if isinstance(rate, Mapping):
            config = {**config, "learning_rate": schedules.deserialize(rate, custom_objects)}
        return cls(**config)

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Spare variables, given themselves or by regular expressions found in their paths, from weight decay.

        Raises:
            ValueError: the optimizer is built.
        """
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` must be called before the optimizer is built.")
        names = sorted(set(var_names or ()))
        self._undecayed = (
            frozenset(id(v) for v in var_list or ()),
            re.compile("|".join(names)) if names else None,
        )

    # Building

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots for `variables`, or, when they exist, choose those that the next `step` is about.

        Raises:
            ValueError: no variables, mixed dtypes, or some that a built optimizer doesn't know.
        """
        if not self.built:
            self._make_slots(variables)
        self._layout = self._layout_of(variables)

    def _make_slots(self, variables: Sequence[Variable]) -> None:
        dtypes = sorted({v.dtype for v in variables})
        if len(dtypes) != 1:
            raise ValueError(
                f"An optimizer needs variables of one dtype. Received {len(variables)}, dtypes {dtypes}."
            )
        give_home(variables)
        self._known = {id(v): k for k, v in enumerate(variables)}
        self._offsets = aligned_offsets(variables)[0]
        for slot in self.slot_names:
            flat, views = flat_views(variables, np.dtype(dtypes[0]))
            self._slots[slot] = flat
            self._slot_variables[slot] = [
                self._state(view, f"{v.path.replace('/', '_')}_{slot}")
                for v, view in zip(variables, views, strict=True)
            ]
        self._trainable_variables = list(variables)
        self.built = True

    def _layout_of(self, variables: Sequence[Variable]) -> Layout:
        if self._layout is not None and list(map(id, self._layout.variables)) == list(map(id, variables)):
            return self._layout
        for v in variables:
            if id(v) not in self._known:
                raise ValueError(
                    f"Unknown variable '{v.path}': an optimizer works on the variables that it was built with. "
                    "Make a new optimizer for others."
                )
        offsets = [self._offsets[self._known[id(v)]] for v in variables]
        return make_layout(variables, offsets, [self._decays(v) for v in variables])

    def _decays(self, variable: Variable) -> bool:
        spared, pattern = self._undecayed
        # The path, 'sequential/dense/bias', because that is what TensorFlow calls the variable.
        named = pattern is not None and pattern.search(variable.path) is not None
        return self.weight_decay is not None and id(variable) not in spared and not named

    # Stepping

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """One step from pairs (gradient, variable). Returns `iterations`."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self.iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """One step from one gradient for each variable, by default for those that the optimizer was built with.

        A gradient of None leaves its variable alone, with a warning.

        Raises:
            ValueError: a wrong number or shape of gradients, none at all, an optimizer without variables.
        """
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "Call `optimizer.build(trainable_variables)` before `apply(grads)` without variables."
                )
            trainable_variables = self._trainable_variables
        if len(grads) != len(trainable_variables):
            raise ValueError(
                f"There must be one gradient for each variable. Received {len(grads)} gradients for "
                f"{len(trainable_variables)} variables."
            )
        if not len(grads):
            return
        if not self.built:
            self.build(trainable_variables)
        layout = self._layout_of(_with_gradients(grads, trainable_variables))
        gradient = layout.gather([g for g in grads if g is not None])
        self._update(gradient, layout, "reference", _whole)

    def step(self, gradient: np.ndarray, backend: str = "reference", sliced: Slicer | None = None) -> None:
        """One step of the variables that `build` was last called with.

        Args:
            gradient: flat, laid out like `flat_views` of those variables; overwritten when it is clipped.
            backend: 'reference' or 'numba'; the bits are the same.
            sliced: spreads the work; by default this thread does all of it.

        Raises:
            ValueError: not built, or a gradient of another size.
        """
        if self._layout is None:
            raise ValueError("Call `optimizer.build(trainable_variables)` before `step`.")
        if gradient.shape != (self._layout.size,):
            raise ShapeError(
                f"The flat gradient must have shape ({self._layout.size},). Received {gradient.shape}."
            )
        self._update(gradient, self._layout, one_of("backend", backend, BACKENDS), sliced or _whole)

    def next_steps(self, gradient: np.ndarray, backend: str, sliced: Slicer, count: int) -> Update | None:
        """What takes the next `count` steps, at most MOST_STEPS, in machine code; `end_steps` belongs behind it.

        None where a step needs Python, where a subclass has a `step` of its own, or where the like has not been taken
        by `step` before. Arguments are those of `step`.
        """
        is_own = any(getattr(type(self), name) is not getattr(Optimizer, name) for name in STEP)
        if is_own or self._layout is None or self.clipnorm or self.global_clipnorm or self.clipvalue:
            return None
        updates = self._updates_of(gradient, self._layout, backend, sliced)
        tapes = [tape for update in updates for tape in getattr(update, "tapes", ())]
        if not all(getattr(update, "tapes", ()) for update in updates):
            return None
        for k, numbers in enumerate(self._numbers[:count]):
            own = self.numbers(self.begin_step(k), gradient.dtype)
            numbers[: len(own)] = own
        tape = Tape()
        tape.do(self._next_numbers)
        self._begun[0] = 0
        return Update(tape.finish(), tapes, self._begun)

    @kernels_only
    def _next_numbers(self) -> None:
        kernels().next_numbers(self._numbers, self._begun, self._scalars.numbers)

    def end_steps(self, count: int) -> None:
        """So many of the steps of `next_steps` have been taken."""
        if self._layout is not None:
            self.end_step(self._layout.variables, count)

    def begin_step(self, ahead: int = 0) -> Scalars:
        """Read what all slices of the next step share, or of the one so many behind it."""
        iteration = self.iterations.array + ahead
        return Scalars(float(self._rate_at(iteration)), int(iteration) + 1, self._scalars.numbers)

    def end_step(self, variables: Iterable[Variable], count: int = 1) -> None:
        """Count the step, or so many; whatever was derived from the weights is out of date."""
        self.iterations.assign_add(count)
        for v in variables:
            v.version += count

    def _update(self, gradient: np.ndarray, layout: Layout, backend: str, sliced: Slicer) -> None:
        self._clip([gradient[part] for part in layout.slices])
        self._scalars = self.begin_step()
        numbers = self.numbers(self._scalars, gradient.dtype)
        self._scalars.numbers[: len(numbers)] = numbers
        for update in self._updates_of(gradient, layout, backend, sliced):
            update()
        self.end_step(layout.variables)

    def _updates_of(
        self, gradient: np.ndarray, layout: Layout, backend: str, sliced: Slicer
    ) -> Sequence[Callable[[], None]]:
        """What updates each run, remembered for the next step from the same array."""
        made = self._updates
        if not (made.gradient is gradient and made.layout is layout and made.how == (backend, sliced)):
            updates = [
                sliced(run.weights.size, self._slice_update(run, gradient[run.gradient], backend))
                for run in layout.runs
            ]
            self._updates = _Updates(gradient, layout, (backend, sliced), updates)
        return self._updates.by_run

    def _slice_update(self, run: Run, gradient: np.ndarray, backend: str) -> Callable[[slice], None]:
        slots = [slot[run.slots] for slot in self._slots.values()]

        def update(part: slice) -> None:
            w = run.weights[part]
            if run.decays and self.weight_decay is not None:
                reference.weight_decay_step(w, self.weight_decay, self._scalars.learning_rate)
            self.step_slice(w, gradient[part], [slot[part] for slot in slots], self._scalars, backend)

        is_kernel = backend == "numba" and not run.decays and calls_kernels_only(self.step_slice)
        return kernels_only(update) if is_kernel else update

    def _clip(self, gradients: list[np.ndarray]) -> None:
        """Clip in place, as Keras does: a limit of 0 means none."""
        if self.clipnorm:
            for g in gradients:
                reference.clip_by_norm(g, self.clipnorm)
        elif self.global_clipnorm:
            reference.clip_by_global_norm(gradients, self.global_clipnorm)
        elif self.clipvalue:
            for g in gradients:
                reference.clip_by_value(g, self.clipvalue)

    def _rate_of(self, value: Any) -> Variable | LearningRateSchedule:
        """What the argument `learning_rate` means."""
        if isinstance(value, LearningRateSchedule):
            return value
        return self._scalar("learning_rate", _rate(value), settings.floatx())

    def _scalar(self, name: str, value: float, dtype: str) -> Variable:
        return self._state(np.array(value, dtype), name)

    def _state(self, array: np.ndarray, name: str) -> Variable:
        """A variable of the optimizer itself. It has its home already: no model may move it."""
        variable = Variable(array, name=name, path=f"{self.name}/{name}", trainable=False)
        variable.has_home = True
        return variable


def kernels() -> Any:
    """The module of kernels that update slices; Numba is imported when it is first asked for."""
    return import_module("minicnn.kernels.optimizers")


def _rate(value: Any) -> float:
    if callable(value):
        raise ValueError(f"`learning_rate` must be a number or a LearningRateSchedule. Received {value!r}.")
    return number("learning_rate", np.asarray(value).item() if np.ndim(value) == 0 else value, 0)


def _with_gradients(grads: Sequence[Any], variables: Sequence[Variable]) -> list[Variable]:
    """The variables whose gradient isn't None."""
    missing = [v.path for g, v in zip(grads, variables, strict=True) if g is None]
    if len(missing) == len(variables):
        raise ValueError("No gradients provided for any variable.")
    if missing:
        warnings.warn(f"Gradients do not exist for variables {missing}; they stay as they are.", stacklevel=4)
    return [v for g, v in zip(grads, variables, strict=True) if g is not None]


def _whole(size: int, function: Callable[[slice], None]) -> Callable[[], None]:
    return partial(function, slice(0, size))
