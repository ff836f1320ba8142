"""Every setting of a training: its name, type, default, bounds and unit, in one place.

YAML keys, flags and ``--help`` are made from :mod:`~jaxtherapy.config.settings`. Values are checked
where they come in; whatever is wrong ends in a :class:`ConfigError` of one line.
"""

from jaxtherapy.config.checks import checked as checked
from jaxtherapy.config.checks import expanded as expanded
from jaxtherapy.config.distributions import Distribution as Distribution
from jaxtherapy.config.flags import OneLineParser as OneLineParser
from jaxtherapy.config.flags import add_setting as add_setting
from jaxtherapy.config.flags import as_given as as_given
from jaxtherapy.config.flags import build_parser as build_parser
from jaxtherapy.config.flags import flag as flag
from jaxtherapy.config.flags import help_text as help_text
from jaxtherapy.config.flags import parse_flags as parse_flags
from jaxtherapy.config.schedules import Schedule as Schedule
from jaxtherapy.config.settings import SETTINGS as SETTINGS
from jaxtherapy.config.training_config import TrainingConfig as TrainingConfig
from jaxtherapy.config.training_config import get_default_config as get_default_config
from jaxtherapy.config.training_config import load_config as load_config
from jaxtherapy.config.training_config import load_for_evaluation as load_for_evaluation
from jaxtherapy.config.yaml_files import ALIASES as ALIASES
from jaxtherapy.config.yaml_files import IGNORED as IGNORED
from jaxtherapy.config.yaml_files import config_as_dict as config_as_dict
from jaxtherapy.config.yaml_files import dump_config as dump_config
from jaxtherapy.config.yaml_files import note_on as note_on
from jaxtherapy.config.yaml_files import read_config_file as read_config_file
from jaxtherapy.config.yaml_files import save_config as save_config
from jaxtherapy.errors import ConfigError as ConfigError
from jaxtherapy.errors import nearest as nearest
