"""Many trainings as one: each run is what it is alone, and what befalls one befalls no other."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.config import ConfigError, load_config
from jaxtherapy.studies.trainings import Study, program_of, train_points
from jaxtherapy.training.group import Group
from jaxtherapy.training.trainer import Trainer
from tests.training import tiny

BASE = load_config(None, tiny.TINY | {"total_timesteps": 64, "eval_freq": 32, "seeds_at_once": 2})
CONFIGS = [
    replace(BASE, learning_rate=1e-3, threshold=0.4),
    replace(BASE, learning_rate=1e-2, threshold=0.3),
    replace(BASE, learning_rate=1e-3, threshold=0.3, seed=43),
]
"""Two groups, the second of which is filled up."""
STUDY = Study(n_clients=40, keep_weights=True)


@pytest.fixture(scope="module")
def trained():
    return list(train_points(CONFIGS, STUDY))


def assert_same(ours, theirs):
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(x, y)


def test_all_runs_are_trained_and_compared_once(trained):
    assert [run.position for run in trained] == [0, 1, 2]
    assert {(run.status, run.steps) for run in trained} == {("finished", 64)}
    assert all(run.outcomes.success.shape == (2, 40) and run.seconds > 0 for run in trained)
    first, second, _ = trained
    # The one who complements treats the same clients, at another threshold.
    same = first.outcomes.initial_rs[1] == second.outcomes.initial_rs[1]
    assert same.all() and not np.array_equal(first.outcomes.success, second.outcomes.success)


@pytest.mark.parametrize("position", [1, 2])
def test_a_run_is_what_the_trainer_makes_of_it_alone(trained, position):
    """To float rounding, in the four updates of these runs."""
    alone = Trainer(CONFIGS[position], save=False, loggers=()).run()
    ours, theirs = trained[position].weights, alone.weights("best", CONFIGS[position].seed)
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_runs_that_are_done_are_left_out_and_change_no_other(trained):
    (second,) = train_points(CONFIGS, STUDY, done=[0, 2])
    assert second.position == 1
    assert_same((second.weights, second.outcomes), (trained[1].weights, trained[1].outcomes))


def test_a_run_that_diverges_is_marked_and_stops_nothing(trained, monkeypatch):
    """From its third update on, the first run earns what no number can hold."""
    train = Group.train

    def poisoned(self, n_updates):
        if self.progress.n_updates == 2:
            stats = self.state.return_stats
            endless = stats.replace(mean=stats.mean.at[0].set(jnp.inf))
            self.state = self.state.replace(return_stats=endless)
        return train(self, 1)

    monkeypatch.setattr(Group, "train", poisoned)
    monkeypatch.setattr(Group, "updates_of_next_chunk", lambda self: 1)
    sick, healthy = train_points(CONFIGS, STUDY, done=[2])
    assert (sick.status, sick.steps) == ("diverged", 32)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sick.weights))
    assert healthy.status == "finished"
    assert_same(healthy.weights, trained[1].weights)


def test_whoever_watches_evaluations_may_stop_runs(trained):
    told = []

    def evaluated(positions, step, result):
        told.append((positions, step, result.success_rate.shape))
        return [0]

    stopped, other = train_points(CONFIGS, replace(STUDY, evaluated=evaluated), done=[2])
    assert told == [([0, 1], 32, (2,)), ([1], 64, (1,))]
    assert (stopped.status, stopped.steps) == ("stopped", 32)
    assert (other.status, other.steps) == ("finished", 64)
    assert_same(other.weights, trained[1].weights)


def test_runs_of_one_program_differ_in_numbers_and_seeds_alone():
    programs = set(map(program_of, CONFIGS))
    assert len(programs) == 1
    for name, value in {
        "hidden_size": 16,
        "mechanism": "bond_only",
        "total_timesteps": 128,
        "learning_rate": {"linear": [1e-3, 0]},
        "threshold": {"uniform": [0.3, 0.4]},
    }.items():
        assert program_of(replace(BASE, **{name: value})) not in programs, name


@pytest.mark.parametrize("setting", [{"target_success": 0.9}, {"patience": 3}])
def test_what_ends_one_training_early_is_refused(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"{name} is .* set {name} to null"):
        next(train_points([replace(BASE, **setting)]))
