"""What fit, evaluate and predict count, in which order, and when they stop; on numbers that a head can follow.

The net multiplies by w, 1 at first, and the learning rate is 0 unless a test says otherwise: the loss of x is (w·x)².
"""

import numpy as np
import pytest

from minicnn import Input, callbacks, layers, losses, metrics, models, optimizers, utils
from minicnn.engine.plan import INPUT
from minicnn.models.chain import MAX_EXECUTORS
from minicnn.models.wants import Wants

X = np.arange(5, dtype=np.float32)[:, None]
ZEROS = np.zeros((5, 1), np.float32)
# Batches of 2: the losses are (0, 1), (4, 9), (16); their mean is 6, the mean of the batches' means 7.67.
IN_TWOS = {"batch_size": 2, "shuffle": False, "verbose": 0}


def make(loss="mse", learning_rate=0.0, **options):
    model = models.Sequential(
        [Input((1,)), layers.Dense(1, use_bias=False, kernel_initializer="ones", name="w")]
    )
    model.compile(optimizers.SGD(learning_rate), loss, **options)
    return model


def weight(model):
    return float(model.get_layer("w").kernel.numpy()[0, 0])


class Notes(callbacks.Callback):
    """Writes down what happens, and may do something then."""

    def __init__(self, **actions):
        super().__init__()
        self.events, self.actions = [], actions

    def __getattribute__(self, name):
        if not name.startswith("on_"):
            return super().__getattribute__(name)

        def hook(*position, logs=None):
            self.events.append((name[3:], *position))
            if name in self.actions:
                self.actions[name](self.model, *position)

        return hook

    def positions(self, name):
        return [event[1] for event in self.events if event[0] == name]


def set_weight(value):
    return lambda model, *_: model.get_layer("w").set_weights([np.full((1, 1), value)])


class TestCounting:
    def test_every_example_counts_the_same(self):
        """Also those of the short last batch."""
        model = make(metrics=["mae"])
        history = model.fit(X, ZEROS, **IN_TWOS).history
        assert history == {"loss": [6.0], "mae": [2.0]}
        assert model.evaluate(X, ZEROS, batch_size=2, verbose=0) == [6.0, 2.0]

    def test_weights_count_in_the_loss_and_in_weighted_metrics(self):
        model = make(metrics=["mae"], weighted_metrics=[metrics.MeanAbsoluteError(name="weighted")])
        weights = np.array([1, 0, 0, 0, 3])
        logs = model.fit(X, ZEROS, sample_weight=weights, **IN_TWOS).history
        # The loss divides by the number of examples, the metric by the sum of the weights.
        assert logs["loss"] == [pytest.approx(3 * 16 / 5, rel=1e-6)]
        assert logs["mae"] == [2.0]
        assert logs["weighted"] == [3 * 4 / 4]

    @pytest.mark.parametrize(
        ("reduction", "expected"),
        # Of the batches 0, 0 and 48, 48, 16: counted by their examples, 2, 2 and 1 of 5.
        [("sum_over_batch_size", 48 / 5), ("sum", 48 / 5), ("mean_with_sample_weight", 16 / 5)],
    )
    def test_reductions(self, reduction, expected):
        model = make(losses.MeanSquaredError(reduction=reduction))
        logs = model.fit(X, ZEROS, sample_weight=np.array([1, 0, 0, 0, 3]), **IN_TWOS).history
        assert logs["loss"] == [pytest.approx(expected, rel=1e-6)]

    @pytest.mark.parametrize(("reduction", "slope"), [("sum_over_batch_size", 2 * 6), ("sum", 2 * 30)])
    def test_the_step_follows_the_slope_of_the_reduced_loss(self, reduction, slope):
        model = make(losses.MeanSquaredError(reduction=reduction), learning_rate=2**-10)
        model.fit(X, ZEROS, batch_size=5, verbose=0)
        assert weight(model) == 1 - 2**-10 * slope

    def test_class_weights(self):
        classes = np.array([0, 0, 1, 2, 1])
        model = models.Sequential([Input((3,)), layers.Dense(3, activation="softmax")])
        model.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        x = np.zeros((5, 3), np.float32)
        # Each example costs log 3; class 2 isn't named and weighs 1.
        logs = model.fit(x, classes, class_weight={0: 0.0, 1: 2.0}, verbose=0).history
        assert logs["loss"] == [pytest.approx(np.log(3) * (2 + 1 + 2) / 5, rel=1e-6)]

    def test_each_epoch_counts_anew(self):
        history = make(metrics=["mae"]).fit(
            X, ZEROS, epochs=2, callbacks=[Notes(on_epoch_end=set_weight(2))], **IN_TWOS
        )
        assert history.history == {"loss": [6.0, 24.0], "mae": [2.0, 4.0]}

    def test_validation_and_evaluation_count_by_themselves(self):
        model = make(metrics=["mae"])
        data = (np.full((3, 1), 10.0), np.zeros((3, 1)))
        history = model.fit(X, ZEROS, validation_data=data, epochs=2, **IN_TWOS).history
        assert history == {"loss": [6, 6], "mae": [2, 2], "val_loss": [100, 100], "val_mae": [10, 10]}
        # Three times the third of 100, in float32.
        loss = pytest.approx(100, rel=1e-7)
        assert model.evaluate(*data, verbose=0) == [loss, 10.0]
        assert model.evaluate(*data, verbose=0, return_dict=True) == {"loss": loss, "mae": 10.0}
        assert make().evaluate(*data, verbose=0) == loss

    def test_validation_split_takes_the_last(self):
        logs = make().fit(X, ZEROS, validation_split=0.4, **IN_TWOS).history
        assert logs == {"loss": [pytest.approx(5 / 3, rel=1e-6)], "val_loss": [12.5]}

    def test_single_batches_are_counted_by_themselves(self):
        model = make(metrics=["mae"])
        assert model.metrics == [] or [m.name for m in model.metrics] == ["loss"]
        assert model.train_on_batch(X[1:2], ZEROS[:1]) == [1.0, 1.0]
        assert model.train_on_batch(X[3:4], ZEROS[:1]) == [9.0, 3.0]
        assert model.metrics_names == ["loss", "mae"]
        assert model.test_on_batch(X[3:4], ZEROS[:1]) == [9.0, 3.0]
        assert model.test_on_batch(X[1:2], ZEROS[:1], return_dict=True) == {"loss": 1.0, "mae": 1.0}
        # 0·1 + 2·9 over two examples
        assert model.test_on_batch(X[[1, 3]], ZEROS[:2], sample_weight=np.array([0, 2]))[0] == 9.0

    def test_before_compile_there_is_nothing_to_count(self):
        model = models.Sequential([Input((1,)), layers.Dense(1)])
        model.reset_metrics()
        assert model.metrics == model.metrics_names == []


