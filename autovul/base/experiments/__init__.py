"""What each figure and table of the paper runs and expects, at which scales; read from the files beside this one."""

from autovul.base.experiments.definition import Claim, Control, Experiment
from autovul.base.experiments.files import experiment_names, load_experiments, load_scale, scale_names
from autovul.base.experiments.scale import Scale

__all__ = [
    "Claim",
    "Control",
    "Experiment",
    "Scale",
    "experiment_names",
    "load_experiments",
    "load_scale",
    "scale_names",
]
