"""The speedrun: its schedule, its times, and a page that says what was measured."""

import json
import time

import pytest

from minicnn import runs
from minicnn.bench import race as module
from minicnn.bench.race import START, OneCycle, Schedule, process_age, race

page = pytest.importorskip("benchmarks.race", reason="the source distribution has no benchmarks")


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    cycle = OneCycle(Schedule("sgd", 1, 1, peak=0.5, warmup=0.2), steps=100)
    rates = [cycle.rate(step) for step in range(100)]
    assert rates[0] == START * 0.5
    assert rates.index(max(rates)) == 20
    assert max(rates) == 0.5
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[-1] < 0.01


@pytest.fixture
def few_images(monkeypatch):
    """The first 256 images of MNIST are trained on, and 100 are asked about."""
    training, test = runs.load_examples(None)
    cut = (runs.Examples(*(a[:256] for a in training)), runs.Examples(*(a[:100] for a in test)))
    monkeypatch.setattr(runs, "load_examples", lambda path: cut)


def test_the_phases_add_up_to_the_whole_time(few_images):
    began, age = time.perf_counter(), process_age()
    result = race(3)
    passed = time.perf_counter() - began
    assert result.seed == 3
    assert 0 <= result.test_accuracy <= 1
    assert list(result.phases) == ["start", "import", "data", "kernels from disk", "training", "evaluation"]
    assert sum(result.phases.values()) == pytest.approx(result.seconds)
    # /proc counts in hundredths of a second
    assert result.seconds == pytest.approx(age + passed, abs=0.1)


def test_every_step_has_its_rate(few_images, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "SCHEDULE", Schedule("sgd", 64, 2, 0.01, 0.5))
    rate = OneCycle.rate
    monkeypatch.setattr(OneCycle, "rate", lambda self, step: seen.append(step) or rate(self, step))
    race(0)
    assert seen == list(range(8))


def test_the_first_step_holds_the_loading_of_the_kernels():
    laps = {"start": 1.0, "training": 10.0, "evaluation": 2.0}
    times = [0.0, 3.0, 3.5, 4.0, 4.5]  # when steps began: the first took 3 s, the others 0.5
    phases = module._kernels_apart(laps, times)
    assert phases == {"start": 1.0, "kernels from disk": 2.5, "training": 7.5, "evaluation": 2.0}


def test_the_page_is_what_the_results_say():
    assert page.PAGE.read_text() == page.page(), "Run `python benchmarks/race.py page`."


def test_a_run_that_is_too_slow_or_too_bad_is_a_missed_bar():
    results = json.loads(page.RESULTS.read_text())
    attempts: list[dict] = []
    assert "is met" in page.markdown(good(results, 0.991, 9.0), attempts)
    assert "is missed" in page.markdown(good(results, 0.989, 9.0), attempts)
    assert "is missed" in page.markdown(good(results, 0.991, 10.5), attempts)


def good(results, accuracy, seconds):
    return results | {
        "races": [r | {"test_accuracy": accuracy, "seconds": seconds} for r in results["races"]]
    }
