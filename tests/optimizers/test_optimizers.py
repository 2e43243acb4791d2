"""Optimizers: steps against the oracles, the same bits for any slicing and layout, state, bad arguments."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import config, optimizers
from minicnn.engine.parameters import Variable, flat_views, give_home
from minicnn.engine.slices import Sliced
from minicnn.testing import oracles, tolerances

ARITHMETICS = {"float32": tolerances.FLOAT32, "float64": tolerances.FLOAT64}
SHAPES = {"conv/kernel": (3, 3, 1, 5), "conv/bias": (5,), "dense/kernel": (45, 7), "dense/bias": (7,)}
MAKE = {
    "sgd": lambda: optimizers.SGD(0.1),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optimizers.RMSprop(),
    "rmsprop momentum": lambda: optimizers.RMSprop(momentum=0.9),
    "rmsprop centered": lambda: optimizers.RMSprop(centered=True),
    "rmsprop both": lambda: optimizers.RMSprop(momentum=0.9, centered=True),
    "adam": lambda: optimizers.Adam(),
    "amsgrad": lambda: optimizers.Adam(amsgrad=True),
    "adamw": lambda: optimizers.AdamW(weight_decay=0.1),
    "clipvalue": lambda: optimizers.SGD(0.1, clipvalue=0.5),
    "clipnorm": lambda: optimizers.SGD(0.1, clipnorm=0.5),
    "global_clipnorm": lambda: optimizers.SGD(0.1, global_clipnorm=0.5),
    "decay": lambda: optimizers.SGD(0.1, weight_decay=0.1),
}


def make_variables(seed=0, dtype="float32", shapes=SHAPES):
    rng = np.random.default_rng(seed)
    return [
        Variable(rng.normal(size=shape).astype(dtype), name=path.split("/")[1], path=path)
        for path, shape in shapes.items()
    ]


def make_gradients(seed, variables):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=v.shape).astype(v.dtype) for v in variables]


def flat(gradients, variables):
    vector, views = flat_views(variables, np.dtype(variables[0].dtype))
    for view, gradient in zip(views, gradients, strict=True):
        view[...] = gradient
    return vector


def state(optimizer, variables):
    return [v.numpy() for v in (*variables, *optimizer.variables)]


# Momentum and betas that float32 holds: Keras rounds others to float32 in float64 too, the oracles don't.
ORACLES = {
    "sgd": (optimizers.SGD, {"learning_rate": 0.1}),
    "momentum": (optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.875}),
    "nesterov": (optimizers.SGD, {"learning_rate": 0.1, "momentum": 0.875, "nesterov": True}),
    "rmsprop": (optimizers.RMSprop, {"learning_rate": 0.001}),
    "rmsprop momentum": (optimizers.RMSprop, {"learning_rate": 0.001, "momentum": 0.9}),
    "rmsprop centered": (optimizers.RMSprop, {"learning_rate": 0.001, "centered": True}),
    "adam": (optimizers.Adam, {"learning_rate": 0.001, "beta_1": 0.875, "beta_2": 1 - 2.0**-10}),
}


@pytest.mark.parametrize("name", ORACLES)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["float32", "float64"]))
@settings(max_examples=20)
def test_several_steps(name, seed, dtype):
    config.set_floatx(dtype)  # the learning rate follows
    try:
        cls, options = ORACLES[name]
        optimizer, oracle = cls(**options), cls.__name__.lower()
    finally:
        config.set_floatx("float32")
    w = np.random.default_rng(seed).normal(size=12).astype(dtype)
    variable = Variable(w.copy(), name="w")
    gradients = [make_gradients([seed, t], [variable])[0] for t in range(5)]
    bounds = tolerances.optimizer_bound(oracle, w, gradients, arithmetic=ARITHMETICS[dtype], **options)
    expected, slots = w.astype(np.float64), None
    # The learning rate is itself rounded to the dtype: one unit roundoff of the whole way.
    rate_error = 0.0
    for gradient, bound in zip(gradients, bounds, strict=True):
        before = expected
        expected, slots = oracles.OPTIMIZERS[oracle](expected, gradient, slots, **options)
        rate_error = rate_error + ARITHMETICS[dtype].u * np.abs(expected - before)
        optimizer.apply_gradients([(gradient, variable)])
        assert (np.abs(variable.array - expected) <= bound + rate_error).all()


def test_amsgrad_by_its_formula():
    variable = Variable(np.array([1.0]), name="w")
    config.set_floatx("float64")
    optimizer = optimizers.Adam(0.1, beta_1=0.875, beta_2=0.75, amsgrad=True)
    config.set_floatx("float32")
    w, m, v, v_hat = 1.0, 0.0, 0.0, 0.0
    for t, g in enumerate([3.0, 0.01, 0.02], 1):
        optimizer.apply_gradients([(np.array([g]), variable)])
        m, v = 0.875 * m + 0.125 * g, 0.75 * v + 0.25 * g * g
        v_hat = max(v_hat, v)
        w -= 0.1 * np.sqrt(1 - 0.75**t) / (1 - 0.875**t) * m / (np.sqrt(v_hat) + 1e-7)
        np.testing.assert_allclose(variable.array, [w], rtol=1e-14)  # some 20 roundings a step
    assert v < v_hat


def test_hyperparameters_that_keras_casts_are_rounded_to_float32():
    """The order of magnitude: β₂ = 0.999 moves Adam's first step in float64 by half of 1.3e-8 / 0.001."""
    for beta_2, error in ((0.999, 0.999 - 0.9990000128746033), (1 - 2.0**-10, 0.0)):
        variable, adam = Variable(np.array([0.0]), name="w"), optimizers.Adam(1.0, 0.0, beta_2, epsilon=0.0)
        adam.apply_gradients([(np.array([1.0]), variable)])
        # The next term of the root is 1e-5 of this one.
        np.testing.assert_allclose(-variable.array[0] - 1, 0.5 * error / (1 - beta_2), rtol=1e-5)


