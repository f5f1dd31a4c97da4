"""Runs: a config, a folder, and what lies between. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganzoo.runs.api import train
    from ganzoo.runs.config import Experiment, TrainingConfig, experiments, find_experiment
    from ganzoo.runs.evaluate import evaluate_run

_HOMES = {
    "train": "api",
    **dict.fromkeys(("Experiment", "TrainingConfig", "experiments", "find_experiment"), "config"),
    "evaluate_run": "evaluate",
}

__all__ = ["Experiment", "TrainingConfig", "evaluate_run", "experiments", "find_experiment", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ganzoo.runs.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ganzoo.runs' has no attribute {name!r}")
