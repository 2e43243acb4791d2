"""How every test runs: Hypothesis profiles, runtime checks of shapes and types, quiet frameworks."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from jaxtyping import install_import_hook

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# With oneDNN, TensorFlow 2.21 returns uninitialised memory for a batch of two or more, strides (1, s > 1) and an output
# one column wide: of 4,050 small convolutions 100 were wrong with it in one run, none without.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("MPLBACKEND", "Agg")

# A deadline would make results depend on how busy the machine is; so would the health check for slow draws.
COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ordinary", max_examples=100, **COMMON)
settings.register_profile("nightly", max_examples=10_000, **COMMON)
# `make coverage`: without the JIT kernels are plain Python, some thousand times slower. The same paths, fewer draws.
JIT_IS_OFF = os.environ.get("NUMBA_DISABLE_JIT") == "1"
settings.register_profile("interpreted", max_examples=10, **COMMON)
# For `make mutation`: whether a mutant is killed must not depend on the day, and nobody reads its shrunk example.
settings.register_profile(
    "mutation",
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    **COMMON,
)
settings.load_profile("ordinary")  # `make nightly` passes --hypothesis-profile=nightly, which is loaded later

# Every annotation in these packages is checked at each call. Not the kernels: Numba must see the plain functions.
# Not the public edge (layers, losses, models, utils, …): it promises a message of its own for arguments of the
# wrong type, and its tests hand them in. Not `testing`: it is tested as its users run it.
install_import_hook(
    [f"minicnn.{name}" for name in ("engine", "geometry", "reference", "viz")], "beartype.beartype"
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where kernels aren't compiled, leave out what is marked `jitted`, and the kit's checks of the numba backend."""
    if not JIT_IS_OFF:
        return
    left_out = [i for i in items if i.get_closest_marker("jitted") or "[minicnn:numba]" in i.nodeid]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module", autouse=True)
def trainings_in_numpy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where kernels aren't compiled, commands and studies train in NumPy: 500 images take it seconds."""
    with pytest.MonkeyPatch.context() as patch:
        if JIT_IS_OFF and request.path.name in ("test_cli.py", "test_experiments.py", "test_looking.py"):
            from minicnn.models import Model

            patch.setitem(Model.compile.__kwdefaults__, "backend", "reference")
        yield