# Slices, layouts, backends


def slices_of(size):
    """Cut at odd places, out of order."""
    edges = sorted({0, size, *(cut for cut in (1, 17, 40, 63) if cut < size)})
    return [slice(a, b) for a, b in itertools.pairwise(edges)][::-1]


def in_slices(size, function):
    return lambda: [function(part) for part in slices_of(size)]


def repeated(size, function):
    """Taken down in the first step, in small slices, and repeated by machine code from then on."""
    sliced = Sliced(size, function)
    sliced.least = 16
    return sliced


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MAKE)
def test_the_same_bits_however_it_is_done(name, dtype):
    """User's call, flat vectors whole and in slices, weights at home in one vector or in three, both backends, from
    one array of gradients or from a new one in each step, with a learning rate that changes.
    """

    def homes(variables, groups):
        for start, stop in groups:
            give_home(variables[start:stop])

    results = []
    for backend, slicer, groups in (
        (None, None, ()),
        ("reference", None, ()),
        ("reference", in_slices, ()),
        ("numba", in_slices, ((0, 4),)),
        ("numba", repeated, ((0, 4),)),
        ("numba", repeated, ((0, 1), (1, 3), (3, 4))),
        ("reference", in_slices, ((0, 1), (1, 3), (3, 4))),
        ("reference", None, ((3, 4), (1, 2), (0, 1), (2, 3))),
    ):
        variables, optimizer = make_variables(dtype=dtype), MAKE[name]()
        homes(variables, groups)
        optimizer.build(variables)
        gradient = flat(make_gradients(0, variables), variables)
        for t in range(4):
            gradients = make_gradients(t, variables)
            optimizer.learning_rate = 0.01 / (t + 1)
            if backend is None:
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
            else:
                gradient[...] = flat(gradients, variables)
                optimizer.step(gradient if slicer is repeated else gradient.copy(), backend, slicer)
        results.append(state(optimizer, variables))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert all(np.isfinite(a).all() for a in results[0])


def test_runs_are_as_long_as_they_can_be():
    variables = make_variables()
    give_home(variables)
    optimizer = optimizers.SGD()
    optimizer.build(variables)
    assert len(optimizer._layout.runs) == 1
    optimizer.build(variables[1:])
    assert len(optimizer._layout.runs) == 1
    optimizer.build([variables[0], variables[2]])
    assert len(optimizer._layout.runs) == 2


