"""A run with clients that nobody succeeds with says so before it begins."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jaxtherapy.config import load_config
from jaxtherapy.training import prospects
from tests.training import tiny


def told(config):
    with ThreadPoolExecutor(1) as helper:
        asked = prospects.ask(config, helper)
        assert asked
        return asked.warning()


def test_the_plain_defaults_are_nearly_impossible():
    warning = told(load_config(None))
    assert warning.startswith("with these clients success is nearly impossible: at threshold 0.9 ")
    assert "bond_offset 0.7" in warning
    assert "try --threshold 0.7 (" in warning and "or --bond-offset 0.5 (" in warning


def test_what_it_advises_helps():
    for easier in ({"threshold": 0.6}, {"bond_offset": 0.5}):
        assert told(replace(load_config(None), **easier)) == ""


@pytest.mark.parametrize("name", ["quickstart", "first_steps"])
def test_configurations_that_learn_are_not_warned_of(name, request):
    config = load_config(request.config.rootpath / f"configs/{name}.yaml")
    assert told(config) == ""


def test_it_asks_for_the_first_clients():
    rising = replace(load_config(None), threshold={"linear": [0.5, 0.9]})
    assert told(rising) == ""


def test_drawn_numbers_are_no_values_to_lower():
    warning = told(replace(load_config(None), threshold={"uniform": [0.95, 1.0]}))
    assert "{uniform: [0.95, 1]}" in warning.replace("1.0", "1")
    assert "--threshold 0." not in warning


@pytest.mark.parametrize(
    "changes",
    [{"resume": True}, {"resume_from": "x"}, {"total_timesteps": 10_000}, {"max_sessions": 5_000}],
)
def test_sometimes_it_is_not_asked(changes):
    with ThreadPoolExecutor(1) as helper:
        assert prospects.ask(replace(load_config(None), **changes), helper) is None


def test_a_run_says_it_once_and_not_when_it_goes_on(folder, capsys, monkeypatch):
    monkeypatch.setattr(prospects, "SHORTEST", 0)
    monkeypatch.setattr(prospects, "_program", lambda clients: lambda *_: [0.0, 0.01, 0.0])
    assert tiny.train(folder, "--total-timesteps", "80") == 0
    lines = capsys.readouterr().out.splitlines()
    [at] = [i for i, line in enumerate(lines) if "nearly impossible" in line]
    assert lines[at - 1].startswith("compiled in") and "try a lower --threshold" in lines[at]
    assert tiny.train(folder, "--resume", "--total-timesteps", "160") == 0
    assert "nearly impossible" not in capsys.readouterr().out
