"""What each figure and table of the paper runs and expects, at which scales; read from the files beside this one."""

from autovul.base.experiments.definition import Claim, Control, Experiment
from autovul.base.experiments.files import FILE_ENDINGS, experiment_names, load_experiments, load_scale, scale_names
from autovul.base.experiments.scale import Scale

__all__ = [
    "FILE_ENDINGS",
    "Claim",
    "Control",
    "Experiment",
    "Scale",
    "experiment_names",
    "load_experiments",
    "load_scale",
    "scale_names",
]
