"""Which examples end up in which batch, with which weight, is what Keras does where Keras defines it."""

import keras
import numpy as np
import pytest

from minicnn.engine.rows import gather
from minicnn.models.data import make_data
from minicnn.models.data_arguments import class_to_sample_weight, split_validation

N = 23
X = np.arange(N, dtype=np.float32).reshape(N, 1)


class Recorder:
    """A Keras model that learns nothing and remembers what it was given."""

    def __init__(self):
        self.batches, self.tests = [], []
        recorder = self

        class Model(keras.Model):
            def call(self, x, training=None):
                return x * self.scale

            def build(self, shape):
                self.scale = self.add_weight(shape=(), initializer="ones")

            def train_step(self, data):
                recorder.batches.append(remembered(data))
                return {"loss": 0.0}

            def test_step(self, data):
                recorder.tests.append(remembered(data))
                return {"loss": 0.0}

        self.model = Model()
        self.model.compile("sgd", "mse", run_eagerly=True)


def remembered(data):
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    return tuple(None if a is None else np.array(a).reshape(-1).tolist() for a in (x, y, weight))


def ours(data, epochs=1):
    return [
        tuple(None if a is None else gather(a).reshape(-1).tolist() for a in batch)
        for epoch in range(epochs)
        for batch in data.epoch(epoch)
    ]


@pytest.mark.parametrize("batch_size", [1, 4, 23, 100, None])
def test_batches_and_the_ragged_last_one(batch_size):
    recorder = Recorder()
    recorder.model.fit(X, X, batch_size=batch_size, shuffle=False, verbose=0)
    assert ours(make_data(X, X, batch_size=batch_size)) == recorder.batches


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6, 8])
@pytest.mark.parametrize("batch_size", [5, None])
@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_steps_per_epoch(steps, batch_size):
    recorder = Recorder()
    recorder.model.fit(X, X, batch_size=batch_size, steps_per_epoch=steps, epochs=4, shuffle=False, verbose=0)
    assert ours(make_data(X, X, batch_size=batch_size, steps=steps), 4) == recorder.batches


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1 / 3, 0.5, 0.9])
def test_validation_split(fraction):
    recorder = Recorder()
    weight = X[:, 0] / 10
    recorder.model.fit(X, X, sample_weight=weight, validation_split=fraction, shuffle=False, verbose=0)
    train, validation = split_validation(X, X, weight, fraction)
    assert ours(make_data(*train)) == recorder.batches
    assert ours(make_data(*validation)) == recorder.tests


LABELS = np.random.default_rng(0).integers(0, 4, N)


@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        LABELS.reshape(-1, 1),
        LABELS.astype(np.float32),
        np.eye(4)[LABELS],
        np.eye(4, dtype=int)[LABELS],
    ],
    ids=["sparse", "column", "float", "one-hot", "integer one-hot"],
)
@pytest.mark.parametrize("class_weight", [{0: 2.0, 3: 0.5}, {0: 1, 1: 2, 2: 3, 3: 4}, {7: 9.0}])
def test_class_weights(y, class_weight):
    recorder = Recorder()
    recorder.model.fit(X, y, class_weight=class_weight, shuffle=False, verbose=0)
    expected = np.concatenate([weight for _, _, weight in recorder.batches])
    np.testing.assert_array_equal(class_to_sample_weight(y, class_weight), expected)


def batches(count):
    for k in range(count):
        yield np.full((2, 1), k, np.float32), np.full((2, 1), -k, np.float32), np.full(2, k / 2, np.float32)


@pytest.mark.filterwarnings("ignore:.*(ran out of data|will be ignored)")
@pytest.mark.parametrize(("count", "steps", "epochs"), [(5, None, 1), (6, 2, 3), (9, 2, 3), (1, None, 1)])
def test_generators(count, steps, epochs):
    recorder = Recorder()
    recorder.model.fit(batches(count), steps_per_epoch=steps, epochs=epochs, verbose=0)
    assert ours(make_data(batches(count), steps=steps), epochs) == recorder.batches


class Dataset(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, k):
        return np.full((2, 1), k, np.float32), np.full((2, 1), k % 3, np.float32)


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize("steps", [None, 1, 2, 5, 7])
@pytest.mark.parametrize("class_weight", [None, {1: 3.0}])
def test_datasets(steps, class_weight):
    recorder = Recorder()
    options = {"class_weight": class_weight, "shuffle": False}
    recorder.model.fit(Dataset(), steps_per_epoch=steps, epochs=3, verbose=0, **options)
    assert ours(make_data(Dataset(), steps=steps, **options), 3) == recorder.batches


def test_a_shuffled_epoch_has_every_example_once_in_both():
    recorder = Recorder()
    recorder.model.fit(X, X, batch_size=4, verbose=0)
    for epoch in (recorder.batches, ours(make_data(X, X, batch_size=4, shuffle=True))):
        assert [len(x) for x, _, _ in epoch] == [4, 4, 4, 4, 4, 3]
        assert sorted(example for x, _, _ in epoch for example in x) == X[:, 0].tolist()
