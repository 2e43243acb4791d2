"""What a run measured: records, as they are in results.json, and questions to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Results:
    machine: dict[str, Any]
    """cpu, versions, date, extent and peak_gflops, of one thread."""
    records: tuple[dict[str, Any], ...]
    """See `measure`: kinds time, loops, error and memory."""

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["kind"] == kind]

    @property
    def algorithms(self) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(r["algorithm"] for kind in ("time", "error") for r in self._by_name(kind)))

    def _by_name(self, kind: str) -> list[dict[str, Any]]:
        from minicnn.study.algorithms.measure import ENGINE
        from minicnn.study.algorithms.table import TABLE

        order = [*TABLE, ENGINE]
        return sorted(self.of_kind(kind), key=lambda record: order.index(record["algorithm"]))

    @property
    def kernels(self) -> list[int]:
        return sorted({record["kernel"] for record in self.of_kind("time")})

    @property
    def channels(self) -> list[int]:
        return sorted({record["channels"] for record in self.of_kind("time")})

    @property
    def growth(self) -> list[int]:
        """Channels over which errors were measured."""
        return sorted({record["channels"] for record in self.of_kind("error")})

    def seconds(self, algorithm: str, which: str) -> dict[tuple[int, int], float]:
        """By (kernel, channels), as far as it was timed: 'forward', 'backward', 'dx' or 'dw'."""
        return {
            (record["kernel"], record["channels"]): record[f"{which}_s"]
            for record in self.of_kind("time")
            if record["algorithm"] == algorithm and f"{which}_s" in record
        }

    def share(self, algorithm: str, which: str, kernel: int, channels: int) -> float:
        """The rate by dense work in % of the peak; NaN if it wasn't run. Backward is twice the work."""
        seconds = self.seconds(algorithm, which).get((kernel, channels))
        if seconds is None:
            return float("nan")
        (dense,) = {
            record["dense"]
            for record in self.of_kind("time")
            if (record["kernel"], record["channels"]) == (kernel, channels)
        }
        flops = 2 * dense * (2 if which == "backward" else 1)
        return 100 * flops / seconds / (1e9 * self.machine["peak_gflops"])

    def errors(self, algorithm: str, which: str) -> list[dict[str, Any]]:
        """In the order of the channels."""
        found = [r for r in self.of_kind("error") if (r["algorithm"], r["pass"]) == (algorithm, which)]
        return sorted(found, key=lambda record: record["channels"])

    def fastest(self, which: str, kernel: int, channels: int, without: tuple[str, ...] = ()) -> str:
        """The algorithm of the least time."""
        times = {
            name: self.seconds(name, which).get((kernel, channels), np.inf)
            for name in self.algorithms
            if name not in without
        }
        return min(times, key=lambda name: times[name])

    def to_json(self) -> str:
        lines = ",\n  ".join(json.dumps(record) for record in self.records)
        return f'{{"machine": {json.dumps(self.machine, indent=1)},\n "records": [\n  {lines}\n ]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Results:
        content = json.loads(text)
        return cls(content["machine"], tuple(content["records"]))
