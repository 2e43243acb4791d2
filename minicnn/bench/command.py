"""The body of `minicnn bench`: options in, measurements, a table, files."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from minicnn.bench import machine, peers, show
from minicnn.bench.bars import judge
from minicnn.bench.neutral import Convolution, Network
from minicnn.bench.results import FAILED, WRONG, Measured, Results, merged, read, write
from minicnn.bench.run import run
from minicnn.bench.session import DeadWorker, cpus
from minicnn.bench.table import Bar, Contestant, Measurement, cases

OWN = ("minicnn", "sgemm")
"""Take part whatever --peers says: ours, and the measure that it is held against."""

PROFILES = "profiles"
"""What --only calls them."""


def bench(
    *,
    quick: bool,
    only: Sequence[str],
    peer_names: Sequence[str],
    threads: int | None,
    json: Path | None,
    pictures: Path | None,
    update: bool = False,
) -> int:
    """Measure, judge, show; write JSON and pictures if asked. 1 if what minicnn computes was wrong, or it failed.

    `update`: what the JSON file holds already and isn't measured now is kept.

    Raises:
        ValueError: an unknown name, more threads than CPUs, a file to update that was measured elsewhere.
        OSError: an output that can't be written.
    """
    table = cases()
    named = [name for name in only if name != PROFILES]
    chosen = select(table.MEASUREMENTS, quick, named, peer_names) if named or not only else []
    profiled = table.PROFILES if PROFILES in only or not (quick or only) else ()
    if threads is not None and threads > len(cpus()):
        raise ValueError(
            f"--threads must be at most {len(cpus())}, the CPUs of this process. Received {threads}."
        )
    check_outputs(json, pictures)
    earlier = read(json) if update and json is not None and json.exists() else None
    console, used = Console(), threads or len(cpus())
    record, done, profiles = machine.record(used), list[Measured](), list[dict[str, Any]]()
    bars = bars_for(table.BARS, chosen, earlier is None and (quick or bool(only)))

    def results() -> Results:
        new = Results(record, tuple(done), (), quick, profiles=tuple(profiles))
        whole = merged(earlier, new) if earlier else new
        return replace(whole, verdicts=judge(bars, whole.measurements))

    results()  # raises now, not after an hour, if the two can't be merged
    with console.status("") as status:
        for measured in run(chosen, lambda m: case_of(table, m), used, quick=quick, say=status.update):
            done.append(measured)
            console.print(show.measured_line(measured), markup=False, highlight=False, soft_wrap=True)
            if json is not None:  # after each: a run of an hour may be interrupted
                write(results(), json)
        for name in profiled:
            status.update(f"profile of {name}")
            profiles += profile(table.NETWORKS[name], console)
    console.print(show.measurements_table(done))
    finish(results(), console, json, pictures)
    own = [series.status for measured in done for series in measured.series if series.peer == "minicnn"]
    return int(WRONG in own or FAILED in own)


def finish(results: Results, console: Console, json: Path | None, pictures: Path | None) -> None:
    """Verdicts, files, pictures."""
    console.print(show.bars_table(results.verdicts))
    if json is not None:
        write(results, json)
        console.print(f"{json} written", markup=False)
    if pictures is not None:
        draw(results, pictures, console)


def draw(results: Results, folder: Path, console: Console) -> None:
    from minicnn.bench.pictures import draw_all

    folder.mkdir(parents=True, exist_ok=True)
    draw_all(results, folder)
    console.print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}", markup=False)


def profile(network: Network, console: Console) -> list[dict[str, Any]]:
    """The network's record, or none and a line that says why."""
    from minicnn.bench.profile import profile_network

    try:
        return [profile_network(network)]
    except DeadWorker as error:
        console.print(f"profile of {network.name}: the process {error}", markup=False)
        return []


def profile_model(target: str) -> None:
    """Show the profile of the model that 'FILE.py:function' returns."""
    from minicnn.bench.profile import profile_file

    print(profile_file(target))


def compare(before: Path, after: Path) -> None:
    """Show what the second file of results has more or less of than the first.

    Raises:
        ValueError: not files of results, or nothing in common.
    """
    rows = show.comparison(read(before), read(after))
    if not rows:
        raise ValueError(f"{before} and {after} have no measurement in common.")
    Console().print(show.comparison_table(rows))


# Choosing


def select(
    measurements: Sequence[Measurement], quick: bool, only: Sequence[str], peer_names: Sequence[str]
) -> list[Measurement]:
    """The measurements with a name in `only` (whole, or up to a '/'), each with the contestants that are wanted.

    Raises:
        ValueError: an unknown name.
    """
    for name in peer_names:
        if name not in peers.NAMES:
            raise ValueError(f"--peers must be among {', '.join(peers.NAMES)}. Received {name!r}.")
    chosen = [m for m in measurements if m.quick is not None or not quick]
    for name in only:
        if not any(is_named(m, name) for m in chosen):
            titles = dict.fromkeys(
                "/".join(m.name.split("/")[:2]) for m in chosen if m.group != "convolution"
            )
            known = ", ".join([*titles, "convolution_forward", "convolution_both", PROFILES])
            raise ValueError(f"--only must name a measurement or how one begins: {known}. Received {name!r}.")
    if only:
        chosen = [m for m in chosen if any(is_named(m, name) for name in only)]
    return [replace(m, contestants=wanted(m, quick, peer_names)) for m in chosen]


def wanted(measurement: Measurement, quick: bool, peer_names: Sequence[str]) -> tuple[Contestant, ...]:
    """Those of a measurement's contestants that take part."""
    if peer_names:
        return tuple(c for c in measurement.contestants if c.peer in (*OWN, *peer_names))
    return tuple(c for c in measurement.contestants if c.in_quick or not quick)


def is_named(measurement: Measurement, name: str) -> bool:
    return measurement.name == name or measurement.name.startswith(name.rstrip("/") + "/")


def case_of(table: Any, measurement: Measurement) -> Network | Convolution:
    tables = (table.CONVOLUTIONS, table.NETWORKS)
    return next(found[measurement.case] for found in tables if measurement.case in found)


def bars_for(bars: Sequence[Bar], chosen: Sequence[Measurement], is_part: bool) -> list[Bar]:
    """All bars of a whole run; of a part those that it measures, and none over more than it measures."""
    if not is_part:
        return list(bars)
    names = {m.name for m in chosen}
    return [bar for bar in bars if bar.measurement in names]


def check_outputs(json: Path | None, pictures: Path | None) -> None:
    """Refuse what can't be written before anything is measured.

    Raises:
        OSError: no such folder, or no right to write there.
    """
    if json is not None and json.is_dir():
        raise IsADirectoryError(f"--json must be a file. {json} is a folder.")
    folders = [json.parent] if json is not None else []
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        folders.append(pictures)
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"The folder {folder} must exist.")
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"The folder {folder} can't be written.")