def test_untrained_neighbours_and_padding_stay_what_they_are():
    variables = make_variables()
    give_home(variables)
    frozen = variables[1].numpy()
    home = variables[0].array.base.view("float32")
    optimizer = optimizers.AdamW(weight_decay=0.5)
    trained = [variables[0], *variables[2:]]
    optimizer.build(trained)
    for t in range(3):
        optimizer.step(flat(make_gradients(t, trained), trained), "reference", in_slices)
    np.testing.assert_array_equal(variables[1].array, frozen)
    used = np.zeros(home.size, bool)
    for v in variables:
        start = (v.array.ctypes.data - home.ctypes.data) // 4
        used[start : start + v.array.size] = True
    assert used.sum() < home.size
    assert (home[~used] == 0).all()


def test_some_variables_of_a_built_optimizer():
    """Slots belong to their variables, whatever is updated together."""
    whole, parts = make_variables(), make_variables()
    one, two = optimizers.Adam(), optimizers.Adam()
    one.build(whole)
    two.build(parts)
    gradients = make_gradients(0, whole)
    one.apply_gradients(zip(gradients, whole, strict=True))
    two.apply_gradients([(gradients[2], parts[2]), (gradients[0], parts[0])])
    for k in (0, 2):
        np.testing.assert_array_equal(whole[k].array, parts[k].array)
        np.testing.assert_array_equal(one.variables[2 + 2 * k].array, two.variables[2 + 2 * k].array)
    np.testing.assert_array_equal(parts[1].array, make_variables()[1].array)
    assert (two.variables[2 + 2].array == 0).all()
    two.build([parts[3]])
    two.step(flat([gradients[3]], [parts[3]]))
    assert (parts[3].array != make_variables()[3].array).all()
    np.testing.assert_array_equal(parts[1].array, make_variables()[1].array)


def test_slots_in_another_order_than_the_weights():
    """Neighbours in the weights' vector and in the gradient, whose slots lie apart."""
    one, two = make_variables(), make_variables()
    give_home(two)
    alone, together = optimizers.SGD(0.1, momentum=0.9), optimizers.SGD(0.1, momentum=0.9)
    alone.build([one[0], one[2], one[1]])
    together.build([two[0], two[2], two[1]])
    for t in range(3):
        gradients = make_gradients(t, one)
        for k in (0, 1):
            alone.apply_gradients([(gradients[k], one[k])])
        together.build(two[:2])
        together.step(flat(gradients[:2], two[:2]))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    for a, b in zip(alone.variables[2:], together.variables[2:], strict=True):
        np.testing.assert_array_equal(a.array, b.array)


# Clipping and weight decay


def test_clipping():
    g = [np.array([3.0, 4.0]), np.array([0.0, 12.0])]
    cases = {
        "clipvalue": [[1.0, 1.0], [0.0, 1.0]],
        "clipnorm": [[0.6, 0.8], [0.0, 1.0]],
        "global_clipnorm": [[3 / 13, 4 / 13], [0.0, 12 / 13]],
    }
    for argument, expected in cases.items():
        variables = [Variable(np.zeros(2), name=f"v{k}") for k in range(2)]
        optimizers.SGD(1.0, **{argument: 1.0}).apply_gradients(zip(g, variables, strict=True))
        for v, e in zip(variables, expected, strict=True):
            np.testing.assert_allclose(v.array, np.negative(e), rtol=1e-15)  # a norm, a product, a quotient
    np.testing.assert_array_equal(g[0], [3, 4])


