"""Batches from arrays, datasets and generators, and every refusal."""

import threading
import tracemalloc
import warnings
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import config
from minicnn.engine.rows import Rows, gather
from minicnn.models.data import make_data
from minicnn.models.data_arguments import class_to_sample_weight, is_mapped, split_validation, unpack


def numbered(n, shape=(2,)):
    """Rows that say which example they are."""
    return np.broadcast_to(np.arange(n, dtype=np.float32).reshape(n, *(1,) * len(shape)), (n, *shape)).copy()


def gathered(batch):
    """With x as an array."""
    return batch._replace(x=gather(batch.x))


def seen(data, epoch=0):
    """The examples of every batch of an epoch, as numbers."""
    return [batch.x[:, 0].astype(int).tolist() for batch in map(gathered, data.epoch(epoch))]


def flat(lists):
    return list(chain.from_iterable(lists))


class Dataset:
    """Batch k holds the number k, twice."""

    workers, use_multiprocessing, max_queue_size = 1, False, 10

    def __init__(self, length=3, extra=(), **attributes):
        self.length, self.extra, self.events = length, extra, []
        self.__dict__.update(attributes)

    def __len__(self):
        return self.length

    def __getitem__(self, k):
        return (np.full((2, 1), k), np.full((2, 1), k % 2), *self.extra)

    def on_epoch_begin(self):
        self.events.append("begin")

    def on_epoch_end(self):
        self.events.append("end")


def generator(n, start=0):
    for k in range(start, start + n):
        yield np.full((2, 1), k), np.zeros((2, 1))


class TestArrays:
    @given(n=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 2**32), epoch=st.integers(0, 5))
    def test_every_example_once_in_a_fixed_order(self, n, size, seed, epoch):
        def order(shuffle):
            data = make_data(numbered(n), numbered(n), batch_size=size, shuffle=shuffle, seed=seed)
            batches = seen(data, epoch)
            assert len(batches) == data.num_batches == -(-n // size)
            assert all(len(batch) == size for batch in batches[:-1])
            return flat(batches)

        assert order(False) == list(range(n))
        assert sorted(order(True)) == list(range(n))
        assert order(True) == order(True)

    def test_order_changes_with_epoch_and_with_seed(self):
        def order(seed, epoch):
            return seen(make_data(numbered(100), shuffle=True, seed=seed), epoch)

        assert order(0, 0) != order(0, 1)
        assert order(0, 0) != order(1, 0)
        assert order(0, 1) != order(1, 0)

    @given(n=st.integers(1, 30), size=st.integers(1, 10))
    def test_batchwise_shuffle_permutes_within_batches(self, n, size):
        batches = seen(make_data(numbered(n), batch_size=size, shuffle="batch", seed=3))
        assert [sorted(batch) for batch in batches] == seen(make_data(numbered(n), batch_size=size))

    def test_batchwise_shuffle_permutes_at_all(self):
        assert seen(make_data(numbered(64), batch_size=64, shuffle="batch")) != [list(range(64))]

    def test_x_y_and_weights_stay_together(self):
        x, y, weight = numbered(20), numbered(20, ()).astype(np.int64), numbered(20, (1,))
        for batch in map(gathered, make_data(x, y, weight, batch_size=3, shuffle=True).epoch(0)):
            assert (batch.x[:, 0] == batch.y).all()
            assert (batch.sample_weight == batch.y).all()
            assert batch.sample_weight.shape == batch.y.shape

    def test_default_batch_size_is_32_or_what_steps_need(self):
        assert [len(batch) for batch in seen(make_data(numbered(70)))] == [32, 32, 6]
        assert [len(batch) for batch in seen(make_data(numbered(70), steps=4))] == [18, 18, 18, 16]

    @pytest.mark.parametrize(
        "dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", ">f4", ">i4"]
    )
    def test_images_become_floatx_and_labels_keep_integers(self, dtype):
        values = np.array([[0], [1], [1]]).astype(dtype)
        (batch,) = map(gathered, make_data(values, values, values).epoch(0))
        assert batch.x.dtype == batch.sample_weight.dtype == np.float32
        assert batch.y.dtype == (np.float32 if values.dtype.kind == "f" else values.dtype)
        assert batch.x[:, 0].tolist() == batch.y[:, 0].tolist() == batch.sample_weight.tolist() == [0, 1, 1]

    def test_floatx_float64(self):
        config.set_floatx("float64")
        try:
            (batch,) = map(
                gathered, make_data(np.ones((2, 1), np.uint8), np.ones(2, np.float32), np.ones(2)).epoch(0)
            )
        finally:
            config.set_floatx("float32")
        assert [array.dtype for array in batch] == [np.float64] * 3

    @pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, lambda a: tuple(a), np.asfortranarray])
    def test_whatever_becomes_an_array(self, form):
        images = np.arange(24.0).reshape(3, 2, 4)
        (batch,) = map(gathered, make_data(form(images)).epoch(0))
        np.testing.assert_array_equal(batch.x, images)
        assert batch.x.flags.c_contiguous

    @pytest.mark.parametrize("order", [True, False, "batch"])
    def test_batches_are_owned_and_writable(self, order):
        x = numbered(6)
        x.flags.writeable = False
        for batch in map(gathered, make_data(x, batch_size=2, shuffle=order).epoch(0)):
            batch.x[:] = -1
        assert (x >= 0).all()

    def test_images_that_need_no_cast_are_left_where_they_are(self):
        """Whoever reads them gathers them; everything else has to be cast or checked first."""
        x = numbered(6)
        (batch,) = make_data(x, shuffle=True, seed=1).epoch(0)
        assert isinstance(batch.x, Rows) and batch.x.array is x and batch.x.shape == (6, 2)
        assert sorted(batch.x.numbers) == list(range(6)) and batch.x.dtype == np.float32
        for other in (x.astype(np.uint8), x.astype(">f4"), np.asfortranarray(x), x[:, :1]):
            (batch,) = make_data(other).epoch(0)
            assert isinstance(batch.x, np.ndarray)

    def test_peek_consumes_nothing(self):
        data = make_data(numbered(5), numbered(5), batch_size=2)
        assert gathered(data.peek()).x[:, 0].tolist() == [0, 1]
        assert seen(data) == [[0, 1], [2, 3], [4]]

    def test_a_dataset_is_not_copied(self):
        class Counting(np.ndarray):
            def copy(self, *args, **kwargs):
                pytest.fail("copied")

        x = numbered(1000).view(Counting)
        assert make_data(x, batch_size=2).arrays[0].base is not None
        assert np.shares_memory(make_data(x, batch_size=2).arrays[0], x)


