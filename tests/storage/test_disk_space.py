"""The estimate of what checkpoints take, against what they take."""

from collections import namedtuple

import pytest

from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import disk_space as disk
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


def test_the_estimate_is_close(folder):
    assert tiny.train(folder, "--hidden-size", "64", "--n-envs", "64") == 0
    config = TrainingConfig(**tiny.TINY | {"hidden_size": 64, "n_envs": 64})
    files = [
        path
        for name in ("checkpoint_*.pth", "checkpoints/*/**/*")
        for path in (folder / "models/tiny").glob(name)
        if path.is_file()
    ]
    steps = {path.name for path in (folder / "models/tiny").glob("checkpoint_*.pth")}
    found = sum(path.stat().st_size for path in files) / len(steps)
    estimated = disk.bytes_of_a_save(PPO.of(config), make_settings(config))
    assert found == pytest.approx(estimated, rel=0.25)
    assert len(files) / len(steps) == pytest.approx(1 + disk.ORBAX_FILES, abs=3)


def test_the_command_tells(folder, monkeypatch, capsys):
    monkeypatch.setattr(disk, "free_bytes", lambda _: 1000)
    assert tiny.train(folder) == 0
    assert "are free, too few" in capsys.readouterr().out.replace("\n", " ")