@pytest.mark.parametrize("argument", ["clipvalue", "clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("limit", [None, 0, 100.0])
def test_small_gradients_are_not_clipped(argument, limit):
    g, variable = np.array([0.3, -0.4]), Variable(np.zeros(2), name="v")
    optimizers.SGD(1.0, **{argument: limit}).apply_gradients([(g, variable)])
    np.testing.assert_allclose(variable.array, -g, rtol=1e-15)


@pytest.mark.parametrize("argument", ["clipvalue", "clipnorm", "global_clipnorm"])
def test_zero_gradients_stay_zero(argument):
    variable = Variable(np.ones(2), name="v")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizers.SGD(1.0, **{argument: 1.0}).apply_gradients([(np.zeros(2), variable)])
    np.testing.assert_array_equal(variable.array, [1, 1])


def test_an_infinite_global_norm_is_no_norm():
    variable = Variable(np.ones(2), name="v")
    optimizers.SGD(1.0, global_clipnorm=1.0).apply_gradients([(np.array([np.inf, 0]), variable)])
    assert np.isnan(variable.array).all()


def test_weight_decay_comes_before_the_step():
    variable = Variable(np.array([2.0]), name="w")
    optimizers.SGD(0.5, weight_decay=0.5).apply_gradients([(np.array([1.0]), variable)])
    assert variable.array[0] == 2 - 2 * 0.5 * 0.5 - 0.5


def test_spared_from_weight_decay():
    variables = make_variables()
    give_home(variables)
    optimizer = optimizers.AdamW(weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias$"])
    before = [v.numpy() for v in variables]
    optimizer.apply_gradients([(np.zeros(v.shape), v) for v in variables])
    changed = [bool((v.array != b).any()) for v, b in zip(variables, before, strict=True)]
    assert changed == [True, False, False, False]
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


# State


def test_variables_have_keras_order():
    order = {
        "sgd": [],
        "momentum": ["conv_kernel_momentum", "conv_bias_momentum"],
        "rmsprop both": [
            f"{v}_{slot}"
            for slot in ("velocity", "momentum", "average_gradient")
            for v in ("conv_kernel", "conv_bias")
        ],
        "amsgrad": [
            "conv_kernel_momentum",
            "conv_kernel_velocity",
            "conv_bias_momentum",
            "conv_bias_velocity",
            "conv_kernel_velocity_hat",
            "conv_bias_velocity_hat",
        ],
    }
    for name, slots in order.items():
        optimizer = MAKE[name]()
        optimizer.build(make_variables()[:2])
        assert [v.path for v in optimizer.variables] == [
            f"{optimizer.name}/{part}" for part in ("iteration", "learning_rate", *slots)
        ]


def test_state_can_be_carried_over():
    first, second = make_variables(), make_variables()
    one, two = optimizers.Adam(), optimizers.Adam()
    for t in range(2):
        one.apply_gradients(zip(make_gradients(t, first), first, strict=True))
    two.build(second)
    for source, target in zip((*first, *one.variables), (*second, *two.variables), strict=True):
        target.assign(source.numpy())
    for optimizer, variables in ((one, first), (two, second)):
        optimizer.apply_gradients(zip(make_gradients(5, variables), variables, strict=True))
    for a, b in zip(state(one, first), state(two, second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_counts():
    variables, optimizer = make_variables(), optimizers.SGD()
    versions = [v.version for v in variables]
    assert (
        int(optimizer.apply_gradients(zip(make_gradients(0, variables), variables, strict=True)).array) == 1
    )
    optimizer.apply(make_gradients(1, variables))
    assert int(optimizer.iterations.array) == 2
    assert [v.version - before for v, before in zip(variables, versions, strict=True)] == [2, 2, 2, 2]


def test_the_learning_rate_can_be_set():
    variable, optimizer = Variable(np.array([1.0]), name="w"), optimizers.SGD(0.5)
    optimizer.learning_rate = 0.25
    optimizer.apply_gradients([(np.array([1.0]), variable)])
    assert variable.array[0] == 0.75
    optimizer.learning_rate.assign(0.5)
    optimizer.apply_gradients([(np.array([1.0]), variable)])
    assert variable.array[0] == 0.25
    optimizer.learning_rate = np.float32(0.125)
    assert optimizer.get_config()["learning_rate"] == 0.125


def test_the_learning_rate_follows_floatx():
    assert optimizers.SGD(0.1).learning_rate.array == np.float32(0.1)
    config.set_floatx("float64")
    try:
        assert optimizers.SGD(0.1).learning_rate.array == 0.1
    finally:
        config.set_floatx("float32")


def test_gradients_are_not_changed():
    for name in ("clipnorm", "global_clipnorm", "clipvalue", "adam"):
        variables = make_variables()
        gradients = make_gradients(0, variables)
        MAKE[name]().apply_gradients(zip(gradients, variables, strict=True))
        for a, b in zip(gradients, make_gradients(0, variables), strict=True):
            np.testing.assert_array_equal(a, b)


def test_missing_gradients():
    variables, optimizer = make_variables(), optimizers.SGD()
    gradients = make_gradients(0, variables)
    gradients[1] = None
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['conv/bias'\]"):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
    np.testing.assert_array_equal(variables[1].array, make_variables()[1].array)
    assert (variables[2].array != make_variables()[2].array).all()
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.apply([None] * 4)
    optimizer.apply([], [])


# Bad arguments


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (optimizers.SGD, {"learning_rate": "0.1"}),
        (optimizers.SGD, {"learning_rate": -0.1}),
        (optimizers.SGD, {"learning_rate": float("nan")}),
        (optimizers.SGD, {"learning_rate": None}),
        (optimizers.SGD, {"learning_rate": lambda: 0.1}),
        (optimizers.SGD, {"learning_rate": [0.1]}),
        (optimizers.SGD, {"momentum": 1.5}),
        (optimizers.SGD, {"momentum": -0.1}),
        (optimizers.SGD, {"clipnorm": 1.0, "clipvalue": 1.0}),
        (optimizers.SGD, {"clipnorm": -1}),
        (optimizers.SGD, {"weight_decay": "0"}),
        (optimizers.SGD, {"use_ema": True}),
        (optimizers.SGD, {"ema_momentum": 0.5}),
        (optimizers.SGD, {"ema_overwrite_frequency": 3}),
        (optimizers.SGD, {"loss_scale_factor": 2.0}),
        (optimizers.SGD, {"gradient_accumulation_steps": 2}),
        (optimizers.RMSprop, {"rho": 1.1}),
        (optimizers.RMSprop, {"epsilon": -1e-7}),
        (optimizers.Adam, {"beta_1": 1.0}),
        (optimizers.Adam, {"beta_2": -0.1}),
        (optimizers.AdamW, {"weight_decay": None}),
    ],
)
def test_arguments_that_make_no_sense(cls, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        cls(**arguments)


def test_calls_that_make_no_sense():
    variables = make_variables()
    optimizer = optimizers.Adam()
    with pytest.raises(ValueError, match="build"):
        optimizer.apply([np.zeros(3)])
    with pytest.raises(ValueError, match="build"):
        optimizer.step(np.zeros(3))
    with pytest.raises(ValueError, match="Received 0"):
        optimizer.build([])
    with pytest.raises(ValueError, match=r"one dtype.*float32.*float64"):
        optimizer.build([variables[0], *make_variables(dtype="float64")])
    optimizer.build(variables)
    before = state(optimizer, variables)
    with pytest.raises(ValueError, match="Unknown variable 'conv/kernel'"):
        optimizer.build(make_variables())
    with pytest.raises(ValueError, match=r"'dense/bias' must have shape \(7,\)\. Received shape \(6,\)"):
        optimizer.apply([*make_gradients(0, variables)[:3], np.zeros(6)])
    with pytest.raises(ValueError, match="Received 3 gradients for 4 variables"):
        optimizer.apply(make_gradients(0, variables)[:3])
    with pytest.raises(ValueError, match="flat gradient must have shape"):
        optimizer.step(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="`backend` must be one of"):
        optimizer.step(flat(make_gradients(0, variables), variables), "torch")
    for a, b in zip(before, state(optimizer, variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_identifiers():
    assert isinstance(optimizers.get("rmsprop"), optimizers.RMSprop)
    assert isinstance(optimizers.get("ADAMW"), optimizers.AdamW)
    optimizer = optimizers.SGD()
    assert optimizers.get(optimizer) is optimizer
    assert optimizers.get(None) is None
    with pytest.raises(ValueError, match="must be an Optimizer"):
        optimizers.get(print)


@pytest.mark.parametrize("name", MAKE)
def test_configuration(name):
    optimizer = MAKE[name]()
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert again.slot_names == optimizer.slot_names
