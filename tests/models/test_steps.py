"""Training on several batches with nothing of Python's between them: what comes of it is what one by one gives."""

import warnings

import numpy as np
import pytest

from minicnn import Input, callbacks, config, layers, losses, models, optimizers, utils
from minicnn.engine import parallel, threads
from minicnn.engine.parallel import Executor
from minicnn.metrics import CategoricalAccuracy, MeanSquaredError, TopKCategoricalAccuracy
from minicnn.models import steps as steps_module

pytestmark = pytest.mark.jitted

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((70, 10, 10, 1)).astype(np.float32)
LABELS = RNG.integers(0, 4, 70)
TARGETS = np.eye(4, dtype=np.float32)[LABELS]
RATES = {
    "fixed": lambda: 0.01,
    "schedule": lambda: optimizers.schedules.PiecewiseConstantDecay([2, 5, 11], [0.1, 0.02, 0.3, 0.01]),
}


@pytest.fixture(autouse=True)
def restore_threads():
    number = config.num_threads()
    threads._crew(0).rest_s = 0
    yield
    config.set_num_threads(number)


@pytest.fixture
def together(monkeypatch):
    """How many steps each call of `Executor.run_steps` was asked for and has finished."""
    seen = []
    run_steps = Executor.run_steps

    def spy(self, *args, batches, **kwargs):
        result = run_steps(self, *args, batches=batches, **kwargs)
        seen.append((batches, None if result is None else result[1]))
        return result

    monkeypatch.setattr(Executor, "run_steps", spy)
    return seen


def net(*, rate=0.0, regularizer=None):
    utils.set_random_seed(1)
    return models.Sequential(
        [
            Input((10, 10, 1)),
            layers.Conv2D(6, 3, activation="relu", kernel_regularizer=regularizer),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            *([layers.Dropout(rate, seed=3)] if rate else []),
            layers.Dense(4, activation="softmax", name="last"),
        ]
    )


def train(
    monkeypatch,
    seconds,
    optimizer,
    *,
    x=IMAGES,
    y=TARGETS,
    epochs=2,
    metrics=(),
    listeners=(),
    backend="numba",
    **options,
):
    """(everything that training changes, as bytes; the history; the model)."""
    monkeypatch.setattr(steps_module, "LOOK_UP_S", seconds)
    model = options.pop("model", None) or net()
    loss = "categorical_crossentropy" if y.ndim == 2 else "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=list(metrics), backend=backend)
    history = model.fit(
        x,
        y,
        epochs=epochs,
        verbose=0,
        batch_size=8,
        callbacks=list(listeners),
        **{"shuffle": True, **options},
    )
    variables = [*model.variables, *model.optimizer.variables]
    return [v.numpy().tobytes() for v in variables], history.history, model


OPTIMIZERS = {
    "rmsprop": lambda rate: optimizers.RMSprop(rate),
    "rmsprop with all": lambda rate: optimizers.RMSprop(rate, momentum=0.5, centered=True),
    "adam": lambda rate: optimizers.Adam(rate),
    "sgd": lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_same_bits_as_one_after_the_other(optimizer, rate, number, together, monkeypatch):
    """Weights, slots, iterations, losses and metrics; the last batch of an epoch is a short one."""
    config.set_num_threads(number)
    counted = [
        CategoricalAccuracy(),
        MeanSquaredError(),
        TopKCategoricalAccuracy(2),
        lambda t, y: y[:, 0] * t[:, 1],
    ]
    alone = train(monkeypatch, 0, OPTIMIZERS[optimizer](RATES[rate]()), metrics=counted)
    assert not together
    joined = train(monkeypatch, 1e3, OPTIMIZERS[optimizer](RATES[rate]()), metrics=counted)
    assert together[-1] == (8, 8)
    assert sum(finished or 0 for _, finished in together) >= 8
    assert joined[:2] == alone[:2]


def test_a_metric_of_one_s_own_is_given_batch_by_batch(together, monkeypatch):
    """What it makes of a batch may depend on where that ends."""
    sizes = []

    def count(t, y):
        sizes.append(len(y))
        return y[:, 0]

    train(monkeypatch, 1e3, "rmsprop", metrics=[count], epochs=1)
    assert together[-1][0] == 7
    train(monkeypatch, 1e3, "rmsprop", metrics=[count])
    assert together[-1] == (8, 8)
    assert sizes == ([8] * 8 + [6]) * 3


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(
    ("why", "options"),
    [
        ("labels", {"y": LABELS}),
        ("integer images", {"x": (IMAGES * 40).astype(np.int8)}),
        ("weights", {"sample_weight": np.linspace(0, 1, 70)}),
        ("batches in order", {"shuffle": False}),
        ("half precision", {"x": IMAGES.astype(np.float16)}),
        ("not contiguous", {"x": np.asfortranarray(IMAGES)}),
    ],
)
def test_whatever_the_data_are(why, options, backend, monkeypatch):
    runs = []
    for seconds in (0, 1e3):
        runs.append(train(monkeypatch, seconds, "rmsprop", backend=backend, **options)[:2])
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("why", "model", "optimizer"),
    [
        ("random", lambda: net(rate=0.4), lambda: optimizers.RMSprop(0.01)),
        ("a penalty", lambda: net(regularizer="l2"), lambda: optimizers.RMSprop(0.01)),
        ("clipping", net, lambda: optimizers.RMSprop(0.01, clipnorm=0.1)),
        ("clipping all", net, lambda: optimizers.Adam(0.01, global_clipnorm=0.1)),
        ("decay", net, lambda: optimizers.AdamW(0.01, weight_decay=0.1)),
    ],
)
def test_what_needs_python_is_done_one_by_one(why, model, optimizer, together, monkeypatch):
    runs = [train(monkeypatch, seconds, optimizer(), model=model())[:2] for seconds in (0, 1e3)]
    assert runs[0] == runs[1]
    assert not any(finished for _, finished in together)


