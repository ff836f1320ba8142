"""Sit in the therapist's chair: ``python -m jaxtherapy.play``.

A simulated client acts, you answer with an octant of the interpersonal circle. What the client
hears and feels stays hidden until the end, as it is for a trained therapist.
"""

import argparse
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxtherapy import config as configuration
from jaxtherapy.cli.launch import ends_in_one_line
from jaxtherapy.client.dyad import Dyad, Observation, hold_session, intake, is_over, observe
from jaxtherapy.client.octants import COMPLEMENT, OCTANT_NAMES, OCTANTS
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.config import SETTINGS, TrainingConfig
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices.layout import choose_device
from jaxtherapy.envs.rewards import reward
from jaxtherapy.evaluation.therapists import find_policies
from jaxtherapy.networks.actor_critic import param_shapes, with_weights
from jaxtherapy.storage import policies as weights
from jaxtherapy.training.display import console

CLIENT_SETTINGS = tuple(name for name, about in SETTINGS.items() if about.group == "Clients")
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 60

Policy = Callable[[Observation], Any]
"""From what a therapist sees to the probabilities of its eight acts."""


@dataclass(frozen=True)
class Session:
    """One exchange; RS as a share of the client's range."""

    client: int
    therapist: int
    heard: int
    rs: float
    bond: float
    policy: tuple[float, ...] | None = None


@dataclass
class Game:
    """A therapy in progress and what has happened so far."""

    key: Any
    params: ClientParams
    dyad: Dyad
    policy: Policy | None = None
    sessions: list[Session] = field(default_factory=list)

    @classmethod
    def begin(cls, seed: int, params: ClientParams, policy: Policy | None = None) -> "Game":
        """A new client walks in."""
        key = jax.random.key(seed)
        return cls(key, params, _intake(jax.random.fold_in(key, 0), params), policy)

    @property
    def over(self) -> bool:
        """Whether the therapy has ended."""
        return bool(is_over(self.dyad, self.params))

    @property
    def client_act(self) -> int:
        """The act on the table."""
        return int(self.dyad.client_act)

    def answer(self, act: int) -> Session:
        """Holds a session with this act of the therapist."""
        probabilities = None
        if self.policy is not None:
            seen = self.policy(observe(self.dyad, self.params))
            probabilities = tuple(float(each) for each in seen)
        key = jax.random.fold_in(self.key, len(self.sessions) + 1)
        client = self.client_act
        self.dyad = _hold_session(key, self.dyad, jnp.int8(act), self.params)
        self.sessions.append(
            Session(
                client,
                act,
                int(self.dyad.heard_act),
                self.share(float(self.dyad.client.rs)),
                float(self.dyad.client.bond),
                probabilities,
            )
        )
        return self.sessions[-1]

    def share(self, rs: float) -> float:
        """RS as a share of the client's range."""
        low, high = float(self.dyad.client.u_low), float(self.dyad.client.u_high)
        return (rs - low) / (high - low) if high > low else 0.0

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        if bool(self.dyad.dropped_out):
            return "dropout: the client is worse off than at the start and leaves"
        if bool(self.dyad.success):
            return "success"
        return "out of sessions" if self.over else "stopped"


_intake, _hold_session = jax.jit(intake), jax.jit(hold_session)


class Quit(Exception):
    """The user has seen enough."""


# --- text -----------------------------------------------------------------------------------


def read_octant(text: str) -> int | None:
    """0..7, from a number or a letter code in any case; ``None`` if it is neither."""
    code = text.strip().upper()
    if code in OCTANTS:
        return OCTANTS.index(code)
    return int(code) if len(code) == 1 and code in "01234567" else None


def named(octant: int) -> str:
    """``warm-dominant (WD)``."""
    return f"{OCTANT_NAMES[octant]} ({OCTANTS[octant]})"


_PLACES = ((0, 13), (1, 21), (3, 25), (5, 21), (6, 13), (5, 4), (3, 0), (1, 4))
"""Row and column of each octant in the little circle."""


