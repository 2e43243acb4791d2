"""Turn runs of `minicnn study` into the pages of docs/studies.

    minicnn study pooling
    python docs/studies.py runs/study-pooling …    # copies the numbers, shrinks the pictures, writes the page
    python docs/studies.py                         # writes the pages anew from the numbers that are here

A page is its numbers in words: a test fails when it isn't what the code makes of results.json now.
"""

import json
import sys
from pathlib import Path

from PIL import Image

from minicnn.study.experiments import EXPERIMENTS
from minicnn.study.experiments.folder import page

FOLDER = Path(__file__).resolve().parent / "studies"
COLOURS = 256
"""Of a picture that has up to MANY, lines and text with their soft edges, or is too large with all it has; on heat maps
256 show as spots.
"""
MANY = 2_500
LARGEST_NBYTES = 250_000
"""A picture that takes more stays in the run's folder."""


def copy(run: Path) -> None:
    """Take over a run's numbers and those of its pictures that are small."""
    record = json.loads((run / "results.json").read_text("utf-8"))
    name = name_of(record)
    images = FOLDER / "images"
    images.mkdir(parents=True, exist_ok=True)
    for old in pictures_of(name):
        (images / old).unlink()
    for source in sorted(run.iterdir()):
        target = images / f"{name}-{source.name}"
        if source.suffix == ".png":
            picture = Image.open(source).convert("RGB")
            few = picture.quantize(COLOURS)
            (few if picture.getcolors(MANY) else picture).save(target, optimize=True)
            if target.stat().st_size > LARGEST_NBYTES:
                few.save(target, optimize=True)
        elif source.suffix == ".gif":
            target.write_bytes(source.read_bytes())
        else:
            continue
        if target.stat().st_size > LARGEST_NBYTES * (4 if source.suffix == ".gif" else 1):
            target.unlink()
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def name_of(record: dict) -> str:
    return record["experiment"] + ("" if record["data"] == "mnist" else f"-{record['data']}")


def pictures_of(name: str) -> list[str]:
    """The files of a page; of 'pooling' not those of 'pooling-shapes'."""
    found = sorted(image.name for image in (FOLDER / "images").glob(f"{name}-*"))
    return [file for file in found if not file.startswith(f"{name}-shapes-")]


def text(path: Path) -> str:
    """The page that the numbers in `path` make."""
    record = json.loads(path.read_text("utf-8"))
    made = page(EXPERIMENTS[record["experiment"]], record, pictures_of(path.stem), "images/")
    return f"<!-- Made by docs/studies.py. Don't edit. -->\n\n{made}"


def main(runs: list[str]) -> None:
    for run in runs:
        copy(Path(run))
    for path in sorted(FOLDER.glob("*.json")):
        path.with_suffix(".md").write_text(text(path), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