class TestSteps:
    """An epoch of `steps` goes on where the last one stopped; a pass that ends early ends the epoch, with a warning."""

    @pytest.mark.filterwarnings("ignore:The input ran out")
    @given(n=st.integers(1, 12), steps=st.integers(1, 15))
    def test_epochs_share_passes(self, n, steps):
        for data in (make_data(numbered(n), batch_size=1, steps=steps), make_data(Dataset(n), steps=steps)):
            assert data.num_batches == steps
            epochs = -(-n // steps)
            two_passes = [
                [k for k, *_ in ((int(gather(b.x)[0, 0]),) for b in data.epoch(e))] for e in range(2 * epochs)
            ]
            assert all(len(epoch) == steps for i, epoch in enumerate(two_passes) if (i + 1) % epochs)
            assert flat(two_passes) == [*range(n), *range(n)]

    def test_a_shuffled_pass_over_several_epochs_has_every_example_once(self):
        data = make_data(numbered(10), batch_size=2, steps=2, shuffle=True)
        with pytest.warns(UserWarning, match=r"Expected 2 in this epoch, received 1\."):
            examples = [flat(seen(data, epoch)) for epoch in range(6)]
        assert sorted(flat(examples[:3])) == sorted(flat(examples[3:])) == list(range(10))
        assert examples[:3] != examples[3:]

    def test_no_warning_when_steps_divide(self):
        data = make_data(numbered(8), batch_size=2, steps=2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [seen(data, epoch) for epoch in range(3)] == [
                [[0, 1], [2, 3]],
                [[4, 5], [6, 7]],
                [[0, 1], [2, 3]],
            ]


class TestDatasets:
    def test_batches_and_hooks(self):
        dataset = Dataset(3)
        data = make_data(dataset)
        assert data.peek().x.tolist() == [[0], [0]]
        assert seen(data, 0) == seen(data, 1) == [[0, 0], [1, 1], [2, 2]]
        assert dataset.events == ["begin", "end"] * 2

    def test_hook_runs_when_the_epoch_is_left(self):
        dataset = Dataset(3)
        batches = make_data(dataset).epoch(0)
        next(batches)
        batches.close()
        assert dataset.events == ["begin", "end"]

    def test_shuffle_permutes_batches(self):
        data = make_data(Dataset(50), shuffle=True)
        orders = [[batch[0] for batch in seen(data, epoch)] for epoch in (0, 1)]
        assert sorted(orders[0]) == sorted(orders[1]) == list(range(50))
        assert orders[0] != orders[1] != list(range(50))

    @pytest.mark.parametrize("queue", [1, 4, 100])
    def test_workers_fetch_in_threads_and_keep_the_order(self, queue):
        threads = set()

        class Threaded(Dataset):
            def __getitem__(self, k):
                threads.add(threading.current_thread().name)
                return super().__getitem__(k)

        data = make_data(Threaded(20, workers=3, max_queue_size=queue))
        assert [batch[0] for batch in seen(data)] == list(range(20))
        assert threads and all(name.startswith("minicnn-dataset") for name in threads)

    def test_an_error_in_a_worker_arrives(self):
        class Broken(Dataset):
            def __getitem__(self, k):
                if k == 2:
                    raise OSError("no such image")
                return super().__getitem__(k)

        for workers in (1, 2):
            with pytest.raises(OSError, match="no such image"):
                seen(make_data(Broken(5, workers=workers)))

    @pytest.mark.parametrize(
        "item", [np.ones((2, 1)), [np.ones((2, 1))], (np.ones((2, 1)), np.ones(2), np.ones(2))]
    )
    def test_forms_of_a_batch(self, item):
        dataset = Dataset(1)
        dataset.__class__ = type("One", (Dataset,), {"__getitem__": lambda self, k: item})
        (batch,) = map(gathered, make_data(dataset).epoch(0))
        assert batch.x.shape == (2, 1)
        assert (batch.y is None) == (not isinstance(item, tuple))

    def test_class_weights(self):
        data = make_data(Dataset(3), class_weight={1: 7})
        assert [batch.sample_weight.tolist() for batch in data.epoch(0)] == [[1, 1], [7, 7], [1, 1]]
        with pytest.raises(ValueError, match="Batch 0: `class_weight` and `sample_weight`"):
            seen(make_data(Dataset(3, extra=(np.ones(2),)), class_weight={1: 7}))

    def test_a_batch_that_is_wrong_is_named(self):
        class Bad(Dataset):
            def __getitem__(self, k):
                return (np.full((2, 1), np.nan if k == 2 else 0.0), np.zeros(2))

        with pytest.raises(
            ValueError, match=r"Batch 2: `x` must be finite in float32\. Received nan at index \(0, 0\)"
        ):
            seen(make_data(Bad(4)))


class TestGenerators:
    def test_one_epoch_until_it_ends(self):
        data = make_data(generator(4))
        assert data.num_batches is None
        assert data.peek().x.tolist() == [[0], [0]]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [batch[0] for batch in seen(data)] == [0, 1, 2, 3]
        assert data.num_batches == 4

    def test_an_epoch_after_the_end_is_empty_and_warns(self):
        data = make_data(generator(2))
        seen(data)
        with pytest.warns(UserWarning, match=r"Expected 2 in this epoch, received 0\."):
            assert seen(data, 1) == []

    def test_steps_take_only_what_they_need(self):
        source = generator(10)
        data = make_data(source, steps=3)
        assert data.num_batches == 3
        assert [[batch[0] for batch in seen(data, epoch)] for epoch in (0, 1)] == [[0, 1, 2], [3, 4, 5]]
        assert next(source)[0][0] == 6

    def test_steps_beyond_the_end_warn(self):
        data = make_data(generator(5), steps=3)
        seen(data)
        with pytest.warns(UserWarning, match=r"Expected 3 in this epoch, received 2\."):
            assert [batch[0] for batch in seen(data, 1)] == [3, 4]

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            ([], "at least one batch. Received an empty generator"),
            ([np.ones((2, 1))], r"must yield tuples .* Received a ndarray"),
            ([()], "Batch 0 must be a tuple .* Received 0 elements"),
            ([(np.ones((2, 1)),) * 4], "Batch 0 must be a tuple .* Received 4 elements"),
            ([(np.ones((2, 1)), np.ones(3))], "Batch 0: x, y and sample_weight must have the same number"),
            ([(np.full((2, 1), np.inf),)], "Batch 0: `x` must be finite"),
        ],
    )
    def test_refusals(self, items, message):
        with pytest.raises(ValueError, match=message):
            make_data(iter(items))

    def test_a_later_batch_is_checked_when_it_comes(self):
        items = [(np.ones((2, 1)),), (np.full((2, 1), np.nan),)]
        with pytest.raises(ValueError, match="Batch 1: `x` must be finite"):
            seen(make_data(iter(items)))