def circle(client: int, therapist: int | None = None) -> Text:
    """The interpersonal circle, dominance up and warmth to the right; ``[C]`` is the client."""
    rows = [[" "] * 34 for _ in range(7)]
    for octant, (row, column) in enumerate(_PLACES):
        label = f"{octant} {OCTANTS[octant]}"
        if octant == client:
            label += " [C]"
        if octant == therapist:
            label += " (T)"
        rows[row][column : column + len(label)] = label
    return Text("\n".join("   " + "".join(row).rstrip() for row in rows))


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Values as blocks; long rows are averaged to at most 60."""
    bins = np.array_split(np.array(values, float), min(len(values), WIDEST))
    heights = (np.array([each.mean() for each in bins]) - low) / max(high - low, 1e-9)
    return "".join(BLOCKS[int(level)] for level in np.clip(np.round(heights * 7), 0, 7))


def policy_line(session: Session) -> str:
    """What the policy would have done, most probable first."""
    chances = session.policy or ()
    ranked = sorted(range(len(chances)), key=lambda act: -chances[act])
    told = ", ".join(f"{OCTANTS[act]} {chances[act]:.0%}" for act in ranked[:4])
    yours = f"{OCTANTS[session.therapist]} {chances[session.therapist]:.0%}"
    return f"the policy: {told}; your {yours}"


def session_table(sessions: Sequence[Session]) -> Table:
    """Every session as the client lived it."""
    table = Table(title="what happened", title_justify="left")
    for column in ("session", "client", "you", "heard", "RS", "bond"):
        table.add_column(column, justify="right" if column in ("session", "RS", "bond") else "left")
    for number, each in enumerate(sessions, 1):
        heard = OCTANTS[each.heard] + ("" if each.heard == each.therapist else " (misheard)")
        acts = OCTANTS[each.client], OCTANTS[each.therapist], heard
        table.add_row(str(number), *acts, f"{each.rs:.3f}", f"{each.bond:.3f}")
    return table


def reveal(game: Game, out: Console) -> None:
    """The end: outcome, RS and bond, what was heard, and how policy and complement compare."""
    out.print(Text.assemble("\n", (game.outcome, "bold"), f" after {len(game.sessions)} sessions"))
    if game.over:
        out.print(f"reward {float(reward(game.dyad, game.params)):.0f}")
    if not game.sessions:
        return
    start = game.share(float(game.dyad.initial_rs))
    threshold = float(game.params.threshold)
    rs = [start, *(each.rs for each in game.sessions)]
    out.print(session_table(game.sessions))
    out.print(
        f"RS   {sparkline(rs, min(rs), max(rs))}  {rs[0]:.3f} → {rs[-1]:.3f}; success at "
        f"{threshold:.2f} of the client's range"
    )
    bonds = [each.bond for each in game.sessions]
    line = sparkline(bonds, min(bonds), max(bonds))
    out.print(f"bond {line}  {bonds[0]:.3f} → {bonds[-1]:.3f}")
    n = len(game.sessions)
    misheard = sum(each.heard != each.therapist for each in game.sessions)
    complements = sum(each.therapist == COMPLEMENT[each.client] for each in game.sessions)
    out.print(f"{complements} of {n} answers were complementary; {misheard} were misheard")
    policies = [(each.therapist, each.policy) for each in game.sessions if each.policy]
    if policies:
        agreed = sum(act == int(np.argmax(chances)) for act, chances in policies)
        mean = np.mean([chances[act] for act, chances in policies])
        out.print(
            f"{agreed} of {n} answers were the policy's likeliest; "
            f"on average it gives yours {mean:.0%}"
        )


# --- the command ----------------------------------------------------------------------------


@ends_in_one_line("\ninterrupted; the therapy is left unfinished")
def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns its exit code."""
    try:
        return run(build_parser().parse_args(argv))
    except EOFError:
        print("\nno more input; the therapy is left unfinished")
        return 0


