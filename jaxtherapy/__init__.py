"""Reinforcement-learning therapists against a simulated therapy client, end to end in JAX.

>>> import jaxtherapy as jt
>>> config = jt.TrainingConfig(patterns=("cold_stuck",), threshold=0.6)
>>> clients = jt.client_params(config)

* Settings: :class:`TrainingConfig`, :func:`load_config`, :func:`save_config`.
* Clients: :class:`ClientParams`, :func:`client_params`, :func:`simulate`, :func:`simulate_course`.
* Therapists: :class:`Therapist`, :data:`BASELINES`, :mod:`therapists <.client.therapists>`,
  :class:`Planner`, :func:`fit_map`, :func:`load_policy`, :func:`save_policy`.
* Training: :class:`Trainer`, :class:`TrainingResult`, :class:`Change`.
* Evaluation: :func:`compare_therapists`, :func:`read_evaluation`, :func:`write_report`.
* Environments: :func:`make`, :class:`TherapyEnv`, :class:`Gymnax0Wrapper`, which need the extra
  ``gymnax``; for Gymnasium :mod:`jaxtherapy.gym`.
* Errors, one line each: :class:`ConfigError` of a setting, :class:`RunError` of a run.

Each name is imported when it is first asked for: ``import jaxtherapy`` loads nothing else, so that
light tools (the ``.pth`` reader, ``--help``) start without JAX. ``docs/design.md`` shows the rooms.
"""

from typing import TYPE_CHECKING

from jaxtherapy.discovery import lazily

__version__ = "0.1.0"

_NAMES = {
    "BASELINES": "jaxtherapy.client.baselines",
    "Change": "jaxtherapy.training.callbacks",
    "ClientParams": "jaxtherapy.client.params",
    "ConfigError": "jaxtherapy.config",
    "Gymnax0Wrapper": "jaxtherapy.envs.gymnax0",
    "Planner": "jaxtherapy.envs.planner",
    "RunError": "jaxtherapy.errors",
    "Therapist": "jaxtherapy.client.therapists",
    "TherapyEnv": "jaxtherapy.envs.therapy",
    "Trainer": "jaxtherapy.training.trainer",
    "TrainingConfig": "jaxtherapy.config",
    "TrainingResult": "jaxtherapy.training.result",
    "client_params": "jaxtherapy.client.params",
    "compare_therapists": "jaxtherapy.evaluation.evaluation",
    "fit_map": "jaxtherapy.evaluation.map_search",
    "load_config": "jaxtherapy.config",
    "load_policy": "jaxtherapy.storage.trained_policy",
    "make": "jaxtherapy.envs.therapy",
    "read_evaluation": "jaxtherapy.evaluation.reading",
    "save_config": "jaxtherapy.config",
    "save_policy": "jaxtherapy.storage.trained_policy",
    "simulate": "jaxtherapy.client.simulation",
    "simulate_course": "jaxtherapy.client.simulation",
    "therapists": "jaxtherapy.client.therapists",
    "write_report": "jaxtherapy.reporting.report",
}
__all__ = sorted(["__version__", *_NAMES])

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from jaxtherapy.client import therapists as therapists
    from jaxtherapy.client.baselines import BASELINES as BASELINES
    from jaxtherapy.client.params import ClientParams as ClientParams
    from jaxtherapy.client.params import client_params as client_params
    from jaxtherapy.client.simulation import simulate as simulate
    from jaxtherapy.client.simulation import simulate_course as simulate_course
    from jaxtherapy.client.therapists import Therapist as Therapist
    from jaxtherapy.config import ConfigError as ConfigError
    from jaxtherapy.config import TrainingConfig as TrainingConfig
    from jaxtherapy.config import load_config as load_config
    from jaxtherapy.config import save_config as save_config
    from jaxtherapy.envs.gymnax0 import Gymnax0Wrapper as Gymnax0Wrapper
    from jaxtherapy.envs.planner import Planner as Planner
    from jaxtherapy.envs.therapy import TherapyEnv as TherapyEnv
    from jaxtherapy.envs.therapy import make as make
    from jaxtherapy.errors import RunError as RunError
    from jaxtherapy.evaluation.evaluation import compare_therapists as compare_therapists
    from jaxtherapy.evaluation.map_search import fit_map as fit_map
    from jaxtherapy.evaluation.reading import read_evaluation as read_evaluation
    from jaxtherapy.reporting.report import write_report as write_report
    from jaxtherapy.storage.trained_policy import load_policy as load_policy
    from jaxtherapy.storage.trained_policy import save_policy as save_policy
    from jaxtherapy.training.callbacks import Change as Change
    from jaxtherapy.training.result import TrainingResult as TrainingResult
    from jaxtherapy.training.trainer import Trainer as Trainer
else:
    __getattr__ = lazily(__name__, _NAMES)


def __dir__() -> list[str]:
    return __all__
