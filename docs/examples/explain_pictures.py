"""The pictures of docs/explain.md. Trains the book's net for one epoch, which takes less than a minute.

python docs/examples/explain_pictures.py [RUN]     # or take the net that `minicnn train` left in RUN
"""

import sys
from pathlib import Path

from minicnn import runs, study, utils, viz
from minicnn.study.shapes import explain_shape

IMAGES = Path(__file__).resolve().parents[1] / "images"


def main(arguments: list[str]) -> None:
    training, test = runs.load_examples(None)
    if arguments:
        net, _ = runs.load_run(Path(arguments[0]))
    else:
        utils.set_random_seed(0)
        net = runs.book_net()
        net.compile(loss="sparse_categorical_crossentropy")
        net.fit(training.images, training.labels, batch_size=64)
    names = [layer.name for layer in net.layers]
    x = test.images[3:4]
    viz.save(study.explain(net, x, layer=names[2], output=(0, 3, 4, 7)).plot(), IMAGES / "explain.png")
    field = study.receptive_field(net, names[4])
    viz.save(field.plot(x[0]).figure, IMAGES / "receptive_field.png")
    shape = explain_shape((9, 9), (3, 3), dilation=(2, 2))
    viz.save_animation(shape.frames(), IMAGES / "explain_shape.gif")


if __name__ == "__main__":
    main(sys.argv[1:])