class TestOrder:
    def test_epochs(self):
        model, notes = make(), Notes()
        history = model.fit(X, ZEROS, epochs=5, initial_epoch=3, callbacks=[notes], **IN_TWOS)
        assert history.epoch == notes.positions("epoch_begin") == notes.positions("epoch_end") == [3, 4]
        assert notes.positions("train_batch_begin") == notes.positions("train_batch_end") == [0, 1, 2] * 2
        assert notes.events[0] == ("train_begin",)
        assert notes.events[-1] == ("train_end",)

    @pytest.mark.parametrize(("frequency", "epochs"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), ([1, 5], [0, 4])])
    def test_validation_frequency(self, frequency, epochs):
        due = []
        notes = Notes(on_epoch_begin=lambda model, epoch: due.append(epoch))
        seen = []
        notes.actions["on_test_begin"] = lambda model: seen.append(due[-1])
        make().fit(
            X,
            ZEROS,
            epochs=5,
            validation_data=(X, ZEROS),
            validation_freq=frequency,
            callbacks=[notes],
            verbose=0,
        )
        assert seen == epochs

    @pytest.mark.parametrize(("number", "firsts", "lasts"), [(2, [0, 2, 4], [1, 3, 4]), (7, [0], [4])])
    def test_several_steps_an_execution(self, number, firsts, lasts):
        """Callbacks hear of the first and of the last batch of each group; every batch is trained on."""
        notes, model = Notes(), make(learning_rate=2**-10, steps_per_execution=number)
        options = {"batch_size": 1, "shuffle": False, "verbose": 0}
        model.fit(X, ZEROS, callbacks=[notes], **options)
        assert notes.positions("train_batch_begin") == firsts
        assert notes.positions("train_batch_end") == lasts
        one_by_one = make(learning_rate=2**-10)
        one_by_one.fit(X, ZEROS, **options)
        assert weight(model) == weight(one_by_one) != 1
        assert int(model.optimizer.iterations.numpy()) == 5

    def test_a_callback_list_is_taken_as_it_is(self):
        notes = Notes()
        model = make()
        model.fit(X, ZEROS, callbacks=callbacks.CallbackList([notes], model=model), **IN_TWOS)
        assert ("train_begin",) in notes.events

    def test_sources_give_what_arrays_give(self):
        def batches():
            for k in (0, 2, 4):
                yield X[k : k + 2], ZEROS[k : k + 2]

        model = make()
        assert model.fit(batches(), verbose=0).history == {"loss": [6.0]}
        assert model.evaluate(batches(), verbose=0) == 6.0
        np.testing.assert_array_equal(model.predict(batches(), verbose=0), X)


