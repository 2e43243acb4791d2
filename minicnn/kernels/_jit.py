"""The only place where njit options are spelled, and where compiled kernels are kept on disk.

`kernel` decorates what the engine calls: compiled once for each dtype, cached on disk. `inner` decorates what kernels
call: compiled into its callers, never cached on its own.

Numba's own cache notices a change only in the function's own file; a kernel is made of several. So the folder of
ours is named by a digest of everything that decides the machine code (Numba adds the processor to each entry).
"""

import contextlib
import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import llvmlite  # type: ignore[import-untyped]
import numba
import numpy as np
from numba.core import caching
from numba.np import linalg

from minicnn.recording import Call, current, spoil

config: Any = numba.config


def _load_without_blas() -> None:
    """Load Numba's array functions, which look for SciPy's BLAS when they are loaded, without it.

    Kernels call no BLAS, and it takes 0.19 s and brings threads of its own. Whoever compiles a matrix product has
    Numba look for it then; `_HAVE_BLAS` alone is asked without looking (by np.correlate).
    """
    if "numba.np.arraymath" in sys.modules:
        return
    ensure_blas = linalg.ensure_blas
    linalg.ensure_blas = _no_blas
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = ensure_blas
    arraymath._HAVE_BLAS = find_spec("scipy") is not None


def _no_blas() -> None:
    raise ImportError("not now")


_load_without_blas()
Function = TypeVar("Function", bound=Callable[..., Any])

# "nnan" and "ninf" are absent because NaN and infinity must propagate; "reassoc" because an element's bits would
# depend on how the compiler splits the loop it stands in.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"nsz", "arcp", "contract", "afn"},
    "error_model": "numpy",
    "boundscheck": False,
    "no_cfunc_wrapper": True,
}
EXACT_OPTIONS = OPTIONS | {"fastmath": False}


def inner(function: Function) -> Function:
    """Compile as a part of the kernels that call it."""
    return numba.njit(**OPTIONS, no_cpython_wrapper=True)(function)


def exact_inner(function: Function) -> Function:
    """`inner` without fast math: every operation is rounded as it is written."""
    return numba.njit(**EXACT_OPTIONS, no_cpython_wrapper=True)(function)


def kernel(function: Function) -> Function:
    """Compile for each combination of dtypes on its first call, or load what an earlier process compiled."""
    return _cached(function, OPTIONS)


def exact_kernel(function: Function) -> Function:
    """`kernel` without fast math: every operation is rounded as it is written."""
    return _cached(function, EXACT_OPTIONS)


def _cached(function: Function, options: dict[str, Any]) -> Function:
    dispatcher = numba.njit(**options)(function)
    if config.DISABLE_JIT:
        return _interpreted(function)
    if cache_folder() is not None:
        dispatcher._cache = _KernelCache(function)
    return _Kernel(dispatcher)  # type: ignore[return-value]


def _interpreted(function: Function) -> Function:
    """The Python function; no machine code could repeat what it does."""

    @wraps(function)
    def call(*args: Any) -> Any:
        spoil()
        return function(*args)

    return call  # type: ignore[return-value]


class _Entry(NamedTuple):
    """A kernel compiled for some dtypes."""

    point: Callable[..., Any]
    """What takes Python's arguments."""
    address: int
    returns_bool: bool


class _Kernel:
    """A kernel, called past Numba's dispatcher once it has been compiled for arguments of these dtypes.

    The dispatcher looks at every number of a `Window` to find its type: some 10 µs for each of them, with the
    interpreter locked, where the call itself takes 4. Whatever else is asked of a kernel, its dispatcher answers.
    """

    def __init__(self, dispatcher: Any):
        self.dispatcher = dispatcher
        self._entries: dict[tuple[Any, ...], _Entry] = {}

    def __call__(self, *args: Any) -> Any:
        kinds = tuple([arg.dtype if type(arg) is np.ndarray else _kind(arg) for arg in args])
        entry = self._entries.get(kinds)
        if entry is None:
            result, entry = self.dispatcher(*args), self._find(args)
            if entry is not None:
                self._entries[kinds] = entry
        else:
            result = entry.point(*args)
        if current.recording is not None:
            if entry is None:
                spoil()
            else:
                current.recording.calls.append(Call(entry.point, entry.address, args, entry.returns_bool))
        return result

    def _find(self, args: tuple[Any, ...]) -> _Entry | None:
        """What the dispatcher has compiled for these arguments."""
        found = self.dispatcher.overloads.get(tuple(map(self.dispatcher.typeof_pyval, args)))
        if found is None:
            return None
        address = found.library.get_pointer_to_function(found.fndesc.llvm_func_name)
        return _Entry(found.entry_point, address, found.signature.return_type == numba.types.boolean)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dispatcher, name)


def _kind(arg: Any) -> Any:
    """What decides the machine code: the dtype of an array, the kinds in a tuple, the type of anything else."""
    if type(arg) is np.ndarray:
        return arg.dtype
    return tuple([_kind(item) for item in arg]) if type(arg) is tuple else type(arg)


def source_digest(folder: Path) -> str:
    """Hexadecimal digest of the kernels' sources in `folder`, of `geometry.py` beside it, and of the compiler."""
    digest = hashlib.sha256()
    for path in [*sorted(folder.glob("*.py")), folder.parent / "geometry.py"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """The folder of compiled kernels, made when missing; None, with one warning, when no place is writable."""
    own = Path(__file__).resolve().parent
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    places = [own / "__pycache__", user / "minicnn"]
    if config.CACHE_DIR:
        places.insert(0, Path(config.CACHE_DIR) / "minicnn")
    name = "kernels-" + source_digest(own)
    for place in places:
        with contextlib.suppress(OSError):
            (place / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place / name):
                return place / name
    warnings.warn(
        "No writable folder to keep compiled kernels in (tried "
        + ", ".join(str(place) for place in places)
        + "): every process compiles them anew. Set NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


@cache
def announce_compilation() -> None:
    """Tell, once a process, why the first step takes seconds."""
    print(
        "minicnn: compiling its kernels for this processor; later runs load them from disk.", file=sys.stderr
    )


def show_progress(text: str) -> None:
    """Say on a terminal, in a line that the next text takes the place of, which kernel makes the user wait."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


class _Locator(caching._CacheLocator):
    """Says where one function's entries lie. The folder's name is the stamp: sources that change get another folder."""

    def __init__(self, py_func: Callable[..., Any], py_file: str):
        self._lineno = py_func.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return Path(self.get_cache_path()).name

    def get_disambiguator(self) -> str:
        return str(self._lineno)

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> "_Locator":
        return cls(py_func, py_file)


class _Entries(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012 (Numba's name)


class _KernelCache(caching.FunctionCache):
    _impl_class = _Entries

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is on disk for `sig`, or None: then Numba compiles."""
        found = super().load_overload(sig, target_context)
        if found is None:
            announce_compilation()
            show_progress(f"compiling {self._py_func.__name__} …")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save under a lock: Numba reads the index, numbers the new file and writes the index, and two processes

        that do so at once for different dtypes could leave an index that names the other's machine code.
        """
        with _lock(Path(self.cache_path) / "lock"):
            super().save_overload(sig, data)
        show_progress("")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: Numba's own atomic renames must do
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
