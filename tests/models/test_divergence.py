"""A training that diverges says at which step and in which layer that began."""

import warnings

import numpy as np
import pytest

from minicnn import Input, callbacks, config, layers, models, optimizers

X = np.random.default_rng(0).random((16, 6, 6, 1), dtype=np.float32)
Y = np.arange(16) % 3


def net(*more):
    return models.Sequential(
        [
            Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(name="flat"),
            *more,
            layers.Dense(3, activation="softmax", name="last"),
        ]
    )


def fit(
    model, optimizer="sgd", loss="sparse_categorical_crossentropy", backend="reference", y=Y, x=X, **options
):
    model.compile(optimizer, loss, backend=backend)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, **options)
    return [str(w.message) for w in caught if "diverged" in str(w.message)]


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize(
    ("layer", "weight", "expected"),
    [
        ("first", 3e38, "in the output of layer 'first'"),
        ("middle", 3e38, "in the output of layer 'middle'"),
        ("last", 3e38, "in the output of layer 'last'"),
    ],
)
def test_the_layer_whose_output_overflows(layer, weight, expected, backend):
    """At the first step; fused or not, the layer is the one whose own values are the first that aren't finite."""
    model = net(layers.Dense(4, name="middle"))
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    variable = model.get_layer(layer).kernel
    variable.assign(np.full(variable.shape, weight, np.float32))
    messages = fit(model, backend=backend)
    assert len(messages) == 1, "once, not at every step"
    assert f"at step 1, {expected}." in messages[0]
    assert model.divergence.layer == layer
    assert model.divergence.step == 1


def test_the_update_that_spoils_weights():
    """A learning rate without measure: the loss of the step before was finite, the weights behind it aren't."""
    model = net()
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])  # drawn ones may leave no ReLU alive
    messages = fit(model, optimizers.SGD(1e38), epochs=3)
    assert len(messages) == 1
    step, layer = model.divergence.step, model.divergence.layer
    assert layer in ("first", "last")
    assert f"at step {step}, in" in messages[0]


@pytest.mark.parametrize("name", ["first", "last"])
def test_the_layer_whose_weights_were_spoilt(name):
    """Spoilt between two steps, as an update does it."""
    model = net()

    def spoil(batch, logs):
        if batch == 2:
            variable = model.get_layer(name).bias
            variable.assign(np.full(variable.shape, np.nan))

    messages = fit(model, callbacks=[callbacks.LambdaCallback(on_train_batch_end=spoil)])
    assert f"at step 3, in the gradient or the update of the bias of layer '{name}'." in messages[0]


def test_spoilt_by_the_last_step():
    """No loss is computed with those weights."""
    model = net()
    variable = model.get_layer("last").kernel
    messages = fit(
        model,
        callbacks=[
            callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: batch == 3 and variable.assign(variable.array * np.inf)
            )
        ],
    )
    assert "at step 4, in the gradient or the update of the kernel of layer 'last'." in messages[0]


def test_in_the_loss():
    model = models.Sequential([Input((2,)), layers.Dense(1)])
    x, y = np.ones((4, 2), np.float32), np.full((4, 1), 3e38, np.float32)
    assert "at step 1, in the loss." in fit(model, loss="mse", x=x, y=y)[0]


def test_nothing_to_say():
    model = net()
    assert model.divergence is None
    assert fit(model) == []
    assert model.divergence is None


def test_the_next_fit_begins_anew():
    model = net()
    variable = model.get_layer("last").bias
    variable.assign([np.inf, 0, 0])
    assert fit(model)
    variable.assign([0, 0, 0])
    for layer in model.layers:
        for v in layer.variables:
            v.assign(np.nan_to_num(v.array))
    assert fit(model) == []
    assert model.divergence is None


def test_terminate_on_nan_says_where():
    model = net()
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    model.get_layer("last").kernel.assign(np.full(model.get_layer("last").kernel.shape, 3e38, np.float32))
    with pytest.raises(RuntimeError, match=r"at batch 0.*at step 1, in the output of layer 'last'"):
        fit(model, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


def test_data_that_is_not_finite():
    model = net()
    before = config.check_finite
    config.check_finite = False
    try:
        messages = fit(model, x=np.full_like(X, np.nan))
    finally:
        config.check_finite = before
    assert "at step 1, in the input." in messages[0]
