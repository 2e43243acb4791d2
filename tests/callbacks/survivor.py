"""A program whose trainings are killed: `python -m tests.callbacks.survivor FOLDER KILLS SEED`.

It imports everything once, and forks one process for each start of a training, so that a start costs milliseconds.
Each is killed by SIGKILL at a random moment and started again, until the training is over; then the next training
begins. What was being done is read from memory that parent and child share. The last line of output is JSON.
"""

import hashlib
import json
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from minicnn import Input, callbacks, config, layers, models, utils
from minicnn.callbacks import backup_and_restore

ELSEWHERE, STEP, VALIDATION, SAVE, DONE = range(5)
doing = mmap.mmap(-1, 2)
"""What the child does now, and whether it is inside an epoch."""


class Watch(callbacks.Callback):
    """Says where the training is; the first in the list, and the last to leave an epoch."""

    def get_state(self):
        return None

    def on_epoch_begin(self, epoch, logs=None):
        doing[0] = doing[1] = STEP

    def on_test_begin(self, logs=None):
        doing[0] = VALIDATION

    def on_epoch_end(self, epoch, logs=None):
        doing[0] = doing[1] = ELSEWHERE


def saving(path, tree, write=backup_and_restore.write_checkpoint):
    """The real thing, with a sign on the door."""
    before, doing[0] = doing[0], SAVE
    write(path, tree)
    doing[0] = before


def train(folder):
    """One start of the training: to its end, if it isn't killed."""
    config.set_num_threads(2)
    utils.set_random_seed(5)
    rng = np.random.default_rng(0)
    x, y = rng.random((96, 8, 8, 1), dtype=np.float32), rng.integers(0, 3, 96)
    model = models.Sequential(
        [
            Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=8,
        validation_data=(x[:40], y[:40]),
        verbose=0,
        callbacks=[
            Watch(),
            callbacks.BackupAndRestore(folder / "backup", save_freq=5, delete_checkpoint=False),
            callbacks.EarlyStopping(patience=3, restore_best_weights=True),
            callbacks.CSVLogger(folder / "log.csv"),
        ],
    )
    digest = hashlib.sha256(b"".join(w.tobytes() for w in model.get_weights())).hexdigest()
    result = {"weights": digest, "history": history.history, "epochs": history.epoch}
    (folder / "result.json").write_text(json.dumps(result))
    doing[0] = DONE


def start(folder):
    """The process id of a new start."""
    sys.stdout.flush()
    doing[0] = doing[1] = ELSEWHERE
    child = os.fork()
    if child:
        return child
    try:
        train(folder)
    except BaseException as error:
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def finish(child):
    """Wait for its end; refuse one that wasn't asked for."""
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"a training ended with {status}")


def outcome(folder):
    return json.loads((folder / "result.json").read_text()), (folder / "log.csv").read_bytes()


def main(root, kills, seed):
    draw = random.Random(seed)
    for name in ("first", "whole"):  # the first one may have kernels to compile
        (root / name).mkdir()
        began = time.perf_counter()
        finish(start(root / name))
        seconds = time.perf_counter() - began
    whole, same, counts, trainings, inside, left = outcome(root / "whole"), 0, [0] * 5, 0, 0, []
    while kills > 0:
        trainings += 1
        folder = root / str(trainings)
        folder.mkdir()
        for number in range(max(2, min(kills, 6))):
            child = start(folder)
            wait_until(time.perf_counter() + draw.uniform(0, seconds / 5), in_save=number % 2 == 1, draw=draw)
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            if status != signal.SIGKILL:  # it was faster
                break
            counts[doing[0]] += 1
            inside += doing[1]
            kills -= 1
        else:
            finish(start(folder))
        same += outcome(folder) == whole
        left += [path.name for path in (folder / "backup").iterdir() if path.name != backup_and_restore.FILE]
    print(json.dumps({"trainings": trainings, "same": same, "inside an epoch": inside, "in a save": counts[SAVE],
                      "left behind": left, "seconds": seconds}))  # fmt: skip


def wait_until(moment, *, in_save, draw):
    """Sleep; with `in_save`, then wait for the next save and a moment within it."""
    while time.perf_counter() < moment and doing[0] != DONE:
        time.sleep(0.0005)
    give_up = time.perf_counter() + 10
    while in_save and doing[0] not in (SAVE, DONE) and time.perf_counter() < give_up:
        time.sleep(0)
    if in_save:
        time.sleep(draw.uniform(0, 0.0015))


if __name__ == "__main__":
    backup_and_restore.write_checkpoint = saving
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
