"""Seeds that are trained in groups one after another: nobody could tell from the results."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from jaxtherapy import convert
from jaxtherapy.config import load_config
from jaxtherapy.evaluation.policies import find_policies
from jaxtherapy.storage import torch_format as torch_weights
from tests.training import tiny

SEEDS = range(42, 47)
GROUPS = ["--n-seeds", "5", "--seeds-at-once", "2"]
PARTS = {"seeds_42_43", "seeds_44_45", "seeds_46_46"}


def run_in(folder, *flags):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert tiny.train(folder, *flags) == 0
    return folder


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """The folder of a run in three groups."""
    return run_in(tmp_path_factory.mktemp("grouped"), *GROUPS)


@pytest.fixture(scope="module")
def all_at_once(tmp_path_factory):
    return run_in(tmp_path_factory.mktemp("all_at_once"), "--n-seeds", "5")


def log(folder, seed, name="tiny"):
    return tiny.rows_without_timings(folder / f"logs/{name}/{name}_seed{seed}_progress.csv")


def weights(folder, seed, name="policy_final"):
    return folder / f"models/tiny/seed_{seed}/{name}.pth"


def same_bits(folder, wanted):
    for seed in SEEDS:
        assert log(folder, seed) == log(wanted, seed)
        for name in ("policy_final", "policy_best", "checkpoint_112", "checkpoint_400"):
            assert (
                weights(folder, seed, name).read_bytes() == weights(wanted, seed, name).read_bytes()
            )
    assert summary(folder) == summary(wanted)


def summary(folder):
    return (folder / "logs/tiny/tiny_summary.csv").read_text()


def n_seeds_in_summary(folder):
    return [int(row.split(",")[2]) for row in summary(folder).splitlines()[1:]]


def names(folder):
    return {
        str(path.relative_to(folder))
        for where in ("models", "logs")
        for path in (folder / where).rglob("*")
        if "checkpoints" not in path.relative_to(folder).parent.parts
    }


def test_groups_give_the_results_of_all_at_once(grouped, all_at_once):
    """To rounding: a batch of two is another program than one of five."""
    assert names(grouped) == names(all_at_once)
    assert {path.name for path in (grouped / "models/tiny/checkpoints").iterdir()} == PARTS
    for seed in SEEDS:
        for row, other in zip(log(grouped, seed), log(all_at_once, seed), strict=True):
            numbers = [np.array(list(each.values()), float) for each in (row, other)]
            np.testing.assert_allclose(*numbers, rtol=5e-3, atol=1e-4)
        one = torch_weights.load(weights(grouped, seed))
        other = torch_weights.load(weights(all_at_once, seed))
        for name, array in one.items():
            np.testing.assert_allclose(array, other[name], rtol=5e-3, atol=1e-4)


def test_summary_and_run_json_tell_of_all_seeds(grouped, all_at_once):
    assert n_seeds_in_summary(grouped) == [5] * 5
    info, other = (
        json.loads((folder / "models/tiny/run.json").read_text())
        for folder in (grouped, all_at_once)
    )
    assert info["status"] == "finished" and info["seeds"] == list(SEEDS)
    assert info.keys() == other.keys()
    np.testing.assert_allclose(
        info["best_evaluation_reward"], other["best_evaluation_reward"], rtol=1e-3
    )
    durations = {seed: last_duration(grouped, seed) for seed in (42, 44, 46)}  # one of each group
    assert info["train_seconds"] == pytest.approx(sum(durations.values()), abs=0.01)
    assert info["steps_per_second"] == pytest.approx(5 * 400 / info["train_seconds"], rel=0.01)
    assert load_config(grouped / "models/tiny/config.yaml").seeds_at_once == 2


def last_duration(folder, seed):
    lines = (folder / f"logs/tiny/tiny_seed{seed}_progress.csv").read_text().splitlines()
    return float(dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))["duration"])


@pytest.mark.parametrize(
    ("marker", "covered"),
    [("seed_44", 2), ("seed_44/checkpoint_112.pth", 4)],
    ids=["begun", "half"],
)
def test_stopped_in_the_second_group_and_resumed_equals_never_stopped(
    grouped, folder, capsys, marker, covered
):
    thread = tiny.interrupt_after(folder / "models/tiny" / marker, signal.SIGTERM)
    assert tiny.train(folder, *GROUPS) == 0
    thread.join()
    out = capsys.readouterr().out
    assert "stopped by SIGTERM" in out and "group 2 of 3: seeds 44 … 45" in out
    assert "group 3" not in out
    info = json.loads((folder / "models/tiny/run.json").read_text())
    assert info["status"] == "interrupted" and info["best_evaluation_reward"][4] is None
    steps = 2 * 400 + 2 * info["steps"]
    assert info["steps_per_second"] == pytest.approx(steps / info["train_seconds"], rel=0.01)
    assert set(n_seeds_in_summary(folder)) == {covered}
    # The groups are those of the run, whatever the configuration leaves open.
    assert tiny.train(folder, "--n-seeds", "5", "--resume") == 0
    odd = [path for path in (folder / "models/tiny/seed_44").glob("checkpoint_*.pth")]
    assert len(odd) in (4, 5)  # one is saved out of turn
    same_bits(folder, grouped)
    assert "nothing left" not in capsys.readouterr().out
    assert tiny.train(folder, "--n-seeds", "5", "--resume") == 0
    assert "nothing left to do at step 400" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags", [["--seeds-at-once", "3"], ["--n-seeds", "1"], ["--n-seeds", "6"], ["--seed", "41"]]
)
def test_other_groups_are_refused_on_resumption(grouped, folder, capsys, flags):
    shutil.copytree(grouped, folder, dirs_exist_ok=True)
    assert tiny.train(folder, *GROUPS, *flags, "--resume") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{flags[0][2:].replace('-', '_')} was" in error
    same_bits(folder, grouped)


def test_overwriting_leaves_nothing_behind(grouped, undisturbed, folder):
    shutil.copytree(grouped, folder, dirs_exist_ok=True)
    assert tiny.train(folder, "--overwrite") == 0
    assert tiny.results(folder) == tiny.results(undisturbed)
    assert names(folder) == names(undisturbed)
    steps = {path.name for path in (folder / "models/tiny/checkpoints").iterdir()}
    assert steps == {"112", "224", "336", "400"}
    assert tiny.train(folder, *GROUPS, "--overwrite") == 0
    same_bits(folder, grouped)
    assert names(folder) == names(grouped)
    assert {path.name for path in (folder / "models/tiny/checkpoints").iterdir()} == PARTS


def test_going_back_and_branching_off_take_all_groups_along(grouped, folder, capsys):
    shutil.copytree(grouped, folder, dirs_exist_ok=True)
    source = "models/tiny/seed_44/checkpoint_224.pth"
    branch = ["--experiment-name", "branch", "--n-seeds", "5", "--resume-from"]
    assert tiny.train(folder, *branch, source) == 0
    for seed in SEEDS:
        assert log(folder, seed, "branch") == log(grouped, seed)[2:]
    same_bits(folder, grouped)
    assert tiny.train(folder, "--n-seeds", "5", "--resume-from", source) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert tiny.train(folder, "--n-seeds", "5", "--resume-from", source, "--overwrite") == 0
    same_bits(folder, grouped)


def test_a_groups_seed_is_converted_and_all_are_found_for_evaluation(grouped, folder):
    experiment = str(grouped / "models/tiny")
    for seed in (42, 45, 46):
        target = f"{seed}.pth"
        assert convert.main([experiment, target, "--seed", str(seed), "--step", "224"]) == 0
        wanted = weights(grouped, seed, "checkpoint_224").read_bytes()
        assert (folder / target).read_bytes() == wanted
    found = find_policies(Path(experiment), "best")
    assert [policy.seed for policy in found] == list(SEEDS)
    assert {policy.experiment for policy in found} == {Path(experiment)}


def test_more_at_once_than_there_are_is_all_at_once(folder, capsys):
    flags = ["--n-seeds", "2", "--seeds-at-once", "9", "--total-timesteps", "80"]
    assert tiny.train(folder, *flags) == 0
    assert "all 2 seeds at once" in capsys.readouterr().out
    assert {path.name for path in (folder / "models/tiny/checkpoints").iterdir()} == {"80"}
