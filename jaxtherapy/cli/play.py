"""Sit in the therapist's chair: ``python -m jaxtherapy.play``.

A simulated client acts, you answer with an octant of the interpersonal circle. What the client
hears and feels stays hidden until the end, as it is for a trained therapist.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxtherapy import config as configuration
from jaxtherapy.cli.folders import free_for_data, prepared, writing_to
from jaxtherapy.cli.game import Game, Policy, Session
from jaxtherapy.cli.launch import ends_in_one_line, importing
from jaxtherapy.client.octants import COMPLEMENT, OCTANT_NAMES, OCTANTS
from jaxtherapy.config import SETTINGS, Distribution, TrainingConfig
from jaxtherapy.evaluation.policies import find_policies, read_policy
from jaxtherapy.reporting.circumplex import circle
from jaxtherapy.training.display import console

if TYPE_CHECKING:  # with JAX, which the first line does without
    from jaxtherapy.client.dyad import Dyad
    from jaxtherapy.client.params import ClientParams

CLIENT_SETTINGS = tuple(name for name, about in SETTINGS.items() if about.group == "Clients")
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 60
CODES = ", ".join(f"{number} {code}" for number, code in enumerate(OCTANTS))


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
        from jaxtherapy.envs.outcomes import total_reward

        out.print(f"reward {float(total_reward(game.dyad, game.params)):.0f}")
    if not game.sessions:
        return
    rs = [game.share(float(game.dyad.initial_rs)), *(each.rs for each in game.sessions)]
    out.print(session_table(game.sessions))
    out.print(
        f"RS   {sparkline(rs, min(rs), max(rs))}  {rs[0]:.3f} → {rs[-1]:.3f}; success at "
        f"{float(game.params.numbers_of(game.dyad).threshold):.2f} of the client's range"
    )
    bonds = [each.bond for each in game.sessions]
    spark = sparkline(bonds, min(bonds), max(bonds))
    out.print(f"bond {spark}  {bonds[0]:.3f} → {bonds[-1]:.3f}")
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
    told = "a .pth file or an experiment's folder: after each session, tells what it would do"
    parser.add_argument("--policy", metavar="FILE", help=told)
    told = "tell after each session what was heard, RS and bond"
    parser.add_argument("--open", action="store_true", help=told)
    told = "write the sessions to this folder, as evaluate --data does (default: nowhere)"
    parser.add_argument("--save", metavar="FOLDER", help=told)
    parser.add_argument("--seed", metavar="N", help="decides the client (default: a new one)")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="cpu")
    group = parser.add_argument_group("Clients")
    told = "YAML file of client settings (default: the policy's own)"
    group.add_argument("--config", metavar="FILE", help=told)
    for name in CLIENT_SETTINGS:
        configuration.add_setting(group, name, configuration.help_text(name))
    return parser


def client_config(given: argparse.Namespace, experiment: Path | None) -> TrainingConfig:
    """Client settings in force: flag, then the evaluation clients of ``--config`` or of the
    policy's experiment, then default."""
    overrides = {name: getattr(given, name) for name in (*CLIENT_SETTINGS, "seed")}
    path = given.config
    if path is None and experiment:
        path = experiment / "config.yaml"
    return configuration.load_for_evaluation(path, overrides)


def load_policy(file: Path, config: TrainingConfig | None = None) -> Policy:
    """The probabilities of a trained therapist's acts.

    Raises:
        RunError: the file can't be read.
    """
    import jax

    from jaxtherapy.envs.observations import VIEWS
    from jaxtherapy.networks.actor_critic import with_weights

    ppo, weights = read_policy(file, config)
    view = VIEWS[ppo.actor_view]

    @jax.jit
    def chances(dyad: Dyad, params: ClientParams) -> Any:
        actor = with_weights(ppo, weights).actor
        return jax.nn.softmax(actor(view.observe(dyad, params.numbers_of(dyad))))

    return chances


def run(given: argparse.Namespace) -> int:
    """Plays one therapy."""
    out = console()
    folder = None if given.save is None else free_for_data("--save", given.save)
    policies = []
    if given.policy is not None:
        policies = find_policies(Path(configuration.expanded(given.policy)), "best")
    chosen = policies[0] if policies else None
    config = client_config(given, chosen.experiment if chosen else None)
    seed = config.seed if given.seed is not None else secrets.randbelow(2**31)
    policy = None
    if chosen:  # what can't be read is told before anything else
        _use(given.device)
        policy = load_policy(chosen.file, chosen.config)
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
        f"A client walks in (--seed {seed}). You have {_told(config.max_sessions)} sessions; RS "
        f"must reach {_told(config.threshold)} of the client's range.\n"
        f"Answer each act with a number or letters: {CODES}; q ends and reveals."
    )
    with out.status("a client is coming"):
        _use(given.device)
        from jaxtherapy.client.params import client_params

        game = Game(seed, client_params(config), policy)
    with prepared(folder, "--save"):
        try:
            while not game.over:
                _one_session(game, given.open, out)
            reveal(game, out)
        except Quit:
            reveal(game, out)
        finally:  # also at the end of input, and after Ctrl-C
            if folder is not None and game.sessions:
                _save(game, seed, folder, out)
    return 0


def _save(game: Game, seed: int, folder: Path, out: Console) -> None:
    """Writes the sessions held so far as tables."""
    from jaxtherapy.evaluation.study_data import ABOUT, write_study_data

    about = f"A therapy played by hand with `python -m jaxtherapy.play --seed {seed}`.", ABOUT
    with writing_to(folder):
        paths = write_study_data(folder, [game.chunk()], ["player"], ["client"], about)
    out.print("\n".join(f"  {path}" for path in paths), markup=False)


def _told(number: Any) -> str:
    """A number of clients; of one that each draws, what it may be."""
    if isinstance(number, Distribution):
        return " to ".join(f"{end:g}" for end in number.support)
    return f"{number:g}"


def _use(device: str) -> None:
    with importing():
        from jaxtherapy.devices.layout import choose_device
        from jaxtherapy.devices.pinned import pin

    pin()
    choose_device(device)


def _one_session(game: Game, is_open: bool, out: Console) -> None:
    last = game.sessions[-1].therapist if game.sessions else None
    title = f"Session {len(game.sessions) + 1}", "bold"
    act = named(game.client_act), "bold"
    out.print(Text.assemble("\n", title, ": the client is ", act))
    out.print(Text(circle(game.client_act, last)))
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
        out.print(f"that is none of {CODES}; or q")
