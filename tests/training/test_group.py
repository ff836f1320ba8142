"""What a group of seeds knows of its own pace."""

import pytest

from jaxtherapy.config import load_config
from jaxtherapy.storage.progress import Progress
from jaxtherapy.training.group import Group
from tests.training import tiny


def group(**changes):
    config = load_config(None, tiny.TINY | {"total_timesteps": 160_000} | changes)
    return Group(config, (config.seed,), None, None, Progress())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "this takes about 1:37"),
        ({"patience": 3}, "this takes at most about 1:37"),
        ({"total_timesteps": 10_000}, ""),
    ],
)
def test_how_long_it_will_take_is_said_once_when_the_pace_is_known(changes, said):
    """1,600 steps a second; the first update took longer."""
    now, told = group(**changes), []
    for n_updates, seconds in ((1, 5.0), (299, 2.99), (300, 3.0)):
        now.count(n_updates, seconds)
        told.append(now.estimate())
    assert told == ["", said, ""]
