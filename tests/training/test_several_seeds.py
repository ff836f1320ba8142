"""Several seeds in one program: the contract's files for each, and the same numbers as alone."""

import json

import numpy as np

from jaxtherapy import torch_weights
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
