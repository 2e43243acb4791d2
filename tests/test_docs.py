"""The pages: what they quote is what commands print now, and what they claim of the examples is so."""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn.testing import CHECKS, check_conv2d, oracles, verify
from minicnn.testing.report import FAILS
from tests.keras import differences

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NIGHTLY = os.environ.get("MINICNN_NIGHTLY") == "1"
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="the example compiles C with cc")


def load(path: Path, text: str | None = None):
    """A file of docs/ as a module, or another text in its place."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    exec(compile(text or path.read_text("utf-8"), str(path), "exec"), module.__dict__)
    return module


regenerate = load(DOCS / "regenerate.py")
PAGE = (DOCS / "verification.md").read_text("utf-8")
C_KERNEL = DOCS / "examples" / "c_kernel.py"


def blocks() -> list[tuple[str, str, str]]:
    """(page, command with options, quoted text) of every block."""
    found = [
        (page, m)
        for page in regenerate.PAGES
        for m in regenerate.BLOCK.finditer((ROOT / page).read_text("utf-8"))
    ]
    return [(page, m["spec"], m["quoted"]) for page, m in found]


@pytest.mark.parametrize(("page", "spec", "quoted"), blocks(), ids=[spec for _, spec, _ in blocks()])
def test_what_a_page_quotes_is_what_the_command_prints(page, spec, quoted) -> None:
    if regenerate.NIGHTLY in spec and not NIGHTLY:
        pytest.skip("TensorFlow's blocks take minutes: make nightly")
    if "c_kernel" in spec and shutil.which("cc") is None:
        pytest.skip("the example compiles C with cc")
    assert quoted == regenerate.quote(spec), f"{page} is stale: python docs/regenerate.py"


def test_the_page_of_differences_is_made_from_the_tests_tables() -> None:
    assert differences.PAGE.read_text("utf-8") == differences.page(), "python -m tests.keras.differences"


@pytest.mark.parametrize("page", regenerate.STUDY)
def test_pages_of_a_study_are_made_from_what_was_measured(page) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert text == regenerate.STUDY[page](), "python docs/regenerate.py"
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (DOCS / picture).is_file()


def test_every_comment_of_a_block_is_read() -> None:
    for page in regenerate.PAGES:
        text = (ROOT / page).read_text("utf-8")
        assert text.count("<!-- output of:") == len(regenerate.BLOCK.findall(text)) > 0


def test_a_stale_block_is_renewed_and_found(monkeypatch, tmp_path, capsys) -> None:
    page = "<!-- output of: python a.py | from: two | until: four -->\n```text\nold\n```\n"
    (tmp_path / "a.py").write_text("print('one\\ntwo; python 3.11, numpy 2\\nthree\\nfour')")
    (tmp_path / "page.md").write_text(page)
    monkeypatch.setattr(regenerate, "ROOT", tmp_path)
    monkeypatch.setattr(regenerate, "PAGES", ("page.md",))
    monkeypatch.setattr(regenerate, "STUDY", {})
    assert regenerate.main(["--check"]) == 1 and (tmp_path / "page.md").read_text() == page
    assert regenerate.main([]) == 0 and "```text\ntwo\nthree\n```" in (tmp_path / "page.md").read_text()
    assert regenerate.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines() == ["stale: page.md", "renewed: page.md", "stale: none"]


def test_a_failing_command_is_not_quoted() -> None:
    with pytest.raises(RuntimeError, match="printed nothing"):
        regenerate.quote("minicnn verify --target nowhere.py:f")


@pytest.mark.parametrize("op", CHECKS)
def test_the_page_has_every_op_with_the_signatures_of_its_check(op: str) -> None:
    check = CHECKS[op]
    assert f"`{check.__name__}" in PAGE
    assert op == "model" or f"| `{op}" in PAGE
    doc = " ".join((check.__doc__ or "").split())
    for signature in re.findall(r"``((?:forward|backward|step)\(.*? -> .*?)``", doc):
        assert f"`{signature}`" in PAGE


def test_links_lead_somewhere() -> None:
    for page in (*DOCS.glob("*.md"), ROOT / "README.md"):
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links {link}"


def python_block(words: str) -> str:
    return next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if words in code)


def test_the_example_with_given_runs_and_finds_a_bug() -> None:
    scope = {"np": np, "mine": lambda *a, **k: oracles.conv2d_forward(*a, **k).astype(np.float32)}
    exec(python_block("@given"), scope)
    scope["test_mine"]()
    scope["mine"] = lambda x, w, b, **k: oracles.conv2d_forward(x, w[::-1], b, **k).astype(np.float32)
    with pytest.raises(AssertionError):
        scope["test_mine"]()


def test_what_the_page_says_of_the_student() -> None:
    first, second, right = (
        regenerate.output(f"minicnn verify --target docs/examples/student_conv2d.py:{name}")
        for name in ("conv2d", "conv2d_second_try", "conv2d_right")
    )
    assert ", 0 fail" in right and "0 fail" not in first + second
    geometries = re.findall(r"geometry: .*", first + second)
    assert len(geometries) >= 8 and all("padding=same" in line for line in geometries)
    assert all("strides=(1, 1)" not in line for line in re.findall(r"geometry: .*", second))
    for name in ("a delta kernel shifts", "a full-size kernel is Dense on Flatten"):
        assert f"✓ {name}" in first


# Studies

studies = load(DOCS / "studies.py")
STUDIES = sorted(studies.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", STUDIES, ids=[path.stem for path in STUDIES])
def test_the_page_of_a_study_is_made_from_its_numbers(path: Path) -> None:
    page = path.with_suffix(".md").read_text("utf-8")
    assert page == studies.text(path), "python docs/studies.py"
    for image in re.findall(r"\]\((images/[^)]+)\)", page):
        assert (studies.FOLDER / image).stat().st_size > 1000


def test_a_run_is_copied_and_other_pages_keep_their_pictures(tmp_path, monkeypatch) -> None:
    """'pooling-…' is also how the pictures of 'pooling-shapes' begin."""
    monkeypatch.setattr(studies, "FOLDER", tmp_path / "studies")
    images, run = tmp_path / "studies" / "images", tmp_path / "run"
    images.mkdir(parents=True)
    run.mkdir()
    for name in ("pooling-old.png", "pooling-shapes-shifts.png", "visualise-heat.png"):
        (images / name).write_bytes(b"")
    (run / "results.json").write_text('{"experiment": "pooling", "data": "mnist"}')
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    for name, pixels in (("shifts", noise // 255), ("heat", noise[:100]), ("large", noise)):
        Image.fromarray(pixels).save(run / f"{name}.png")
    studies.copy(run)
    names = ["pooling-heat.png", "pooling-large.png", "pooling-shifts.png"]
    assert studies.pictures_of("pooling") == names
    modes = [Image.open(images / name).mode for name in names]
    assert modes == ["RGB", "P", "P"]  # many colours, too many bytes with all of them, few colours
    kept = {path.name for path in images.iterdir()} - {*names}
    assert kept == {"pooling-shapes-shifts.png", "visualise-heat.png"}


# The kernel in C


def test_the_page_shows_the_example_as_it_is() -> None:
    assert python_block("KERNEL(*(") in C_KERNEL.read_text("utf-8")
    assert len([line for line in python_block("KERNEL(*(").splitlines() if line.strip()]) <= 10


@needs_cc
def test_the_c_kernel_is_verified_and_the_command_takes_its_target() -> None:
    assert verify.run(f"{C_KERNEL}:TARGET", examples=10).ok
    assert ", 0 fail" in regenerate.output("python docs/examples/c_kernel.py")


@needs_cc
@pytest.mark.parametrize(
    ("old", "new", "caught_by"),
    [
        ("np.ascontiguousarray(a) for a in", "a for a in", "memory layout doesn't matter"),
        ("y = np.empty((", "y = REUSED((", "repeatable, and earlier results survive"),
        ("(long)(n * H + i * sh + p)", "(long)(n * H + i * sw + p)", "equals the oracle exactly"),
        ("out[f] = b[f]", "out[f] = 0", "the bias is added once"),
    ],
)
def test_mistakes_in_the_c_kernel_are_caught(old, new, caught_by) -> None:
    text = C_KERNEL.read_text("utf-8")
    assert text.count(old) == 1
    reused = (
        "\nSTALE = {}\ndef REUSED(shape, dtype):\n"
        "    shape = tuple(map(int, shape))\n    return STALE.setdefault(shape, np.empty(shape, dtype))\n"
    )
    module = load(C_KERNEL, text.replace(old, new) + reused)
    report = check_conv2d(module.TARGET, properties=[caught_by], examples=100)
    assert report[caught_by].verdict == FAILS


# Disagreements


def test_the_page_and_the_reproducers_have_the_same_names() -> None:
    cases = load(DOCS / "examples" / "disagreements.py").CASES
    page = (DOCS / "disagreements.md").read_text("utf-8")
    assert set(re.findall(r"examples/disagreements\.py (\w+)", page)) == set(cases)
    assert all(function.__doc__ for function in cases.values())
