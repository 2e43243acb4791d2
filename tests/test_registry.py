"""Names, configurations and objects: there and back, and nothing but what is public."""

import json

import pytest

from minicnn import activations, initializers, losses, metrics, optimizers, regularizers
from minicnn.registry import Registry, deserialize_object, serialize_object

MODULES = [activations, initializers, losses, metrics, optimizers, regularizers]


class Own:
    def __init__(self, a=1):
        self.a = a

    def get_config(self):
        return {"a": self.a}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def sample(module):
    """Every object that a module knows by a name and that needs no argument."""
    needs_arguments = {"MeanMetricWrapper", "mean_metric_wrapper", "RegisteredLoss"}
    return [(name, module.get(name)) for name in module.registry._names if name not in needs_arguments]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_name_gives_an_object_that_survives_json(module):
    for name, item in sample(module):
        config = json.loads(json.dumps(module.serialize(item)))
        again = module.deserialize(config)
        assert type(again) is type(item), name
        if hasattr(item, "get_config"):
            assert again.get_config() == item.get_config(), name
            assert deserialize_object(config).get_config() == item.get_config(), name
            assert config["module"] == "keras." + module.__name__.split(".")[-1]
            assert config["registered_name"] is None
        else:
            assert again is item


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_unknown_names_say_what_is_known(module):
    kind = module.registry.kind
    known = module.registry._names[0]
    with pytest.raises(ValueError, match=rf"Unknown {kind}: 'nope'\. Expected one of: .*{known}"):
        module.get("nope")
    with pytest.raises(ValueError, match=f"Unknown {kind}"):
        module.deserialize({"class_name": "nope", "config": {}})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
@pytest.mark.parametrize("identifier", [3, 1.5, [], b"relu", object()])
def test_other_things_are_refused(module, identifier):
    with pytest.raises(ValueError, match="Could not interpret"):
        module.get(identifier)


def test_case_counts_unless_it_does_not():
    registry = Registry("thing", "things", (Own,))
    assert registry.find("Own") is Own
    with pytest.raises(ValueError, match="Unknown thing: 'OWN'"):
        registry.find("OWN")
    assert Registry("thing", "things", (Own,), ignores_case=True).find("oWN") is Own


def test_a_class_is_called_and_an_object_is_kept():
    registry = Registry("thing", "things", (Own,))
    assert registry.get("Own").a == registry.get(Own).a == 1
    own = Own(5)
    assert registry.get(own) is own
    assert registry.get({"class_name": "Own", "config": {"a": 7}}).a == 7


def test_an_object_from_outside_comes_back_by_custom_objects():
    config = serialize_object(Own(4))
    assert config == {"module": __name__, "class_name": "Own", "config": {"a": 4}, "registered_name": "Own"}
    assert initializers.deserialize(config, {"Own": Own}).a == 4
    assert deserialize_object(config, {"Own": Own}).a == 4
    with pytest.raises(ValueError, match="custom_objects"):
        initializers.deserialize(config | {"class_name": "Ones"})
    with pytest.raises(ValueError, match="custom_objects"):
        deserialize_object(config)


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "subprocess", "class_name": "Popen", "config": {"args": "true"}},
        {"module": "keras.layers", "class_name": "np", "config": {}},
        {"module": "keras.layers", "class_name": "only_default", "config": {}},
        {"module": "keras.losses", "class_name": "Registry", "config": {}},
        {"module": "keras.losses", "class_name": "Any", "config": {}},
        {"module": None, "class_name": "Ones", "config": {}},
        {"module": "keras.nothing", "class_name": "Ones", "config": {}},
        {"class_name": "Ones"},
        {"class_name": 3, "config": {}},
        {},
    ],
)
def test_a_configuration_calls_nothing_but_public_classes(config):
    with pytest.raises(ValueError, match=r"Unknown class|must be a dict with"):
        deserialize_object(config)


def test_a_kind_takes_no_other_kind():
    with pytest.raises(ValueError, match=r"comes from module 'keras\.losses', not from 'keras\.metrics'"):
        metrics.deserialize(losses.serialize(losses.MeanSquaredError()))


@pytest.mark.parametrize("arguments", [{"nope": 1}, {"seed": -1}, None, 3, []])
def test_arguments_that_do_not_fit_are_refused(arguments):
    config = {"module": "keras.initializers", "class_name": "GlorotUniform", "config": arguments}
    for deserialize in (initializers.deserialize, deserialize_object):
        with pytest.raises(ValueError, match=r"GlorotUniform|seed"):
            deserialize(config)


def test_what_a_public_module_only_imports_is_not_public(monkeypatch):
    monkeypatch.setattr(losses, "Own", Own, raising=False)
    with pytest.raises(ValueError, match="Unknown class 'Own'"):
        deserialize_object({"module": "keras.losses", "class_name": "Own", "config": {}})


def test_deserializing_leaves_the_configuration_alone():
    class Greedy(Own):
        @classmethod
        def from_config(cls, config):
            return cls(config.pop("a"))

    config = {"module": "elsewhere", "class_name": "Greedy", "config": {"a": 3}}
    assert deserialize_object(config, {"Greedy": Greedy}).a == 3
    assert config["config"] == {"a": 3}
    config = {"module": "keras.optimizers", "class_name": "Adam", "config": {"learning_rate": 0.1}}
    before = json.dumps(config)
    optimizers.deserialize(config)
    assert json.dumps(config) == before


def test_a_class_that_needs_arguments_is_no_identifier():
    with pytest.raises(ValueError, match="MeanMetricWrapper can't be made without arguments"):
        metrics.get("MeanMetricWrapper")


def test_functions_of_others_have_no_name():
    with pytest.raises(ValueError, match="Only a known loss can be serialized"):
        losses.serialize(print)


def test_plain_values_are_what_they_are():
    for value in (None, 3, "a", [1]):
        assert serialize_object(value) is value
        assert deserialize_object(value) is value


@pytest.mark.parametrize("config", [3, {}, {"class_name": "Adam"}, {"config": {}}])
def test_what_is_no_configuration(config):
    with pytest.raises(ValueError, match="must be a dict with 'class_name' and 'config'"):
        optimizers.deserialize(config)


def test_a_function_by_its_configuration():
    config = {"class_name": "function", "config": "mean_squared_error"}
    assert losses.deserialize(config) is losses.mean_squared_error
    assert losses.deserialize(config | {"config": "own"}, {"own": print}) is print
    assert losses.deserialize("own", {"own": print}) is print
    assert losses.deserialize(None) is None
