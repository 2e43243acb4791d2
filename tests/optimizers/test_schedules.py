"""Schedules: what is refused, and what optimizers make of them. Their numbers are compared with Keras's."""

import pytest

from minicnn import optimizers
from minicnn.optimizers import schedules


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: schedules.ExponentialDecay("fast", 10, 0.5),
            "`initial_learning_rate` must be a real number",
        ),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "`decay_steps` must be greater than 0"),
        (lambda: schedules.InverseTimeDecay(0.1, 10, None), "`decay_rate` must be a real number"),
        (lambda: schedules.PolynomialDecay(0.1, 10, power="two"), "`power` must be a real number"),
        (
            lambda: schedules.CosineDecay(0.1, 10, warmup_target="high"),
            "`warmup_target` must be a real number",
        ),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0), "`t_mul` must be greater than 0"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), "`values` must have one element more"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]), "`boundaries` must increase"),
        (
            lambda: schedules.deserialize({"class_name": "Warp", "config": {}}),
            "Unknown learning rate schedule",
        ),
        (lambda: schedules.serialize(print), "Only a known learning rate schedule"),
        (lambda: optimizers.SGD(lambda: 0.1), "`learning_rate` must be a number or a LearningRateSchedule"),
    ],
)
def test_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class Steep(schedules.LearningRateSchedule):
    def __init__(self, top):
        self.top = top

    def __call__(self, step):
        return self.top / (int(step) + 1)

    def get_config(self):
        return {"top": self.top}


def test_a_schedule_of_ones_own():
    optimizer = optimizers.SGD(Steep(0.5))
    assert optimizer.begin_step().learning_rate == 0.5
    optimizer.end_step([])
    assert optimizer.begin_step().learning_rate == 0.25
    again = optimizers.SGD.from_config(optimizer.get_config(), custom_objects={"Steep": Steep})
    assert again.get_config() == optimizer.get_config()
    with pytest.raises(TypeError, match="follows a schedule can't be set to a number"):
        optimizer.learning_rate = 0.1


def test_what_a_subclass_must_define():
    for method in ("__call__", "get_config"):
        with pytest.raises(NotImplementedError, match=method):
            getattr(schedules.LearningRateSchedule(), method)(*[0] * (method == "__call__"))
