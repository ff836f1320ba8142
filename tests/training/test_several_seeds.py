"""Several seeds in one program: the contract's files for each, and the same numbers as alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.storage import torch_format as torch_weights
from jaxtherapy.training import group
from jaxtherapy.training.trainer import Trainer
from tests.training import tiny


def test_each_seed_has_its_files_and_starts_as_it_would_alone(folder, undisturbed):
    assert tiny.train(folder, "--n-seeds", "2", "--seed", "41") == 0
    output = folder / "models/tiny"
    for seed in (41, 42):
        names = {path.name for path in (output / f"seed_{seed}").iterdir()}
        assert {"policy_best.pth", "policy_final.pth", "checkpoint_112.pth"} <= names
        rows = tiny.rows_without_timings(folder / f"logs/tiny/tiny_seed{seed}_progress.csv")
        assert [int(row["step"]) for row in rows] == [80, 160, 240, 320, 400]
    assert json.loads((output / "run.json").read_text())["seeds"] == [41, 42]
    alone = tiny.rows_without_timings(undisturbed / "logs/tiny/tiny_progress.csv")
    batch = tiny.rows_without_timings(folder / "logs/tiny/tiny_seed42_progress.csv")
    assert alone[0]["test_reward_mean"] == batch[0]["test_reward_mean"]
    for name in ("policy_loss", "value_loss", "entropy"):
        np.testing.assert_allclose(float(alone[0][name]), float(batch[0][name]), rtol=1e-3)


def test_several_seeds_resume_bit_for_bit(folder):
    flags = ["--n-seeds", "2"]
    assert tiny.train(folder, *flags) == 0
    whole = {
        seed: (folder / f"models/tiny/seed_{seed}/policy_final.pth").read_bytes()
        for seed in (42, 43)
    }
    logs = {
        seed: tiny.rows_without_timings(folder / f"logs/tiny/tiny_seed{seed}_progress.csv")
        for seed in (42, 43)
    }
    source = "models/tiny/seed_43/checkpoint_224.pth"
    assert tiny.train(folder, *flags, "--resume-from", source, "--overwrite") == 0
    for seed in (42, 43):
        path = folder / f"models/tiny/seed_{seed}/policy_final.pth"
        assert path.read_bytes() == whole[seed]
        log = folder / f"logs/tiny/tiny_seed{seed}_progress.csv"
        assert tiny.rows_without_timings(log) == logs[seed]
        assert torch_weights.load(path)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_seed_that_diverges_stands_still_and_the_others_go_on(
    folder, undisturbed, monkeypatch, capsys, grouped
):
    """From its third update on, one seed earns what no number can hold."""
    chunk = Trainer.chunk

    def poisoned(self):
        now = self.now
        if 41 in now.seeds and now.progress.n_updates == 2:
            stats = now.state.return_stats
            row = now.seeds.index(41)
            endless = stats.replace(mean=stats.mean.at[row].set(jnp.inf))
            now.state = now.state.replace(return_stats=endless)
        return chunk(self)

    monkeypatch.setattr(Trainer, "chunk", poisoned)
    monkeypatch.setattr(group, "CHUNK_SECONDS", 0)
    flags = ["--n-seeds", "2", "--seed", "41"] + grouped * ["--seeds-at-once", "1"]
    assert tiny.train(folder, *flags) == 1
    told = capsys.readouterr()
    assert "seed 41 diverged in the update after step 32" in told.out
    assert told.err.count("\n") == 1 and "1 of 2 seeds diverged" in told.err
    assert "The last evaluation of 2 seeds" in told.out  # all that belongs to the end is there
    info = json.loads((folder / "models/tiny/run.json").read_text())
    assert info["status"] == "finished" and info["diverged"] == {"41": 32}
    final = torch_weights.load(folder / "models/tiny/seed_41/policy_final.pth")
    assert all(np.all(np.isfinite(array)) for array in jax.tree.leaves(final))
    sick = tiny.rows_without_timings(folder / "logs/tiny/tiny_seed41_progress.csv")
    assert [int(row["step"]) for row in sick] == [80, 160, 240, 320, 400]
    assert {row["test_reward_mean"] for row in sick} == {sick[0]["test_reward_mean"]}
    assert sick[-1]["policy_loss"] == "nan"
    healthy = tiny.rows_without_timings(folder / "logs/tiny/tiny_seed42_progress.csv")
    alone = tiny.rows_without_timings(undisturbed / "logs/tiny/tiny_progress.csv")
    assert len(healthy) == len(alone) and all(row["policy_loss"] != "nan" for row in healthy)
    np.testing.assert_allclose(float(healthy[0]["entropy"]), float(alone[0]["entropy"]), rtol=1e-3)
