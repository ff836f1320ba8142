"""The therapist's chair, from the terminal's point of view."""

import io
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pyarrow import parquet

from jaxtherapy.cli import play
from jaxtherapy.cli.game import Game, load_policy
from jaxtherapy.cli.play import BLOCKS, main, named, read_octant, sparkline
from jaxtherapy.client.dyad import intake
from jaxtherapy.client.octants import OCTANTS
from jaxtherapy.client.params import client_params
from jaxtherapy.client.simulation import Meeting, simulate_course
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.networks.actor_critic import make_networks
from jaxtherapy.storage import policies as weights
from tests.conftest import DATA
from tests.evaluation.experiments import write_experiment

POLICY = DATA / "tianshou_policy.pth"


@pytest.fixture
def at_the_keyboard(monkeypatch, capsys):
    """Runs the command with lines on standard input; returns its exit code, output and errors."""

    def played(lines, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        code = main(list(arguments))
        return code, *capsys.readouterr()

    return played


def test_octants_by_number_and_by_letters():
    assert [read_octant(str(number)) for number in range(8)] == list(range(8))
    assert [read_octant(f" {code.lower()} ") for code in OCTANTS] == list(range(8))
    for wrong in ("", "8", "-1", "WW", "warm", "²", "00"):
        assert read_octant(wrong) is None


def test_sparklines():
    assert sparkline([0, 0.5, 1], 0, 1) == "▁▅█"
    assert sparkline([3], 3, 3) == "▁"
    long = sparkline(list(np.linspace(0, 1, 500)), 0, 1)
    assert len(long) == 60 and list(long) == sorted(long, key=BLOCKS.index)


def test_a_whole_therapy(at_the_keyboard):
    code, out, err = at_the_keyboard(["2"] * 5, "--seed", "3", "--max-sessions", "5")
    assert code == 0 and not err
    assert out.count("Session ") == 5 and "out of sessions after 5 sessions" in out
    assert "reward 0" in out and "of 5 answers were complementary" in out
    told_before_the_end = out[: out.index("out of sessions after")]
    assert "RS 0" not in told_before_the_end and "heard" not in told_before_the_end


def test_the_same_seed_is_the_same_client(at_the_keyboard):
    games = [
        at_the_keyboard(["2", "w", "6", "q"], "--seed", "5", "--max-sessions", "5")
        for _ in range(2)
    ]
    assert games[0] == games[1] and "stopped after 3 sessions" in games[0][1]


@pytest.mark.parametrize(("last", "outcome"), [([], "unfinished"), (["c"] * 2, "out of sessions")])
def test_the_sessions_are_saved_as_tables(at_the_keyboard, tmp_path, last, outcome):
    """The same numbers as on the screen, also where the input ends early."""
    flags = ["--seed", "5", "--max-sessions", "5", "--open", "--save", str(tmp_path)]
    code, out, _ = at_the_keyboard(["2", "w", "6", *last], *flags)
    assert code == 0
    sessions = parquet.read_table(tmp_path / "sessions.parquet").to_pylist()
    assert [row["therapist_octant"] for row in sessions] == ["W", "W", "C", *["C"] * len(last)]
    for row in sessions:
        assert f"the client is {named(OCTANTS.index(row['client_octant']))}" in out
        assert f"RS {row['rs']:.3f}, bond {row['bond']:.3f}" in out
    (therapy,) = parquet.read_table(tmp_path / "therapies.parquet").to_pylist()
    assert (therapy["outcome"], therapy["sessions"]) == (outcome, len(sessions))
    assert therapy["therapist"] == "player" and "--seed 5" in (tmp_path / "codebook.md").read_text()


def test_ctrl_c_saves_what_was_played(tmp_path, monkeypatch, capsys):
    lines = iter(["2", "6"])

    def asked(*arguments, **more):
        for line in lines:
            return line
        raise KeyboardInterrupt

    monkeypatch.setattr("rich.console.Console.input", asked)
    flags = ["--seed", "5", "--max-sessions", "5", "--save", str(tmp_path / "saved")]
    assert main(flags) == 130
    assert "interrupted; the therapy is left unfinished" in capsys.readouterr().err
    (therapy,) = parquet.read_table(tmp_path / "saved/therapies.parquet").to_pylist()
    assert (therapy["outcome"], therapy["sessions"]) == ("unfinished", 2)


def test_an_open_client_who_hears_everything_warm_succeeds(at_the_keyboard):
    arguments = ["--open", "--enable-parataxic", "false"]
    sizes = ["--threshold", "0.05", "--seed", "1", "--max-sessions", "5"]
    code, out, _ = at_the_keyboard(["2"] * 5, *arguments, *sizes)
    assert code == 0 and "success after 1 sessions" in out and "reward 108" in out
    assert "heard as it was; RS" in out and "misheard)" not in out


def test_bad_input_asks_again(at_the_keyboard):
    lines = ["9", "", "[/bold]", "hello", "ws", "q"]
    code, out, _ = at_the_keyboard(lines, "--seed", "1", "--max-sessions", "5")
    assert code == 0 and out.count("that is none of") == 4 and "you: warm-submissive (WS)" in out


def test_the_policy_is_compared_with(at_the_keyboard):
    arguments = "--policy", str(POLICY), "--seed", "2", "--max-sessions", "5"
    code, out, _ = at_the_keyboard(["2", "3", "q"], *arguments)
    assert code == 0 and out.count("the policy: ") == 2 and "your WS " in out
    assert "of 2 answers were the policy's likeliest" in out


def test_it_says_whose_clients_and_which_seed(at_the_keyboard, tmp_path):
    study = write_experiment(tmp_path / "study", seeds=(3, 7), max_sessions=5)
    _, out, _ = at_the_keyboard(["q"], "--policy", str(study), "--seed", "2")
    text = "".join(out.split("\n"))
    assert f"of 2 seeds the policy is {study / 'seed_3' / 'policy_best.pth'}" in text
    assert f"that no flag gives are those of {study}" in text
    _, out, _ = at_the_keyboard(["q"], "--policy", str(study / "seed_7/policy_best.pth"))
    assert "seeds the policy is" not in out
    _, out, _ = at_the_keyboard(["q"], "--policy", str(POLICY), "--seed", "2")
    assert "a training's default ones" in out and "reach 0.9 of" in out


def test_the_policys_probabilities_sum_to_one():
    game = Game(0, client_params(TrainingConfig(max_sessions=5)), load_policy(POLICY))
    session = game.answer(2)
    assert sum(session.policy) == pytest.approx(1, abs=1e-5) and len(session.policy) == 8
    assert 0 <= session.rs <= 1 and 0 <= session.bond <= 1


def test_a_policy_that_sees_everything_meets_a_client_with_numbers_of_its_own(tmp_path):
    config = TrainingConfig(
        max_sessions=5, threshold={"uniform": [0.5, 0.7]}, actor_view="omniscient", hidden_size=4
    )
    params = nnx.state(make_networks(PPO.of(config), jax.random.key(0)), nnx.Param)
    named = weights.to_named_arrays(params, PPO.of(config))
    weights.write(tmp_path / "policy.pth", weights.state_dict(named))
    policy = load_policy(tmp_path / "policy.pth", config)
    assert sum(Game(0, client_params(config), policy).answer(2).policy) == pytest.approx(1)


def test_a_therapy_is_that_of_the_first_simulated_client():
    params = client_params(TrainingConfig(max_sessions=6, threshold=1.0))
    acts, game = (2, 3, 2, 7, 0, 4), Game(5, params)
    told = [game.answer(act) for act in acts]

    def therapist(key, dyad, params):
        return jnp.array(acts)[dyad.time]

    dyads, course = simulate_course(jax.random.key(5), params, therapist, 3, len(acts))
    assert [each.client for each in told] == course.client_act[:, 0].tolist()
    assert [each.heard for each in told] == course.heard_act[:, 0].tolist()
    assert [each.bond for each in told] == pytest.approx(course.bond[:, 0].tolist(), rel=1e-5)
    assert game.over and int(game.dyad.time) == int(dyads.time[0]) == 6


def test_what_comes_after_success_is_told():
    params = client_params(TrainingConfig(threshold=1.0, stop_at_success=False))
    game = Game.__new__(Game)
    dyad = intake(jax.random.key(0), params).replace(time=jnp.int32(10), success_time=jnp.int32(4))
    game.params, succeeded = params, dyad.replace(success=jnp.bool_(True))
    game._meeting = Meeting(succeeded, ())
    assert game.outcome == "success in session 4, then relapse"
    game._meeting = Meeting(succeeded.replace(dropped_out=jnp.bool_(True)), ())
    assert game.outcome.startswith("success in session 4, then dropout: ")


def test_the_first_line_is_told_before_jax_is_there():
    code = """
import sys
from jaxtherapy.cli import play
def stop(device):
    heavy = ("jax", "scipy", "matplotlib", "orbax", "optax", "flax")
    print([name for name in heavy if name in sys.modules])
    raise EOFError
play.use_device = stop
play.main(["--seed", "1"])
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.startswith("A client walks in (--seed 1)") and "\n[]\n" in told.stdout


def test_no_more_input_is_one_line(at_the_keyboard):
    code, out, err = at_the_keyboard(["2"], "--seed", "1", "--max-sessions", "5")
    assert code == 0 and not err
    assert out.endswith("\nno more input; the therapy is left unfinished\n")


def test_an_interrupt_is_one_line(at_the_keyboard, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(play, "_ask", interrupted)
    code, _, err = at_the_keyboard([], "--seed", "1", "--max-sessions", "5")
    assert code == 130 and err.strip() == "interrupted; the therapy is left unfinished"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threshold", "7"], "threshold is '7'"),
        (["--policy", "nowhere.pth"], "nowhere.pth does not exist"),
        (["--seed", "x"], "seed"),
        (["--fly"], "--fly"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--config", ""], "config file '' does not exist"),
        (["--policy", ""], "policy_best.pth does not exist"),
    ],
)
def test_mistakes_are_one_line(at_the_keyboard, arguments, said):
    code, out, err = at_the_keyboard([], *arguments)
    assert code == 2 and not out and err.startswith("error: ") and said in err
    assert err.count("\n") == 1