def stop(name):
    return lambda model, *_: setattr(model, name, True)


class TestStopping:
    def test_in_the_middle_of_an_epoch(self):
        notes = Notes(on_train_batch_end=lambda m, batch: stop("stop_training")(m) if batch == 1 else None)
        model = make()
        history = model.fit(X, ZEROS, epochs=3, callbacks=[notes], **IN_TWOS)
        assert notes.positions("train_batch_end") == [0, 1]
        assert history.epoch == [0]
        assert history.history == {"loss": [3.5]}
        assert notes.events[-1] == ("train_end",)
        assert make().fit(X, ZEROS, epochs=2, **IN_TWOS).epoch == [0, 1]
        assert model.fit(X, ZEROS, epochs=2, **IN_TWOS).epoch == [0, 1]

    def test_evaluation(self):
        model = make()
        notes = Notes(on_test_batch_end=stop("stop_evaluating"))
        assert model.evaluate(X, ZEROS, batch_size=2, callbacks=[notes], verbose=0) == 0.5
        assert model.evaluate(X, ZEROS, batch_size=2, verbose=0) == 6.0

    def test_prediction(self):
        model, notes = make(), Notes(on_predict_batch_end=stop("stop_predicting"))
        np.testing.assert_array_equal(model.predict(X, batch_size=2, callbacks=[notes], verbose=0), X[:2])
        assert [event[0] for event in notes.events] == [
            "predict_begin", "predict_batch_begin", "predict_batch_end", "predict_end",
        ]  # fmt: skip
        np.testing.assert_array_equal(model.predict(X, batch_size=2, verbose=0), X)


class TestCompile:
    def test_it_decides_what_is_trained(self):
        model = make(learning_rate=0.01)
        model.get_layer("w").trainable = False
        model.fit(X, ZEROS, verbose=0)
        before = weight(model)
        assert before != 1
        model.compile(optimizers.SGD(0.01), "mse")
        with pytest.warns(UserWarning, match="does not have any trainable weights"):
            logs = model.fit(X, ZEROS, verbose=0).history
        assert logs["loss"] == [pytest.approx(6 * before**2, rel=1e-6)]
        assert weight(model) == before

    def test_it_decides_how(self):
        model = make()
        for options, backend, fuses in (
            ({}, "numba", True),
            ({"backend": "reference", "fuse": False}, "reference", False),
        ):
            model.compile("sgd", "mse", **options)
            model.predict(X, verbose=0)
            with model.executor(Wants((1,), False)) as executor:
                assert executor.plan.backend == backend
            assert model.fuses is fuses

    @pytest.mark.parametrize("given", ["mae", metrics.MeanAbsoluteError(name="mae"), ["mae"], ("mae",)])
    def test_metrics(self, given):
        assert make(metrics=given).evaluate(X, ZEROS, verbose=0) == [6.0, 2.0]

    def test_a_function_as_a_metric(self):
        def largest(y_true, y_pred):
            return np.abs(y_true - y_pred).max(-1)

        assert make(metrics=largest).evaluate(X, ZEROS, verbose=0, return_dict=True)["largest"] == 2.0

    @pytest.mark.parametrize("argument", ["metrics", "weighted_metrics"])
    def test_what_is_no_list_of_metrics(self, argument):
        with pytest.raises(
            ValueError, match=rf"`{argument}` must be a list of metrics\. Received {argument}=3\."
        ):
            make(**{argument: 3})

    def test_a_model_that_is_not_trainable(self):
        model = make()
        frozen = models.Model(model.input, model.output, trainable=False)
        assert frozen.trainable_variables == []
        assert not model.get_layer("w").trainable

    def test_several_outputs_cannot_be_trained(self):
        start = Input((1,))
        middle = layers.Dense(1)(start)
        model = models.Model(start, [middle, layers.Dense(1)(middle)], name="two")
        model.compile("sgd", "mse")
        with pytest.raises(
            ValueError, match=r"Only a model with one output can be trained\. 'two' has several"
        ):
            model.fit(X, ZEROS, verbose=0)


