"""What can be measured once in a process: `python -m minicnn.bench.fresh JOB PEER`, a network as JSON on stdin.

first_step: seconds from the start of the process to the end of the first training step, ours with its kernels on disk.
memory: the peak of a process that runs the whole listing with one epoch; ours is `minicnn train`.
"""

import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

from minicnn.bench import peers
from minicnn.bench.neutral import Network, from_dict
from minicnn.bench.session import Child, DeadWorker, cpus

JOBS = ("first_step", "memory")


def sample(job: str, peer: str, network: Network, batch_size: int, threads: int | None = None) -> float:
    """Seconds or bytes of a new process.

    Raises:
        DeadWorker: it fails.
    """
    start = perf_counter()
    child = Child(["-m", "minicnn.bench.fresh", job, peer], threads or len(cpus()))
    try:
        with child.process.stdin as pipe:  # type: ignore[union-attr]
            pipe.write(json.dumps({"network": asdict(network), "batch_size": batch_size}))
        line = child.process.stdout.readline()  # type: ignore[union-attr]
        seconds = perf_counter() - start
        if not line:
            child.process.wait()
            raise DeadWorker(child.last_words())
        return seconds if job == "first_step" else float(json.loads(line)["nbytes"])
    finally:
        child.end()


def first_step(peer: str, network: Network, batch_size: int) -> None:
    """Build, compile and train on one batch; without MNIST, whose reading is no library's."""
    x, y = replace(network, data="blocks").examples(batch_size)
    peers.load(peer).build(network).train_on_batch(x, y)


def peak_nbytes() -> int:
    """Of this process: the kernel's high-water mark since it was started."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("/proc/self/status has no VmHWM.")


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    request, (job, peer) = json.load(sys.stdin), sys.argv[1:]
    if job == "memory":
        peers.load(peer).listing()
        print(json.dumps({"nbytes": peak_nbytes()}), file=replies)
    else:
        first_step(peer, from_dict(request["network"]), request["batch_size"])  # type: ignore[arg-type]
        print("{}", file=replies)


if __name__ == "__main__":
    main()
