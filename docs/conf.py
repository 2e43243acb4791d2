"""The site: `make docs`. Pages are Markdown; the reference comes from docstrings, whose marks are Markdown's too."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import minicnn  # noqa: E402

project = "minicnn"
release = version = minicnn.__version__
copyright = "the authors of minicnn, MIT licence"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
exclude_patterns = ["**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = "minicnn"
html_show_sphinx = False
html_static_path: list[str] = []

myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # kernels say there that they are being compiled

default_role = "code"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
pygments_dark_style = "native"

CODE = re.compile(r"(``?[^`]+``?)")


def _marks(line: str) -> str:
    """Markdown's `code` as reStructuredText's ``code``, and what means something there alone as plain text."""
    parts = CODE.split(line)
    for k, part in enumerate(parts):
        if k % 2:
            parts[k] = f"``{part.strip('`')}``"
        else:
            escaped = re.sub(r"([*|\\])", r"\\\1", part)
            parts[k] = re.sub(r"_(?=$|[^\w])", r"\\_", escaped)
    return "".join(parts)


def _to_restructured_text(app, what, name, obj, options, lines: list[str]) -> None:
    """In place. An indented block after an empty line is code, as in Markdown."""
    result: list[str] = []
    in_code = False
    for k, line in enumerate(lines):
        is_indented = line.startswith("    ")
        if is_indented and not in_code and (k == 0 or not lines[k - 1].strip()) and not _in_section(lines, k):
            result += ["::", ""]
            in_code = True
        elif line.strip() and not is_indented:
            in_code = False
        result.append(line if in_code else _marks(line))
    lines[:] = result


def _in_section(lines: list[str], k: int) -> bool:
    """Whether the last line that isn't indented begins a section such as `Args:`."""
    heads = [line for line in lines[:k] if line.strip() and not line.startswith(" ")]
    return bool(heads) and heads[-1].strip() in ("Args:", "Returns:", "Raises:", "Yields:")


def setup(app) -> None:
    app.connect("autodoc-process-docstring", _to_restructured_text, priority=400)