@pytest.mark.parametrize("method", ["step", "begin_step", "end_step"])
def test_an_optimizer_s_own_steps_are_taken(method, together, monkeypatch):
    """A subclass may do more in each than the base does."""
    taken = []

    def own(self, *args, **kwargs):
        taken.append(method)
        return getattr(optimizers.SGD, method)(self, *args, **kwargs)

    train(monkeypatch, 1e3, type("Own", (optimizers.SGD,), {method: own})(0.01))
    assert len(taken) == 18
    assert not any(finished for _, finished in together)


class Counts(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.batches, self.logs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)
        self.logs.append(logs["loss"])


def test_whoever_listens_hears_of_every_batch(together, monkeypatch):
    counts = Counts()
    train(monkeypatch, 1e3, "rmsprop", listeners=[counts])
    assert counts.batches == [*range(9)] * 2
    assert not together


def test_executions_of_several_steps_are_heard_of_once(together, monkeypatch):
    """As many as were asked for, in one piece, and the logs are those of the last one."""
    heard = {}
    for size in (1, 4):
        counts, model = Counts(), net()
        model.compile("rmsprop", "categorical_crossentropy", steps_per_execution=size)
        model.fit(IMAGES, TARGETS, 8, 2, 0, callbacks=[counts])
        heard[size] = counts
    assert heard[4].batches == [3, 7, 8] * 2
    assert heard[4].logs == [heard[1].logs[k] for k in (3, 7, 8, 12, 16, 17)]
    assert together[-1] == (4, 4)


def test_a_progress_bar_alone_does_not_keep_batches_apart(together, monkeypatch, capsys):
    monkeypatch.setattr(steps_module, "LOOK_UP_S", 1e3)
    model = net()
    model.compile("rmsprop", "categorical_crossentropy")
    model.fit(IMAGES, TARGETS, 8, 3, verbose=1)
    assert together[-1] == (8, 8)
    assert "9/9" in capsys.readouterr().out


def test_batches_of_a_generator_are_not_fetched_before_they_are_needed(together, monkeypatch):
    """They may depend on what has been trained before."""
    model = net()
    monkeypatch.setattr(steps_module, "LOOK_UP_S", 1e3)
    model.compile("rmsprop", "categorical_crossentropy")
    ahead = []

    def batches():
        for k in range(12):
            ahead.append(k - int(model.optimizer.iterations.numpy()))
            yield IMAGES[:8], TARGETS[:8]

    model.fit(batches(), verbose=0)
    assert max(ahead) == 0
    assert not together


def test_after_it_the_model_sees_its_new_weights(together, monkeypatch):
    """What was derived from the old ones is out of date."""

    def deep():
        convolutions = [layers.Conv2D(32, size, padding="same") for size in (1, 3)]
        return models.Sequential(
            [Input((10, 10, 1)), *convolutions, layers.Flatten(), layers.Dense(4, activation="softmax")]
        )

    monkeypatch.setattr(steps_module, "LOOK_UP_S", 1e3)
    model = deep()
    model.compile(optimizers.SGD(0.1), "categorical_crossentropy")
    for _ in range(3):
        model.fit(IMAGES[:64], TARGETS[:64], 8, verbose=0)
        other = deep()
        other.set_weights(model.get_weights())
        assert model.predict(IMAGES, verbose=0).tobytes() == other.predict(IMAGES, verbose=0).tobytes()
    assert together[-2:] == [(8, 8)] * 2
    assert int(model.optimizer.iterations.numpy()) == 24


