"""The estimate of what checkpoints take, against what they take."""

from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.programs import state_shapes
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import disk_space as disk
from jaxtherapy.storage import policies
from jaxtherapy.storage.checkpoints import Checkpoints
from jaxtherapy.storage.progress import Progress
from tests.training import tiny

Usage = namedtuple("Usage", "total used free")


def note(monkeypatch, free, **settings):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(0, 0, free))
    config = TrainingConfig(**settings)
    return disk.note(PPO.of(config), make_settings(config), config)


def test_room_enough_is_not_worth_a_line(monkeypatch):
    assert note(monkeypatch, 100e9) == ""


def test_many_seeds_are_told_what_they_take(monkeypatch):
    """Three numbers per parameter in each of two files, 348,313 parameters: 8.4 MB."""
    line = note(monkeypatch, 500e9, n_seeds=256)
    assert line == (
        "disk: 50 checkpoints of about 2.14 GB, 107 GB in about 13,650 files in all; 500 GB are "
        "free; --keep-checkpoints N keeps the last N alone, a --save-freq above 10000 makes fewer"
    )
    assert "100 GB are free, too few; --keep" in note(monkeypatch, 100e9, n_seeds=256)
    assert "disk: 1 checkpoint of" in note(monkeypatch, 10e9, n_seeds=256, save_freq=500_000)


def test_many_files_are_told_of_where_there_is_room(monkeypatch):
    """As the old stack's own configuration would leave them."""
    many = {"total_timesteps": 50_000_000, "save_freq": 10_000, "hidden_size": 8}
    assert "5000 checkpoints of about" in (line := note(monkeypatch, 1e15, **many))
    assert "in about 90,000 files" in line
    assert note(monkeypatch, 1e15, **many, keep_checkpoints=10) == ""


def test_what_is_kept_is_what_counts(monkeypatch):
    line = note(monkeypatch, 100e9, n_seeds=256, keep_checkpoints=9)
    assert line.startswith("disk: 10 checkpoints of about 2.14 GB, 21.4 GB in about 2,730 files")


def test_the_estimate_is_close(tmp_path):
    """Of what a training saves of one seed, whose numbers are like no others."""
    config = TrainingConfig(**tiny.TINY | {"hidden_size": 64, "n_envs": 64})
    ppo, settings = PPO.of(config), make_settings(config)
    rng = np.random.default_rng(0)

    def filled(x):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return jnp.asarray(rng.integers(0, 2**31, x.shape) / 2**20, x.dtype)

    state = jax.tree.map(lambda x: filled(x)[None], state_shapes(ppo, settings))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(state, Progress(step=112))
        checkpoints.wait()
    policies.write(tmp_path / "c.pth", policies.of_state(state, 0, 1e-3, epoch=7, env_step=112))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    found = sum(path.stat().st_size for path in files)
    assert found == pytest.approx(disk.bytes_of_a_save(ppo, settings), rel=0.25)
    assert len(files) == pytest.approx(
        1 + disk.ORBAX_FILES, abs=8
    )  # as its threads happen to share it out


def test_the_command_tells(folder, monkeypatch, capsys):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1000)
    assert tiny.train(folder) == 0
    assert "are free, too few" in capsys.readouterr().out.replace("\n", " ")