def build_parser() -> argparse.ArgumentParser:
    """All flags. Client settings are checked as in a training's configuration."""
    parser = configuration.OneLineParser(
        prog="python -m jaxtherapy.play",
        description=__doc__,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=100),
    )
    parser.add_argument(
        "--policy",
        metavar="FILE",
        help="a .pth file or an experiment's folder: after each session, tells what it would do",
    )
    parser.add_argument(
        "--open", action="store_true", help="tell after each session what was heard, RS and bond"
    )
    parser.add_argument("--seed", metavar="N", help="decides the client (default: a new one)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="cpu")
    group = parser.add_argument_group("Clients")
    group.add_argument(
        "--config", metavar="FILE", help="YAML file of client settings (default: the policy's own)"
    )
    for name in CLIENT_SETTINGS:
        configuration.add_setting(group, name, configuration.help_text(name))
    return parser


def client_config(given: argparse.Namespace, experiment: Path | None) -> TrainingConfig:
    """Client settings in force: flag, then ``--config`` or the policy's own, then default."""
    overrides = {name: getattr(given, name) for name in CLIENT_SETTINGS}
    overrides = {name: value for name, value in overrides.items() if value is not None}
    if given.seed is not None:
        overrides["seed"] = given.seed
    path = given.config or (experiment / "config.yaml" if experiment else None)
    return configuration.load_config(path, overrides)


def load_policy(file: Path, precision: Any = "auto") -> Policy:
    """The probabilities of a trained therapist's acts.

    Raises:
        RunError: the file can't be read.
    """
    checkpoint = weights.read(file)
    ppo = PPO(hidden_size=checkpoint.hidden_size, precision=precision)
    params = weights.from_named_arrays(checkpoint.weights, param_shapes(ppo))
    return jax.jit(lambda seen: jax.nn.softmax(with_weights(ppo, params).actor(seen)))


def run(given: argparse.Namespace) -> int:
    """Plays one therapy."""
    out = console()
    choose_device(given.device)
    policies = find_policies(Path(given.policy), "best") if given.policy else []
    chosen = policies[0] if policies else None
    config = client_config(given, chosen.experiment if chosen else None)
    seed = config.seed if given.seed is not None else secrets.randbelow(2**31)
    params = client_params(config)
    policy = load_policy(chosen.file, config.precision) if chosen else None
    with out.status("a client is coming"):
        game = Game.begin(seed, params, policy)
    if chosen and len(policies) > 1:
        out.print(f"of {len(policies)} seeds the policy is {chosen.file}; name another to take it")
    if chosen and not given.config:
        told = (
            f"those of {chosen.experiment}"
            if chosen.experiment
            else "a training's default ones: there is no config.yaml beside the policy"
        )
        out.print(f"client settings that no flag gives are {told}")
    out.print(
        f"A client walks in (--seed {seed}). You have {config.max_sessions} sessions; RS must "
        f"reach {config.threshold:g} of the client's range.\n"
        "Answer each act with a number or letters: "
        + ", ".join(f"{number} {code}" for number, code in enumerate(OCTANTS))
        + "; q ends and reveals."
    )
    try:
        while not game.over:
            _one_session(game, given.open, out)
    except Quit:
        pass
    reveal(game, out)
    return 0


def _one_session(game: Game, is_open: bool, out: Console) -> None:
    last = game.sessions[-1].therapist if game.sessions else None
    title = f"Session {len(game.sessions) + 1}", "bold"
    act = named(game.client_act), "bold"
    out.print(Text.assemble("\n", title, ": the client is ", act))
    out.print(circle(game.client_act, last))
    session = game.answer(_ask(out))
    told = f"you: {named(session.therapist)}"
    if is_open:
        was = "as it was" if session.heard == session.therapist else f"as {named(session.heard)}"
        told += f", heard {was}; RS {session.rs:.3f}, bond {session.bond:.3f}"
    out.print(told)
    if session.policy is not None:
        out.print(policy_line(session))


def _ask(out: Console) -> int:
    while True:
        text = out.input("your act: ")
        if not sys.stdin.isatty():
            out.print(text, markup=False)
        if text.strip().lower() in ("q", "quit"):
            raise Quit
        act = read_octant(text)
        if act is not None:
            return act
        codes = ", ".join(f"{number} {code}" for number, code in enumerate(OCTANTS))
        out.print(f"that is none of {codes}; or q")
