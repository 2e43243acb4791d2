"""The chapter's experiments as commands: `minicnn study NAME`.

An `Experiment` runs to numbers and arrays, and reports from these alone: a table, pictures, a paragraph of what was
seen. `EXPERIMENTS` lists them; `carry_out` runs one and leaves a folder.
"""

from minicnn.study.experiments.augmentation import AUGMENTATION
from minicnn.study.experiments.dense_vs_conv import DENSE_VS_CONV
from minicnn.study.experiments.experiment import Experiment
from minicnn.study.experiments.folder import carry_out
from minicnn.study.experiments.pooling import POOLING
from minicnn.study.experiments.transfer import FEATURE_EXTRACTION, FINE_TUNING
from minicnn.study.experiments.visualise import VISUALISE

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (POOLING, DENSE_VS_CONV, AUGMENTATION, FEATURE_EXTRACTION, FINE_TUNING, VISUALISE)
}

__all__ = ["EXPERIMENTS", "Experiment", "carry_out"]
