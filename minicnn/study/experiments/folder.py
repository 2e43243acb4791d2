"""Running an experiment: results.json, report.md and pictures in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn import config, viz
from minicnn.saving import write_file
from minicnn.study.experiments.experiment import Experiment
from minicnn.study.experiments.material import load
from minicnn.study.experiments.words import markdown


def carry_out(experiment: Experiment, folder: Path, *, data: str, seed: int, quick: bool) -> str:
    """Measure, write, draw; return the report.

    Raises:
        ValueError: an unknown data set. OSError: a folder that can't be written.
    """
    material = load(data)
    folder.mkdir(parents=True, exist_ok=True)
    size = experiment.size(data, quick=quick)
    results = experiment(material, seed, **size)
    record = {
        "experiment": experiment.name,
        "data": data,
        "seed": seed,
        "size": dict(size),
        "threads": config.num_threads(),
        "numbers": results.numbers,
    }
    write_file(folder / "results.json", (json.dumps(record, indent=1) + "\n").encode())
    names: list[str] = []
    for name, picture in experiment.pictures(results).items():
        if isinstance(picture, Sequence):
            viz.save_animation(picture, folder / name)
        else:
            viz.save(picture, folder / name)
        names.append(name)
    text = page(experiment, json.loads(json.dumps(record)), names)
    write_file(folder / "report.md", text.encode())
    return text


def page(experiment: Experiment, record: Mapping[str, Any], pictures: list[str], folder: str = "") -> str:
    """The report in Markdown; it follows from results.json and the names of the pictures, which lie in `folder`."""
    report = experiment.report(record["numbers"])
    sizes = ", ".join(f"{name} = {value}" for name, value in record["size"].items())
    small = json.loads(json.dumps(dict(experiment.size(record["data"], quick=True))))
    quick = " --quick" if record["size"] == small else ""
    data = "" if record["data"] == "mnist" else f" --data {record['data']}"
    return (
        "\n\n".join(
            [
                f"# {experiment.name}: {experiment.question}",
                f"`minicnn study {experiment.name}{quick}{data} --seed {record['seed']}` with {sizes}, "
                f"{record['threads']} threads.",
                markdown(report.table),
                " ".join(report.seen),
                *(f"![{name.rpartition('.')[0].replace('_', ' ')}]({folder}{name})" for name in pictures),
            ]
        )
        + "\n"
    )
