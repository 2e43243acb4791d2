"""Measure the main job: training the book's net on MNIST. Writes results/main_job.json; about 10 minutes on 2 cores.

    python benchmarks/main_job.py            # everything, in processes of their own
    python benchmarks/main_job.py epoch      # one measurement in this process, as JSON on the last line

Keras is measured if it is installed. Every process of a comparison runs in turn with the other side's.
"""

import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

RESULTS = Path(__file__).with_name("results") / "main_job.json"
ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
SEEDS, REPEATS = (0, 1, 2), 3


# Measurements: each runs alone in a process, and returns numbers.


def listing_model(library: str):
    """The listing's model, compiled, and its training data; `library` is minicnn or keras."""
    if library == "keras":
        from keras import Input, layers, models
        from keras.utils import to_categorical
    else:
        from minicnn import Input, layers, models
        from minicnn.utils import to_categorical
    from minicnn.datasets import mnist

    model = models.Sequential()
    model.add(Input(shape=(28, 28, 1)))
    model.add(layers.Conv2D(32, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    (train_images, train_labels), (test_images, test_labels) = mnist.load_data()
    train_images = train_images.reshape((60000, 28, 28, 1)).astype("float32") / 255
    test_images = test_images.reshape((10000, 28, 28, 1)).astype("float32") / 255
    train_labels, test_labels = to_categorical(train_labels), to_categorical(test_labels)
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    return model, (train_images, train_labels), (test_images, test_labels)


def measure_epoch(library: str) -> dict:
    """Seconds of one epoch of the listing, batch size 64, after a short one that compiles and warms up."""
    model, (x, y), _ = listing_model(library)
    model.fit(x[:640], y[:640], batch_size=64, verbose=0)
    start = perf_counter()
    model.fit(x, y, epochs=1, batch_size=64, verbose=0)
    return {"seconds": perf_counter() - start}


def measure_memory(library: str) -> dict:
    """Peak resident memory of the whole listing with one epoch, in MB."""
    model, train, test = listing_model(library)
    model.fit(*train, epochs=1, batch_size=64, verbose=0)
    model.evaluate(*test, verbose=0)
    return {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def measure_first_step() -> dict:
    """Seconds from the first call of the net's kernels until training and inference have run once."""
    from minicnn import runs

    model = runs.book_net()
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    x, y = np.zeros((64, 28, 28, 1), np.float32), np.eye(10, dtype=np.float32)[np.zeros(64, int)]
    start = perf_counter()
    model.train_on_batch(x, y)
    model.test_on_batch(x, y)
    model.predict_on_batch(x)
    return {"seconds": perf_counter() - start}


def measure_import() -> dict:
    """Seconds after `import numpy` of `import minicnn` alone, which loads one page, and of all the listing imports."""
    start = perf_counter()
    import minicnn  # noqa: F401

    package = perf_counter() - start
    from minicnn import Input, layers, models  # noqa: F401
    from minicnn.datasets import mnist  # noqa: F401
    from minicnn.utils import to_categorical  # noqa: F401

    return {"package_seconds": package, "seconds": perf_counter() - start}


# The whole


def in_process(*arguments: str, **environment: str) -> dict:
    """Run one measurement in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=os.environ | environment,
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return json.loads(done.stdout.splitlines()[-1])


def train(seed: int) -> dict:
    """What `minicnn train` leaves in metrics.json; the first run's pictures are the README's."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "minicnn", "train", "--seed", str(seed), "--out", out]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        if seed == SEEDS[0]:
            IMAGES.mkdir(parents=True, exist_ok=True)
            for name in ("history.png", "misclassified.png"):
                shutil.copyfile(Path(out) / name, IMAGES / name)
        return {"seed": seed} | json.loads((Path(out) / "metrics.json").read_text())


def machine() -> dict:
    cpu_lines = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    cpu = cpu_lines[0].split(":")[1].strip() if cpu_lines else platform.processor()
    packages = {name: version(name) for name in ("numpy", "numba", "keras", "tensorflow") if installed(name)}
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), **packages}


def installed(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def main() -> None:
    libraries = ["minicnn", "keras"] if installed("keras") else ["minicnn"]
    results: dict = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip(),
        "machine": machine(),
        "load_average": os.getloadavg()[0],
        "import": [in_process("import") for _ in range(REPEATS)],
    }
    with tempfile.TemporaryDirectory() as cache:
        results["compile"] = in_process("first_step", NUMBA_CACHE_DIR=cache)
        results["load"] = [in_process("first_step", NUMBA_CACHE_DIR=cache) for _ in range(REPEATS)]
    results["memory"] = {"minicnn": in_process("memory", "minicnn")}
    rounds = [{library: in_process("epoch", library) for library in libraries} for _ in range(REPEATS)]
    results["epoch"] = {library: [r[library]["seconds"] for r in rounds] for library in libraries}
    results["train"] = [train(seed) for seed in SEEDS]
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for library, seconds in results["epoch"].items():
        print(f"{library}: median of {len(seconds)} epochs {median(seconds):.2f} s")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        sys.path.insert(0, str(ROOT))
        print(json.dumps(globals()[f"measure_{sys.argv[1]}"](*sys.argv[2:])))
    else:
        main()
