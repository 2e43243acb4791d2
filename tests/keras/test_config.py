"""Settings: Keras's names, defaults, and refusals."""

import keras
import pytest

from minicnn import backend, config

SHARED = ["epsilon", "floatx", "image_data_format", "set_epsilon", "set_floatx", "set_image_data_format"]


@pytest.fixture(autouse=True)
def restored():
    yield
    for module in (keras.config, config):
        module.set_floatx("float32")
        module.set_epsilon(1e-7)
        module.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", SHARED)
def test_names(name):
    for own, theirs in ((config, keras.config), (backend, keras.backend)):
        assert callable(getattr(own, name))
        assert callable(getattr(theirs, name))


def test_defaults():
    for name in ("epsilon", "floatx", "image_data_format"):
        assert getattr(config, name)() == getattr(keras.config, name)()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("floatx", "float64"),
        ("floatx", "float"),
        ("floatx", 64),
        ("image_data_format", "channels_first"),
        ("image_data_format", "Channels_Last"),
        ("image_data_format", "first"),
        ("image_data_format", None),
        ("epsilon", 1e-5),
    ],
)
def test_the_same_is_taken_and_refused(name, value):
    outcomes = []
    for module in (config, keras.config):
        try:
            getattr(module, f"set_{name}")(value)
            outcomes.append(getattr(module, name)())
        except ValueError:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


def test_clear_session_numbers_layers_anew():
    from minicnn import layers

    names = []
    for module, own in ((keras.layers, keras.backend), (layers, backend)):
        own.clear_session()
        first = [module.Flatten().name, module.Flatten().name]
        own.clear_session()
        names.append([*first, module.Flatten().name])
    assert names[0] == names[1] == ["flatten", "flatten_1", "flatten"]