def test_a_smaller_batch_and_the_old_one_again(together, monkeypatch):
    """Each size has places of its own."""
    seen = []
    for seconds in (0, 1e3):
        monkeypatch.setattr(steps_module, "LOOK_UP_S", seconds)
        model = net()
        model.compile("rmsprop", "categorical_crossentropy")
        for size in (8, 5, 8, 35, 5, 8):
            model.fit(IMAGES, TARGETS, size, 2, 0)
            model.evaluate(IMAGES, TARGETS, verbose=0)
        seen.append([w.tobytes() for w in model.get_weights()])
    assert {batches for batches, finished in together if finished} >= {14, 8}
    assert seen[0] == seen[1]


class TestDivergence:
    @pytest.mark.parametrize("bad", [3, 11, 20])
    def test_is_found_at_its_step(self, bad, together, monkeypatch):
        """The steps before it are finished, those behind it are taken one by one, all with the same bits."""
        rates = optimizers.schedules.PiecewiseConstantDecay([bad - 1, bad], [0.01, 1e38, 0.01])
        runs = []
        for seconds in (0, 1e3):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                run = train(monkeypatch, seconds, optimizers.SGD(rates), epochs=4, shuffle=False)
            said = [str(w.message) for w in caught if "diverged" in str(w.message)]
            runs.append((run[0], {k: [repr(v) for v in values] for k, values in run[1].items()}, said))
            assert len(said) == 1
            divergence = run[2].divergence
            assert divergence is not None
        assert runs[0] == runs[1]
        assert any(finished is not None and finished < batches for batches, finished in together) or bad == 3

    def test_after_it_training_can_begin_again(self, together, monkeypatch):
        model = net()
        monkeypatch.setattr(steps_module, "LOOK_UP_S", 1e3)
        model.compile(optimizers.SGD(0.01), "categorical_crossentropy")
        model.fit(IMAGES, TARGETS, 8, 2, 0)
        good = model.get_weights()
        model.optimizer.learning_rate = 1e38
        with pytest.warns(UserWarning, match="diverged"):
            model.fit(IMAGES, TARGETS, 8, 2, 0)
        model.set_weights(good)
        model.optimizer.learning_rate = 0.01
        together.clear()
        model.fit(IMAGES, TARGETS, 8, 1, 0)
        assert model.divergence is None
        assert (8, 8) in together
        assert all(np.isfinite(w).all() for w in model.get_weights())


def test_interrupted_it_has_counted_the_steps_that_it_took(together, monkeypatch):
    """Ctrl-C is noticed when machine code returns: by then the weights have changed."""
    model = train(monkeypatch, 1e3, optimizers.SGD(0.1))[2]
    before = int(model.optimizer.iterations.numpy())
    run_programs = parallel.run_programs

    def interrupted(*programs, **kwargs):
        run_programs(*programs, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "run_programs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(IMAGES, TARGETS, 8, 1, 0)
    monkeypatch.setattr(parallel, "run_programs", run_programs)
    assert int(model.optimizer.iterations.numpy()) == before + 8
    other = net()
    other.set_weights(model.get_weights())
    assert model.predict(IMAGES, verbose=0).tobytes() == other.predict(IMAGES, verbose=0).tobytes()
    other.compile(optimizers.SGD(0.1), "categorical_crossentropy")
    for one in (model, other):
        one.fit(IMAGES, TARGETS, 8, 1, 0, shuffle=False)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in other.get_weights()]


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_other_reductions(reduction, together, monkeypatch):
    seen = []
    for seconds in (0, 1e3):
        monkeypatch.setattr(steps_module, "LOOK_UP_S", seconds)
        model, loss = net(), losses.CategoricalCrossentropy(label_smoothing=0.1, reduction=reduction)
        model.compile(optimizers.SGD(0.001), loss, weighted_metrics=["accuracy"])
        history = model.fit(IMAGES, TARGETS, 8, 2, 0)
        seen.append(([w.tobytes() for w in model.get_weights()], history.history))
    assert together[-1] == (8, 8)
    assert seen[0] == seen[1]