class TestDropout:
    def net(self):
        model = models.Sequential(
            [Input((200,)), layers.Dropout(0.5, seed=3), layers.Dense(1, use_bias=False)]
        )
        model.compile(optimizers.SGD(0.0), "mse")
        return model

    def test_every_step_draws_anew_and_a_second_run_the_same(self):
        x, y = np.ones((1, 200), np.float32), np.zeros((1, 1))
        runs = []
        for _ in range(2):
            utils.set_random_seed(1)
            model = self.net()
            losses_of_steps = []
            for _ in range(5):
                model.reset_metrics()
                losses_of_steps.append(model.train_on_batch(x, y))
            runs.append(losses_of_steps)
        assert runs[0] == runs[1]
        assert len(set(runs[0])) == 5

    def test_it_is_off_where_nothing_is_trained(self):
        x, y = np.ones((2, 200), np.float32), np.zeros((2, 1))
        model = self.net()
        kernel = model.get_weights()[0].astype(float)
        plain = float(kernel.sum()) ** 2
        # 200 numbers are summed in float32.
        assert model.evaluate(x, y, verbose=0) == pytest.approx(plain, rel=1e-4)
        loss, _, dx, _ = model.gradients(x, y, wants=(INPUT,))
        assert loss == pytest.approx(plain, rel=1e-4)
        np.testing.assert_allclose(dx[0], kernel.sum() * kernel[:, 0], rtol=1e-4)
        assert model.gradients(x, y, wants="input").input.shape == (2, 200)


def test_memory_is_kept_for_few_kinds_of_runs():
    model = models.Sequential([Input((None, None, 1)), layers.GlobalAveragePooling2D()])
    for size in range(1, MAX_EXECUTORS + 5):
        np.testing.assert_array_equal(model.predict(np.ones((1, size, 2, 1)), verbose=0), [[1]])
    assert len(model._executors) == MAX_EXECUTORS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "get_layer takes either `name` or `index`. Received name=None, index=None."),
        ({"name": "w", "index": 0}, "get_layer takes either `name` or `index`."),
        ({"index": 1}, "`index` must lie within the model's 1 layers. Received index=1."),
        ({"index": -2}, "`index` must lie within the model's 1 layers. Received index=-2."),
        ({"name": "v"}, "No layer is named 'v'. Existing layers are: ['w']."),
    ],
)
def test_layers_that_are_not_there(arguments, message):
    model = make()
    assert model.get_layer(index=-1) is model.get_layer("w") is model.get_layer(index=0)
    with pytest.raises(ValueError) as caught:
        model.get_layer(**arguments)
    assert str(caught.value) == message or str(caught.value).startswith(message)


LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]], np.float32)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize(
    ("activation", "loss", "targets", "expected"),
    [
        ("softmax", "categorical_crossentropy", np.eye(3)[[1, 2]], [-1.0, 3.0]),
        ("softmax", "sparse_categorical_crossentropy", np.array([1, 2]), [-1.0, 3.0]),
        ("sigmoid", "binary_crossentropy", np.eye(3)[[1, 2]], None),
    ],
)
def test_a_crossentropy_is_that_of_the_probabilities(activation, loss, targets, expected, fuse):
    """Computed from the logits, with one softmax and not two; the predictions are the probabilities."""
    model = models.Sequential([Input((3,)), layers.Activation(activation)])
    model.compile("sgd", loss, fuse=fuse)
    exponents = np.exp(LOGITS.astype(float))
    if expected is None:
        p = 1 / (1 + np.exp(-LOGITS.astype(float)))
        value = -np.mean(np.log(np.where(targets == 1, p, 1 - p)))
        slope = (p - targets) / 6
    else:
        p = exponents / exponents.sum(-1, keepdims=True)
        value = np.mean(np.log(exponents.sum(-1)) - expected)
        slope = (p - np.eye(3)[[1, 2]]) / 2
    assert model.evaluate(LOGITS, targets, verbose=0) == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(model.predict(LOGITS, verbose=0), p, rtol=1e-6)
    # Of p − t, both below 1 and rounded once.
    np.testing.assert_allclose(model.gradients(LOGITS, targets, wants=INPUT).input, slope, rtol=0, atol=2e-7)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin"])
def test_stopping_before_the_first_step_trains_one_batch(hook):
    """As Keras does: `stop_training` is looked at after each batch."""
    model = models.Sequential([Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse", backend="reference")

    def stop(*_, **__):
        model.stop_training = True

    history = model.fit(
        np.ones((6, 2)), np.ones((6, 1)), batch_size=2, epochs=3, verbose=0,
        callbacks=[callbacks.LambdaCallback(**{hook: stop})],
    )  # fmt: skip
    assert history.epoch == [0]
    assert int(model.optimizer.iterations.array) == 1
