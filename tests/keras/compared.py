"""Which test compares what with Keras: outputs, gradients, float32 and float64. test_compared.py keeps it complete.

A row is (forward, backward, float64). Forward and backward name a test, or say in words why there is nothing to
compare. Float64 is DRAWN when the test takes either float type for each example, or PROCESS when its whole file runs
once more in float64 (test_in_float64.py). Every test is run in float32.
"""

DRAWN, PROCESS = "drawn", "process"
NO_GRADIENT = "nobody differentiates it"
NO_NUMBERS = "it computes nothing"
LAYERS, SIMPLE, ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS, SCHEDULES, REGULARIZERS, INITIALIZERS = (
    f"test_{name}.py::test_"
    for name in (
        "layer_gradients",
        "simple_layers",
        "activations",
        "losses",
        "metrics",
        "optimizers",
        "schedules",
        "regularizers",
        "initializers",
    )
)


def same(test, float64=PROCESS):
    """One test for outputs and gradients."""
    return test, test, float64


def without_gradient(test, float64=DRAWN):
    return test, NO_GRADIENT, float64


def rows(names, row):
    return dict.fromkeys(names.split(), row)


LOSS = (LOSSES + "objects", LOSSES + "gradients", DRAWN)
COMPARED = {
    "layers": {
        **rows("Conv2D", same(LAYERS + "conv2d")),
        **rows("Dense", same(LAYERS + "dense")),
        **rows("MaxPooling2D AveragePooling2D", same(LAYERS + "pooling")),
        **rows("GlobalMaxPooling2D GlobalAveragePooling2D", same(LAYERS + "global_pooling")),
        **rows("Activation", same(SIMPLE + "activation")),
        **rows("Softmax", same(SIMPLE + "softmax_along_any_axis")),
        **rows("ReLU", same(SIMPLE + "relu")),
        **rows("Rescaling", same(SIMPLE + "rescaling")),
        **rows("ZeroPadding2D", same(SIMPLE + "zero_padding")),
        **rows("Flatten", same(SIMPLE + "flatten")),
        "Dropout": (
            SIMPLE + "dropout_in_training",
            SIMPLE + "dropout_passes_the_gradient_where_it_passed_the_input",
            PROCESS,
        ),
        **rows(
            "RandomFlip RandomRotation RandomShear RandomTranslation RandomZoom",
            ("test_random_layers.py::test_layers", "test_random_layers.py::test_layers", PROCESS),
        ),
        **rows("Input InputLayer Layer", (NO_NUMBERS, NO_NUMBERS, PROCESS)),
    },
    "activations": rows(
        "linear relu leaky_relu elu gelu silu softplus sigmoid tanh softmax",
        (ACTIVATIONS + "values", ACTIVATIONS + "derivatives", DRAWN),
    ),
    "losses": {
        **rows("CategoricalCrossentropy SparseCategoricalCrossentropy BinaryCrossentropy", LOSS),
        **rows("MeanSquaredError MeanAbsoluteError", LOSS),
        **rows(
            "categorical_crossentropy sparse_categorical_crossentropy binary_crossentropy "
            "mean_squared_error mean_absolute_error",
            (LOSSES + "functions", LOSSES + "gradients", DRAWN),
        ),
        **rows("Loss", (NO_NUMBERS, NO_NUMBERS, DRAWN)),
    },
    "metrics": {
        **rows(
            "Accuracy BinaryAccuracy BinaryCrossentropy CategoricalAccuracy CategoricalCrossentropy "
            "MeanAbsoluteError MeanSquaredError SparseCategoricalAccuracy SparseCategoricalCrossentropy "
            "SparseTopKCategoricalAccuracy TopKCategoricalAccuracy",
            without_gradient(METRICS + "over_batches"),
        ),
        **rows("Mean Sum", without_gradient(METRICS + "reductions")),
        **rows("MeanMetricWrapper", without_gradient(METRICS + "means_of_a_function")),
        **rows(
            "binary_accuracy categorical_accuracy sparse_categorical_accuracy "
            "sparse_top_k_categorical_accuracy top_k_categorical_accuracy",
            without_gradient(METRICS + "functions"),
        ),
        **rows("Metric", (NO_NUMBERS, NO_GRADIENT, DRAWN)),
    },
    "optimizers": {
        **rows("SGD RMSprop Adam AdamW", without_gradient(OPTIMIZERS + "steps")),
        **rows("Optimizer", (NO_NUMBERS, NO_GRADIENT, DRAWN)),
    },
    "optimizers.schedules": {
        **rows(
            "ExponentialDecay InverseTimeDecay PolynomialDecay CosineDecay CosineDecayRestarts",
            without_gradient(SCHEDULES + "rates"),
        ),
        **rows("PiecewiseConstantDecay", without_gradient(SCHEDULES + "pieces")),
        **rows("LearningRateSchedule", (NO_NUMBERS, NO_GRADIENT, DRAWN)),
    },
    "regularizers": {
        **rows("L1 L2 L1L2", same(REGULARIZERS + "penalties_and_gradients", DRAWN)),
        **rows("Regularizer", (NO_NUMBERS, NO_NUMBERS, DRAWN)),
    },
    "initializers": {
        **rows("Zeros Ones Constant", without_gradient(INITIALIZERS + "constants")),
        **rows(
            "RandomNormal TruncatedNormal RandomUniform VarianceScaling GlorotUniform GlorotNormal HeUniform "
            "HeNormal LecunUniform LecunNormal",
            without_gradient(INITIALIZERS + "distribution"),
        ),
        **rows("Initializer RandomInitializer", (NO_NUMBERS, NO_GRADIENT, DRAWN)),
    },
}
"""Module → public class or function → (forward, backward, float64)."""

SERVICES = {"get", "serialize", "deserialize", "resolve", "lower", "compute_fans"}
"""Functions about the others: test_string_identifiers, test_configurations, test_scaling and test_objects use them."""
