"""The compiled programs: runs that differ in their settings, together and alone."""

import jax
import numpy as np
import pytest

from jaxtherapy.config import load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import StoppedWhileCompiling, _compiled, compile_programs, stacked
from jaxtherapy.ppo.types import make_settings
from tests.training import tiny

SWEEP = [
    {"learning_rate": 3e-4, "threshold": 0.6},
    {"learning_rate": 1e-2, "threshold": 0.3},
    {"learning_rate": 1e-3, "threshold": 0.3},
]
SEEDS = (42, 43, 43)


def trained(settings, seeds):
    """Weights and evaluation after four updates."""
    ppo = PPO.of(load_config(None, tiny.TINY))
    programs = compile_programs(ppo, stacked(settings), seeds)
    state = programs.train(programs.init(), np.int32(4))
    return jax.device_get((state.params, state.dyads, programs.evaluate(state)))


def test_runs_of_a_sweep_are_what_each_is_alone():
    settings = [make_settings(load_config(None, tiny.TINY | changes)) for changes in SWEEP]
    together = trained(settings[:2], SEEDS[:2])
    alone = [trained([each], [seed]) for each, seed in zip(settings, SEEDS, strict=True)]
    for i, one in enumerate(alone[:2]):
        for x, y in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(x[i], y[0], rtol=1e-4, atol=1e-6)
    weights = [np.concatenate([x.ravel() for x in jax.tree.leaves(one[0])]) for one in alone]
    assert np.abs(weights[1] - weights[2]).max() > 1e-3  # settings do make a difference


def test_what_cannot_be_one_program_is_refused():
    settings = [
        make_settings(load_config(None, tiny.TINY | {"mechanism": name}))
        for name in ("bond_only", "frequency_amplifier")
    ]
    with pytest.raises(ValueError, match=r"."):
        stacked(settings)


def test_compiling_can_be_given_up():
    _compiled.cache_clear()
    config = load_config(None, tiny.TINY)
    with pytest.raises(StoppedWhileCompiling):
        compile_programs(PPO.of(config), stacked([make_settings(config)]), [42], lambda: True)
