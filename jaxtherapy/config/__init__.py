"""Every setting of a training: its name, type, default, bounds and unit, in one place."""

from jaxtherapy.config.config import ALIASES as ALIASES
from jaxtherapy.config.config import IGNORED as IGNORED
from jaxtherapy.config.config import MAX_CONFIG_BYTES as MAX_CONFIG_BYTES
from jaxtherapy.config.config import MAX_NUMBER_LENGTH as MAX_NUMBER_LENGTH
from jaxtherapy.config.config import SETTINGS as SETTINGS
from jaxtherapy.config.config import ConfigError as ConfigError
from jaxtherapy.config.config import OneLineParser as OneLineParser
from jaxtherapy.config.config import Setting as Setting
from jaxtherapy.config.config import TrainingConfig as TrainingConfig
from jaxtherapy.config.config import add_setting as add_setting
from jaxtherapy.config.config import as_given as as_given
from jaxtherapy.config.config import build_parser as build_parser
from jaxtherapy.config.config import checked as checked
from jaxtherapy.config.config import config_as_dict as config_as_dict
from jaxtherapy.config.config import dump_config as dump_config
from jaxtherapy.config.config import flag as flag
from jaxtherapy.config.config import get_default_config as get_default_config
from jaxtherapy.config.config import help_text as help_text
from jaxtherapy.config.config import load_config as load_config
from jaxtherapy.config.config import nearest as nearest
from jaxtherapy.config.config import parse_flags as parse_flags
from jaxtherapy.config.config import read_config_file as read_config_file
from jaxtherapy.config.config import save_config as save_config