X, Y = np.ones((4, 2)), np.zeros(4)


class TestRefusals:
    """What must hold, then what came; nothing is drawn from the source before."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"x": X, "y": Y[:3]}, "same number of examples. Received x: 4, y: 3."),
            ({"x": X, "sample_weight": np.ones(5)}, "Received x: 4, sample_weight: 5."),
            ({"x": X[:0], "y": Y[:0]}, r"at least one example. Received shape \(0, 2\)."),
            ({"x": None}, "Received x=None"),
            ({"x": 3.0}, "must be an array of examples. Received float 3.0"),
            ({"x": {"a": X}}, "Received a dict"),
            ({"x": [[1, 2], [3]]}, "must be an array or become one"),
            ({"x": X, "batch_size": 0}, "`batch_size` must be a positive integer. Received batch_size=0."),
            ({"x": X, "batch_size": -3}, "Received batch_size=-3."),
            ({"x": X, "batch_size": 2.0}, "Received batch_size=2.0."),
            ({"x": X, "batch_size": True}, "Received batch_size=True."),
            ({"x": X, "batch_size": "32"}, "Received batch_size='32'."),
            ({"x": X, "steps": 0}, "`steps` must be a positive integer"),
            ({"x": X, "shuffle": "all"}, "`shuffle` must be True, False or 'batch'. Received shuffle='all'."),
            ({"x": X, "sample_weight": np.ones((4, 2))}, r"shape \(4,\). Received shape \(4, 2\)."),
            (
                {"x": X, "y": Y, "sample_weight": Y, "class_weight": {0: 1}},
                "must not be given at the same time",
            ),
            ({"x": X, "class_weight": {0: 1}}, "needs y"),
            ({"x": X, "y": np.zeros((4, 2, 3)), "class_weight": {0: 1}}, r"Received shape \(4, 2, 3\)"),
            ({"x": X, "y": Y, "class_weight": {0: "a"}}, "must hold finite numbers"),
            ({"x": X, "y": Y, "class_weight": {0: np.nan}}, "must hold finite numbers"),
            ({"x": Dataset(), "y": Y}, "`y` must be None when x is a dataset"),
            ({"x": Dataset(), "sample_weight": Y}, "`sample_weight` must be None when x is a dataset"),
            ({"x": Dataset(0)}, "at least one batch. Received 0"),
            ({"x": Dataset(num_batches=None)}, "Received None batches"),
            ({"x": Dataset(use_multiprocessing=True)}, "`use_multiprocessing` must be False"),
            ({"x": generator(2), "y": Y}, "`y` must be None when x is a generator"),
            (
                {"x": generator(2), "class_weight": {0: 1}},
                "`class_weight` must be None when x is a generator",
            ),
        ],
    )
    def test_value_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            make_data(**arguments)

    @pytest.mark.parametrize("name", ["x", "y", "sample_weight"])
    @pytest.mark.parametrize(
        "values",
        [
            np.ones(4, complex),
            np.array(["a", "b", "c", "d"]),
            np.array([1, None, 2, 3], object),
            np.array([b"a"] * 4),
            np.array(["2020-01-01"] * 4, "datetime64[D]"),
            ["a", "b", "c", "d"],
            [10**30, 1, 2, 3],
        ],
        ids=lambda values: str(np.asarray(values).dtype),
    )
    def test_arrays_that_are_not_numbers(self, name, values):
        with pytest.raises(TypeError, match=f"`{name}` must hold real numbers.* Received dtype"):
            make_data(**{"x": X, name: values})

    def test_class_weight_of_another_type(self):
        with pytest.raises(TypeError, match="`class_weight` must be a dict"):
            make_data(X, Y, class_weight=[1, 2])


class TestFinite:
    @pytest.mark.parametrize("name", ["x", "y", "sample_weight"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_first_bad_number_is_named(self, name, value):
        data = {"x": np.ones((4, 3, 2)), "y": np.ones((4, 2)), "sample_weight": np.ones(4)}
        index = {"x": (2, 1, 0), "y": (2, 1), "sample_weight": (2,)}[name]
        data[name][index] = value
        message = rf"`{name}` must be finite in float32. Received {value} at index {index}".replace(
            "(", r"\("
        )
        with pytest.raises(ValueError, match=message.replace(")", r"\)")):
            make_data(**data)
        assert make_data(**data, finite=False).num_batches == 1

    def test_blocks_cover_everything(self, monkeypatch):
        monkeypatch.setattr("minicnn.models.data_arguments.BLOCK_ELEMENTS", 6)
        for k in range(7):
            x = np.ones((7, 2))
            x[k, 1] = np.nan
            with pytest.raises(ValueError, match=rf"at index \({k}, 1\)"):
                make_data(x)

    def test_finite_in_float64_is_not_enough(self):
        with pytest.raises(ValueError, match=r"finite in float32. Received 1e\+300"):
            make_data(np.full((2, 2), 1e300))

    def test_config_turns_it_off(self, monkeypatch):
        monkeypatch.setattr(config, "check_finite", False)
        (batch,) = map(gathered, make_data(np.array([[np.nan]])).epoch(0))
        assert np.isnan(batch.x).all()

    def test_memory_maps_are_checked_batch_by_batch(self, tmp_path):
        x = numbered(6)
        x[4, 1] = np.nan
        np.save(tmp_path / "x.npy", x)
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        assert is_mapped(mapped) and is_mapped(mapped[2:]) and is_mapped(np.asarray(mapped))
        assert not is_mapped(np.array(mapped)) and not is_mapped(mapped[[1, 2]]) and not is_mapped(mapped * 2)
        batches = map(gathered, make_data(mapped, batch_size=2).epoch(0))
        assert [next(batches).x[:, 0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
        with pytest.raises(ValueError, match="`x` must be finite"):
            next(batches)
        assert len(seen(make_data(mapped[:4], batch_size=2))) == 2


class TestSplit:
    @given(n=st.integers(1, 200), fraction=st.floats(0, 1, exclude_min=True, exclude_max=True))
    def test_last_part_validates(self, n, fraction):
        x, y = numbered(n), np.arange(n)
        try:
            train, validation = split_validation(x, y, None, fraction)
        except ValueError as error:
            assert "must leave examples in both parts" in str(error)
            assert min(n * fraction, n * (1 - fraction)) < 1
            return
        np.testing.assert_array_equal(np.concatenate([train[0], validation[0]]), x)
        np.testing.assert_array_equal(np.concatenate([train[1], validation[1]]), y)
        assert train[2] is validation[2] is None
        assert abs(len(validation[0]) - n * fraction) <= 1
        assert np.shares_memory(train[0], x)

    @pytest.mark.parametrize("fraction", [-0.1, 0, 1, 1.5, True, "half", np.nan])
    def test_fraction_outside(self, fraction):
        with pytest.raises(ValueError, match=r"`validation_split` must be in \(0, 1\)"):
            split_validation(X, Y, None, fraction)

    def test_streams_can_not_be_split(self):
        with pytest.raises(ValueError, match="needs arrays"):
            split_validation(generator(3), None, None, 0.5)

    def test_weights_are_split_too(self):
        train, validation = split_validation(X, Y, np.arange(4), 0.25)
        assert train[2].tolist() == [0, 1, 2] and validation[2].tolist() == [3]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_costs_no_copy_of_all_examples(order):
    x = np.zeros((400, 50, 50), "float32", order=order)
    data = make_data(x, np.zeros(400), None, batch_size=8, shuffle=True)
    next(iter(data.epoch(0)))
    tracemalloc.start()
    try:
        next(iter(data.epoch(1)))
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 10
    finally:
        tracemalloc.stop()


def test_unpack():
    assert unpack((1, 2)) == (1, 2, None)
    assert unpack([1, 2, 3]) == (1, 2, 3)
    dataset = Dataset()
    assert unpack(dataset) == (dataset, None, None)
    with pytest.raises(ValueError, match="Received 4 elements"):
        unpack((1, 2, 3, 4))


@pytest.mark.parametrize(
    "y", [np.array([0, 2, 1]), np.array([[0], [2], [1]]), np.eye(3)[[0, 2, 1]], np.array([0.0, 2.0, 1.0])]
)
def test_class_weights_of_all_kinds_of_labels(y):
    assert class_to_sample_weight(y, {0: 5, 1: 0.5}).tolist() == [5, 1, 0.5]
