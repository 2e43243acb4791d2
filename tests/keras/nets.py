"""Models built alike with either library."""

import keras
import numpy as np

import minicnn
from minicnn import layers as own_layers
from minicnn import models as own_models
from minicnn.naming import reset_names

OWN = (minicnn.Input, own_layers, own_models)
KERAS = (keras.Input, keras.layers, keras.models)


def book(input_, layers, models, upto=None, pooling=True):
    """The listing's layers, as far as `upto`."""
    stack = [
        input_(shape=(28, 28, 1)),
        layers.Conv2D(32, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation="relu"),
        layers.MaxPooling2D((2, 2)),
        layers.Conv2D(64, (3, 3), activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ][:upto]
    return models.Sequential([s for s in stack if pooling or not isinstance(s, layers.MaxPooling2D)])


def before_flatten(input_, layers, models):
    return book(input_, layers, models, upto=6)


def without_pooling(input_, layers, models):
    return book(input_, layers, models, pooling=False)


def empty(input_, layers, models):
    return models.Sequential()


def input_only(input_, layers, models):
    return models.Sequential([input_(shape=(4, 4, 1))])


def unbuilt(input_, layers, models):
    return models.Sequential([layers.Conv2D(4, 3), layers.Flatten(), layers.Dropout(0.5), layers.Dense(3)])


def built_later(input_, layers, models):
    model = unbuilt(input_, layers, models)
    model.build((None, 6, 7, 2))
    return model


def built_by_data(input_, layers, models):
    model = unbuilt(input_, layers, models)
    model.compile("sgd", "mse")
    model.fit(np.zeros((5, 6, 7, 2)), np.zeros((5, 3)), verbose=0)
    return model


def popped(input_, layers, models):
    model = book(input_, layers, models)
    model.pop()
    model.add(layers.Dense(3))
    return model


def every_kind(input_, layers, models):
    return models.Sequential(
        [
            input_(shape=(32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 5, strides=2, padding="same", use_bias=False),
            layers.Activation("tanh"),
            layers.ReLU(),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 3, groups=2, dilation_rate=2),
            layers.Dropout(0.25),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
            layers.Softmax(),
        ]
    )


def channels_first(input_, layers, models):
    return models.Sequential(
        [
            input_(shape=(3, 9, 9)),
            layers.MaxPooling2D(data_format="channels_first"),
            layers.GlobalMaxPooling2D(),
        ]
    )


def unknown_sizes(input_, layers, models):
    return models.Sequential(
        [input_(shape=(None, None, 3)), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D(), layers.Dense(2)]
    )


def batch_shape(input_, layers, models):
    return models.Sequential([input_(batch_shape=(8, 5)), layers.Dense(2)])


def names(input_, layers, models):
    long = "a_layer_whose_name_is_longer_than_its_column_is_wide_in_any_terminal"
    return models.Sequential(
        [input_(shape=(3,)), layers.Dense(2, name=long), layers.Dense(2, name="[bold]marked up[-]")],
        name="n" * 90,
    )


def frozen(input_, layers, models):
    model = book(input_, layers, models)
    for layer in model.layers[:3]:
        layer.trainable = False
    return model


def functional(input_, layers, models):
    start = input_(shape=(8, 8, 1), name="image")
    end = layers.Flatten()(layers.Conv2D(4, 3, name="conv")(start))
    return models.Model(start, end)


def two_outputs(input_, layers, models):
    model = book(input_, layers, models)
    return models.Model(model.inputs, [model.layers[0].output, model.layers[2].output], name="activations")


def nested(input_, layers, models):
    inner = models.Sequential([input_(shape=(4,)), layers.Dense(3), layers.Dense(2)], name="inner")
    return models.Sequential([input_(shape=(5,)), layers.Dense(4), inner, layers.Dense(1)])


def float64(input_, layers, models):
    return models.Sequential([input_(shape=(3,)), layers.Dense(300, dtype="float64")])


def trained(optimizer, freeze=False, **config):
    def build(input_, layers, models):
        library = keras if models is keras.models else minicnn
        model = models.Sequential([input_(shape=(6,)), layers.Dense(50), layers.Dense(2)])
        model.layers[0].trainable = not freeze
        model.compile(getattr(library.optimizers, optimizer)(**config), "mse", run_eagerly=True)
        model.train_on_batch(np.zeros((2, 6), np.float32), np.zeros((2, 2), np.float32))
        return model

    build.__name__ = f"trained_{optimizer}{'_frozen' * freeze}{'_configured' * bool(config)}"
    return build


MODELS = [
    *(book, before_flatten, without_pooling, empty, input_only, unbuilt, built_later, built_by_data, popped),
    *(
        every_kind,
        channels_first,
        unknown_sizes,
        batch_shape,
        names,
        frozen,
        functional,
        two_outputs,
        nested,
        float64,
    ),
    *(trained("RMSprop"), trained("RMSprop", momentum=0.9, centered=True), trained("RMSprop", freeze=True)),
    *(trained("Adam"), trained("SGD"), trained("SGD", momentum=0.9)),
]


def both(build):
    """The model of either library, their automatic names counted from the same start."""
    keras.backend.clear_session(free_memory=False)  # collecting garbage takes a quarter of a second
    reset_names()
    return build(*KERAS), build(*OWN)
