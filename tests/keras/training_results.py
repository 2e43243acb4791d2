"""Trains the book's net beside Keras with every optimizer, and keeps what was measured.

    python -m tests.keras.training_results          # minutes; writes docs/results/training.json and docs/training.md
    python -m tests.keras.training_results --page   # only the page, from the results

The numbers are judged by test_training.py, here they are only collected.
"""

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "docs/results/training.json", ROOT / "docs/training.md"
FREE_STEPS, FIRST_STEPS, FORCED_STEPS = 300, 10, 100
NAMES = {
    "rmsprop": "RMSprop (the listing's)",
    "rmsprop-centered": "RMSprop, centered",
    "rmsprop-momentum": "RMSprop, momentum 0.5",
    "rmsprop-full": "RMSprop, centered, momentum 0.5",
    "sgd": "SGD",
    "sgd-momentum": "SGD, momentum 0.9",
    "sgd-nesterov": "SGD, momentum 0.9, Nesterov",
    "adam": "Adam",
    "amsgrad": "Adam, AMSGrad",
    "adamw": "AdamW",
}


def run(floatx, steps, forced=0, optimizers=tuple(NAMES)):
    """What training_run prints, in a process of its own."""
    command = [sys.executable, "-m", "tests.keras.training_run", floatx]
    command += ["--steps", str(steps), "--forced", str(forced), "--optimizers", *optimizers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout)


def worst(losses):
    """The largest relative difference of Keras's losses and ours."""
    return max(abs(ours - theirs) / theirs for theirs, ours in losses)


def losses_before_a_kink(free):
    """The losses up to the first step at which gradients differ by more than rounding, that step's among them.

    Rounding leaves 1e-6, a kink 1e-5 or more. The loss is continuous there, so it is the next step's that parts.
    """
    kink = next((k for k, apart in enumerate(free["apart"]) if apart > 1e-5), len(free["apart"]))
    return free["losses"][: kink + 1]


def gradient_ratios(forced):
    """(steps, weights): our distance from float64 by Keras's own, the larger one of its two orders of the batch."""
    ours, *theirs = np.moveaxis(np.array(forced["gradients"]), 1, 0)
    return ours / np.maximum(*theirs)


def median_ratio(forced):
    """The largest over the weights of the median over the steps: our distance by Keras's, the batch in order."""
    distances = np.array(forced["gradients"])
    return float(np.median(distances[:, 0] / distances[:, 1], axis=0).max())


def root_mean_square(values):
    return float(np.sqrt(np.mean(np.square(values))))


def summary(free, float32):
    """The row of one optimizer."""
    forced = float32["forced"]
    ours, theirs, _ = np.array(forced["loss"]).T
    return {
        "float64_steps": len(free["losses"]),
        "float64_first_loss": free["losses"][0][0],
        "float64_last_loss": free["losses"][-1][0],
        "float64_worst_relative_difference": worst(free["losses"]),
        "float64_seconds": free["seconds"],
        "float32_free_steps": len(float32["losses"]),
        "float32_steps_before_a_kink": len(losses_before_a_kink(float32)),
        "float32_worst_relative_difference_before": worst(losses_before_a_kink(float32)),
        "float32_worst_relative_difference": worst(float32["losses"]),
        "forced_steps": len(forced["loss"]),
        "forced_loss_error_ours": root_mean_square(ours),
        "forced_loss_error_keras": root_mean_square(theirs),
        "forced_gradient_median_ratio": median_ratio(forced),
        "forced_steps_above_4": int((gradient_ratios(forced) > 4).any(axis=1).sum()),
        "forced_largest_gradient_distance": float(np.array(forced["gradients"])[:, 0].max()),
        "forced_largest_gradient_distance_keras": float(np.array(forced["gradients"])[:, 1].max()),
        "forced_numbers_the_optimizer_differs_in": int(np.sum(forced["optimizer_differs"])),
        "float32_seconds": float32["seconds"],
    }


def measure():
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    free = run("float64", FREE_STEPS)
    float32 = run("float32", FIRST_STEPS, FORCED_STEPS)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "numpy", "numba")},
        "batch_size": 64,
        "optimizers": {name: summary(free[name], float32[name]) for name in free},
    }


def page(results):
    """docs/training.md: the results as Markdown tables."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    rows = results["optimizers"].items()
    free = [
        f"| {NAMES[name]} | {row['float64_steps']} | {row['float64_first_loss']:.3f} → {row['float64_last_loss']:.3f} "
        f"| {row['float64_worst_relative_difference']:.1e} | {row['float32_steps_before_a_kink']} "
        f"| {row['float32_worst_relative_difference_before']:.1e} | {row['float32_worst_relative_difference']:.1e} |"
        for name, row in rows
    ]
    forced = [
        f"| {NAMES[name]} | {row['forced_steps']} | {row['forced_loss_error_ours']:.1e} "
        f"| {row['forced_loss_error_keras']:.1e} | {row['forced_gradient_median_ratio']:.2f} "
        f"| {row['forced_steps_above_4']} | {row['forced_numbers_the_optimizer_differs_in']} |"
        for name, row in rows
    ]
    seconds = sum(row["float64_seconds"] + row["float32_seconds"] for _, row in rows)
    return TEMPLATE.format(
        free="\n".join(free),
        forced="\n".join(forced),
        batch=results["batch_size"],
        first=FIRST_STEPS,
        about=f"{results['date']}, commit {results['commit'][:12]}, Python {results['python']}, {versions}; "
        f"{seconds:.0f} s",
    )


TEMPLATE = """\
<!-- Generated by `python -m tests.keras.training_results`; change it there. -->
# Training beside Keras

The book's net starts from Keras's initial weights and sees the same batches of {batch} real digits. Then both train.

## Freely

Each goes its own way from the first step on. In float64 the losses stay Keras's: rounding differs, and nothing else.

In float32 only the first {first} losses are compared. Rounding alone makes them differ by 1e-7. But where a ReLU's or a
pool's input lies at its kink, and background pixels are all alike, weights that differ by 1e-7 have gradients that
differ by a thousandth; from then on the two part. Whether that is so is not asked of the losses but of Keras's
gradients in float64 at the two sets of weights, and of both gradients at their own: they differ by 1e-6 otherwise. The
worst are relative differences of the losses.

| Optimizer | Steps | Keras's loss | Float64, worst | Before a kink | Float32, worst before | Of {first} |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{free}

The tests ask for 1e-9, and for 1e-5 before a kink.

## From Keras's weights at every step, in float32

Before each step we take over Keras's weights and slots. The truth is Keras's own gradient in float64 at these weights.
The losses' errors are root mean squares over the steps. A gradient's error is ‖g − truth‖ / ‖truth‖ for each weight;
the table shows ours divided by Keras's: the median over the steps, for the weight where it is largest. The next column
counts steps in which any weight's was more than 4 times what Keras gets, with the batch in order or reversed: there a
ReLU's or a pool's input lies so near its kink that rounding chooses the side, and one of many terms is another.
The last column counts weights and slots that differ from what Keras's optimizer makes of our gradients, in any bit but
those of subnormal numbers, which TensorFlow makes zero.

| Optimizer | Steps | Our loss's error | Keras's | Gradient's error, ours / Keras's | Steps at a kink | Bits |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{forced}

{about}.
"""


def main(arguments):
    if "--page" not in arguments:
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(measure(), indent=2) + "\n")
    PAGE.write_text(page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main(sys.argv[1:])
