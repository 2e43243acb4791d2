"""Where minicnn differs from Keras on purpose: one table for the tests, and for docs/differences.md.

    python -m tests.keras.differences    # writes the page

Whatever is not listed here is compared and must be the same.
"""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"

SIGNATURES = {
    "models.Model.compile": (
        "`backend`, `fuse` and `algorithm`, by keyword only: NumPy or Numba, whether ops are fused, and what computes "
        "the convolutions."
    ),
    "models.Sequential.compile": "As models.Model.compile.",
    "models.Model.summary": "`details`, by keyword only: columns of multiply-adds, memory, receptive "
    "fields and, for given samples, dead units.",
    "models.Sequential.summary": "As models.Model.summary.",
    "layers.serialize": "The argument is called `item`: one function serializes every kind of object.",
    "losses.serialize": "As layers.serialize.",
    "metrics.serialize": "As layers.serialize.",
    "optimizers.serialize": "As layers.serialize.",
    "initializers.serialize": "As layers.serialize.",
    "regularizers.serialize": "As layers.serialize.",
    "activations.serialize": "As layers.serialize.",
    "models.Model.export": "ONNX is the format by default, and the only one.",
    "models.Model.compile_from_config": "`custom_objects` too, which Keras takes from a global scope.",
    "losses.deserialize": "The argument is called `config`, as everywhere else; Keras calls this one `name`.",
    "optimizers.Adam.build": "`variables`, as in Keras's SGD and its base class; Keras says `var_list` here.",
    "optimizers.AdamW.build": "As optimizers.Adam.build.",
    "optimizers.RMSprop.build": "As optimizers.Adam.build.",
    "metrics.Metric.add_weight": "Zeros by default, where Keras's None means zeros.",
    "metrics.Metric.add_variable": "A scalar of zeros by default; no `aggregation` over replicas, as there are none.",
    "layers.Rescaling.from_config": "No `custom_objects`: scale and offset are numbers.",
    "backend.standardize_dtype": "The argument may be left out, which means None.",
}
"""Class, method or function → what its signature has that Keras's has not, or the reverse, and why.

An entry of a class counts for its subclasses.
"""

CONFIGS = {
    "dtype": "A name ('float32'); Keras's is the configuration of a DTypePolicy. Either library reads both.",
}
"""Keys of `layer.get_config()` whose values differ."""

BEHAVIOUR = {
    "NaN in a max pool's window": "It propagates, as in NumPy and PyTorch; TensorFlow drops it.",
    "A 'valid' pool larger than the image": "ValueError; Keras's pooling returns an empty map.",
    "Constants in float64": (
        "Keras rounds Rescaling's scale and offset, slopes, and gelu's √½ to float32 on their way; we don't."
    ),
    "The gradient of a clipped ReLU at `max_value`": "0, as Keras's for max_value=6; for others Keras's is dy there.",
    "Layers of several dtypes in one model": "ValueError; Keras casts between them.",
    "A layer, and one in a model beside it, of one name": "ValueError; Keras tells them apart by their paths.",
    "`evaluate` with metrics of one name": "[loss, each once]; Keras's list repeats the first one's value.",
    "`metrics_names`": "The names of all metrics; Keras's has 'compile_metrics' for those given to `compile`.",
    "NaN or infinity in the data of `fit`": "ValueError before the first step, unless config.check_finite is False.",
    "A progress bar outside a terminal and Jupyter": "One plain line an epoch instead of a line for every batch.",
    "A progress bar in `fit` on arrays, if nothing else hears of batches": "It moves every 50 ms, by several batches.",
    "`variable.trainable` in a frozen layer": "It stays True: `layer.trainable` alone says what is trained.",
    "`overwrite=False`, and there is such a file": "FileExistsError; Keras asks on the terminal.",
    "`skip_mismatch`, `max_shard_size`, `zipped=False`": "ValueError: a file is whole, and read whole or not at all.",
    "Optimizer state of a `.weights.h5` file": "It builds the optimizer if need be; Keras warns and skips it.",
    "The path of a variable": "`conv2d/kernel`; Keras puts the model's name before it once the model is built.",
    "A model called without `training`": (
        "Random layers are the identity, as in `predict`; Keras's RandomFlip, RandomRotation, … act there."
    ),
    "RandomShear.from_config": "Takes what `get_config` gives; Keras's refuses the negative bound it wrote.",
    "RandomFlip with an unknown mode": "ValueError; Keras's does nothing then.",
    "The gradient by the input of a random layer": (
        "Exact; TensorFlow's samples the gradient through the inverse map, which is close to it."
    ),
    "Images in float64 through a random layer": "Summed in float64; TensorFlow sums them in float32.",
    "A fit that BackupAndRestore takes up": (
        "Its history holds the interrupted one's epochs, and a checkpoint inside an epoch goes on with the next batch; "
        "Keras's history begins there, and its epoch begins again. The files in `backup_dir` are others."
    ),
    "The order of callbacks": "A BackupAndRestore is called after the others, wherever it stands in the list.",
    "Regularizers": "They need a `gradient`: a plain function is a ValueError. No OrthogonalRegularizer.",
    "TensorBoard": "Scalars only: `histogram_freq`, `profile_batch`, … must keep their defaults.",
    "TensorBoard with `update_freq=N`": (
        "The scalars of every epoch are written; Keras leaves out those of epochs that end between two N-th batches."
    ),
    "Which numbers are drawn": (
        "Initializers, Dropout, random layers and shuffling draw from the same distributions, other bits."
    ),
}
"""Situations in which both are asked the same and answer differently."""


def page() -> str:
    """The tables in Markdown."""
    parts = [
        "# Differences from Keras\n\n<!-- Made by `python -m tests.keras.differences`. Don't edit. -->\n",
        "Whatever is not listed here is compared with Keras by the tests and must be the same.",
    ]
    for title, heading, rows in (
        ("Behaviour", "what", BEHAVIOUR),
        ("Signatures", "function or method", SIGNATURES),
        ("Configurations of layers", "key", CONFIGS),
    ):
        lines = [f"| {key if title == 'Behaviour' else f'`{key}`'} | {text} |" for key, text in rows.items()]
        parts += [f"\n## {title}\n", f"| {heading} | difference |", "|---|---|", *lines]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
