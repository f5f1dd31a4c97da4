"""``ganzoo.train``: a run as one call of a function."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganzoo.config import replaced
from ganzoo.errors import UserError, nearest
from ganzoo.gan import Model
from ganzoo.runs.config import Experiment, find_experiment
from ganzoo.runs.run import run
from ganzoo.training.hooks import Hook
from ganzoo.typing import State


def train(
    name: str | Model | Experiment[Any],
    data: str | Path | None = None,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    allow_new_data: bool = False,
    hooks: Sequence[Hook] = (),
    log: Callable[[str], None] = print,
    **fields: Any,
) -> tuple[State, Path]:
    """Train a model into a run folder, as ``ganzoo train`` does.

    Example::

        state, folder = ganzoo.train("stylegan2-tiny", "digits", out="runs/f", r1_gamma=0.5, images=64)

    Args:
      name: what follows ``ganzoo train``: ``<model>-<preset>``, a model's name or ``path/to/file.py:NAME``; or a
        ``Model``, for its default preset; or an ``Experiment``.
      data: the data set, as ``--data`` takes it; that of the preset when absent.
      out: the run folder; ``runs/<name>`` when absent.
      resume: continue the run in the folder from its newest checkpoint.
      allow_new_data: resume also where the data set has other images than before, such as more of them.
      hooks: instances of subclasses of ``ganzoo.Hook``, called while the run goes on, after its own hooks.
      log: receives lines that say what is about to happen.
      fields: fields of the model's config, of ``TrainingConfig``, ``DataConfig`` or ``MetricsConfig`` that differ from
        the preset.

    Returns:
      The last train state, and the run folder.

    Raises:
      UserError: bad input; one line names the thing and the remedy. Or an error in a hook, which the line names; a
        checkpoint was saved before.
      KeyboardInterrupt: stopped by a signal, after a checkpoint was saved.
    """
    experiment = name if isinstance(name, Experiment) else find_experiment(name)
    if data is not None:
        fields["data"] = str(data)
    experiment = with_fields(experiment, fields)
    folder = Path(out) if out is not None else Path("runs") / experiment.name
    state = run(experiment, folder, resume=resume, allow_new_data=allow_new_data, hooks=hooks, log=log)
    return state, folder


def with_fields(experiment: Experiment[Any], fields: Mapping[str, Any]) -> Experiment[Any]:
    """Return the experiment with fields of its configs changed, each in the config that has it.

    Raises:
      UserError: no config has a field of that name, or a value is refused.
    """
    configs = {
        "gan": experiment.gan,
        "data": experiment.data,
        "training": experiment.training,
        "metrics": experiment.training.metrics,
    }
    names = {home: {each.name for each in dataclasses.fields(config)} for home, config in configs.items()}
    names["training"].discard("metrics")  # metrics=("fid",) are the names in the nested config
    chosen: dict[str, dict[str, Any]] = {home: {} for home in configs}
    for name, value in fields.items():
        home = next((home for home, known in names.items() if name in known), None)
        if home is None:
            raise UserError(f"{experiment.name} has no field {name!r};{nearest(name, set().union(*names.values()))}")
        chosen[home][name] = value
    metrics = replaced(configs["metrics"], chosen["metrics"])
    return replace(
        experiment.given(chosen["gan"]),
        gan=replaced(experiment.gan, chosen["gan"]),
        data=replaced(experiment.data, chosen["data"]),
        training=replaced(experiment.training, {**chosen["training"], "metrics": metrics}),
    )
