"""The benchmarks still run, and what they count is what they say. No time is checked here."""

import json
import math
import subprocess
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__ as suite
from benchmarks import (
    ceilings,
    environment,
    flops,
    gymnasium_steps,
    hardware,
    phases,
    programs,
    quality,
    rows,
    startup,
    training,
    whole_runs,
)
from benchmarks import regression as regression_check
from benchmarks.against_old_stack import compared
from benchmarks.old_client import OldClient
from benchmarks.products import make_products
from benchmarks.report import Report
from benchmarks.sizes import TINY
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from tests.oracle import Therapy

ONE = replace(TINY, seeds=(1,), environments=())


@pytest.fixture(autouse=True, scope="module")
def nothing_is_optimised():
    """Compiling is all that these tests take time for, and speed is not their subject."""
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", False)


def check(measured):
    assert measured
    for each in measured:
        assert math.isfinite(each.value) and each.low <= each.value <= each.high
        assert each.value > 0 or each.metric == "host"


@pytest.mark.parametrize("part", [ceilings, environment, gymnasium_steps, training, whole_runs])
def test_parts_run(part, monkeypatch):
    monkeypatch.setattr(whole_runs, "RUNS", ((programs.DEFAULT, 1),))
    check(part.measure(ONE))


def test_phases_run_in_one_configuration():
    measured, _ = phases.measure_file(programs.DEFAULT, TINY, phases.Ceilings(1e9, 1e9))
    check(measured)
    assert {"rollout", "advantages", "update", "whole update", "evaluation"} <= {
        each.metric for each in measured
    }


def test_the_command_line_writes_one_report(tmp_path):
    assert suite.main(["ceilings", "--tiny", "--results", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "cpu.json").read_text())
    assert set(report) == {"hardware", "parts"} and set(report["parts"]) == {"ceilings"}
    text = (tmp_path / "cpu.md").read_text()
    assert "ceilings" in text and "jaxlib" in text


def test_the_training_command_is_watched(tmp_path):
    """Milestones of a cold start; then, with what it compiled, the time to quality."""
    run = startup.one_update(tmp_path, TINY.overrides | {"total_timesteps": 1})
    milestones = startup.rows_of("one", "cold", [run], updated=True)
    check(milestones)
    assert [each.metric for each in milestones] == [
        "start to compiled",
        "start to first update",
        "start to exit",
    ]
    times = [each.value for each in milestones]
    assert times == sorted(times)
    assert len(run.log) == 1 and run.info["status"] == "finished"
    run = quality.until_goal(42, tmp_path, TINY)
    assert run.log and quality.training_seconds(run) > 0 and quality.process_seconds(run) > 0


def test_the_environment_alone_replaces_the_ended_and_sees_everything():
    player, state, _, _ = environment.make_player(TrainingConfig(max_sessions=5), 2)
    state = player(state)
    assert state.dyads.time.shape == (2,)
    assert jnp.all(state.dyads.time < 5)  # whoever reaches the fifth is replaced
    np.testing.assert_array_equal(state.obs.client_action, state.dyads.client_act)
    np.testing.assert_array_equal(state.obs.history, state.dyads.history)


def test_flops_are_those_of_the_layers():
    ppo = PPO(n_envs=4, n_steps=8, batch_size=16, n_epochs=3, hidden_size=32)
    actor, critic = flops.layer_weights(ppo)
    assert actor == 417 * 32 + 32 * 32 + 32 * 8
    assert critic == 417 * 32 + 32 * 32 + 32
    nothing = jnp.zeros(0)
    work = flops.work(ppo, nothing, nothing, nothing)
    assert work["update"].flops == 6 * (actor + critic) * 32 * 3
    # XLA counts the body of a loop once: the products of one gradient step.
    products = make_products(ppo)
    cost = products.func.lower(*products.args).compile().cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    assert cost["flops"] == pytest.approx(6 * (actor + critic) * 16, rel=0.3)


def test_regression_check_measures_and_judges(tmp_path, capsys):
    path = tmp_path / "regression.json"
    arguments = ["--tiny", "--expectations", str(path)]
    assert regression_check.main([*arguments, "--record"]) == 0
    expected = json.loads(path.read_text())
    measured = {name: record["ratio"] for name, record in expected.items()}
    assert regression_check.failures(measured, expected) == []
    name = next(iter(measured))
    (line,) = regression_check.failures(measured | {name: measured[name] / 4}, expected)
    assert line.startswith(name) and "25%" in line and "fell" in line
    (line,) = regression_check.failures({k: v for k, v in measured.items() if k != name}, expected)
    assert "not measured" in line
    recorded = json.loads(regression_check.EXPECTATIONS.read_text())
    assert len(recorded) == len(expected)


def test_rows_and_ratios(tmp_path):
    assert rows.row("a", "b", [3.0, 1.0, 2.0], "s").value == 2
    text = rows.dump([rows.row("a", "b", [1.0, 2.0], "s")])
    assert rows.load(text)[0].high == 2
    samples = {"old": [2.0, 4.0, 3.0], "new": [30.0, 60.0, 90.0]}
    assert compared("rate", samples, "steps/s", True)[-1].value == 20
    assert compared("time", samples, "s", False)[-1].value == 3 / 60
    described = {"cpu": "c", "cores": 2, "gpu": [], "python": "3", "versions": {}, "commit": "x"}
    report = Report(tmp_path, "cpu", described)
    report.add("one", rows.load(text), 1.0)
    report.add("bad", [rows.row("a", "b", float("inf"), "s")], 1.0)
    assert set(Report(tmp_path, "cpu", described).parts) == {"one", "bad"}
    assert Report(tmp_path, "cpu", described | {"commit": "y"}).parts == {}
    assert "Infinity" not in (tmp_path / "cpu.json").read_text()


def test_results_are_no_change_of_the_source(tmp_path):
    def git(*command):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(
            ["git", "-C", tmp_path, *who, *command], check=True, capture_output=True, timeout=60
        )

    results = tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    source, table = tmp_path / "source.py", results / "cpu.md"
    source.write_text("1")
    table.write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    clean = hardware.commit(tmp_path)
    assert clean
    assert not clean.endswith("-dirty")
    table.write_text("2")
    assert hardware.commit(tmp_path) == clean
    source.write_text("2")
    assert hardware.commit(tmp_path) == f"{clean}-dirty"


def test_the_old_client_is_the_same_client():
    """Against the tests' oracle, session by session, hearing decided alike."""
    rng = np.random.default_rng(1)
    client = OldClient()
    for seed in range(3):
        client.reset(seed=seed)
        therapy = Therapy(client.u, list(client.memory))
        for _ in range(60):
            np.testing.assert_allclose(client.rs, therapy.rs(), atol=1e-9)
            np.testing.assert_allclose(client.probabilities(), therapy.probabilities(), atol=1e-9)
            assert client.habitual_act() == therapy.habitual_act()
            act, accurately = int(rng.integers(8)), bool(rng.random() < 0.5)
            reward, terminated, truncated = client.respond(act, accurately)
            therapy.session(client.client_act, act, accurately)
            assert (reward, terminated, truncated) == (
                therapy.reward(),
                therapy.terminated(),
                therapy.truncated(),
            )
            assert client.observation()["history"].tolist() == therapy.history()
            client.client_act = client.act()


def test_command_line():
    sizes = suite.sizes_of(suite.parser().parse_args(["training", "--seeds", "1", "2"]))
    assert sizes.seeds == (1, 2) and sizes.repeats == 3
    with pytest.raises(SystemExit):
        suite.main(["nothing"])
