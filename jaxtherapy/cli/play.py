"""Sit in the therapist's chair: ``python -m jaxtherapy.play``.

A simulated client acts, you answer with an octant of the interpersonal circle. What the client
hears and feels stays hidden until the end, as it is for a trained therapist.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxtherapy import config as configuration
from jaxtherapy.cli.asking import client_config, use_device
from jaxtherapy.cli.folders import free_for_data, list_files, prepared, writing_to
from jaxtherapy.cli.launch import command
from jaxtherapy.client.octants import COMPLEMENT, OCTANT_NAMES, OCTANTS
from jaxtherapy.config import SETTINGS, Distribution
from jaxtherapy.evaluation.policies import PolicyFile, find_policies
from jaxtherapy.reporting.circumplex import circle
from jaxtherapy.training.display import console

if TYPE_CHECKING:  # with JAX, which the first line does without
    from jaxtherapy.cli.game import Game, Session

CLIENT_SETTINGS = tuple(name for name, about in SETTINGS.items() if about.group == "Clients")
BLOCKS = "▁▂▃▄▅▆▇█"
WIDEST = 60
CODES = ", ".join(f"{number} {code}" for number, code in enumerate(OCTANTS))


class Quit(Exception):
    """The user has seen enough."""


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
    policy = session.policy or ()
    ranked = sorted(range(len(policy)), key=lambda act: -policy[act])
    told = ", ".join(f"{OCTANTS[act]} {policy[act]:.0%}" for act in ranked[:4])
    yours = f"{OCTANTS[session.therapist]} {policy[session.therapist]:.0%}"
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
    sessions, n = game.sessions, len(game.sessions)
    out.print(Text.assemble("\n", (game.outcome, "bold"), f" after {n} sessions"))
    if game.over:
        out.print(f"reward {game.reward:.0f}")
    if not sessions:
        return
    rs = [game.share(game.dyad.initial_rs), *(each.rs for each in sessions)]
    bonds = [each.bond for each in sessions]
    out.print(session_table(sessions))
    out.print(f"RS   {_course(rs)}; success at {game.threshold:.2f} of the client's range")
    out.print(f"bond {_course(bonds)}")
    misheard = sum(each.heard != each.therapist for each in sessions)
    complements = sum(each.therapist == COMPLEMENT[each.client] for each in sessions)
    out.print(f"{complements} of {n} answers were complementary; {misheard} were misheard")
    policies = [(each.therapist, each.policy) for each in sessions if each.policy]
    if policies:
        agreed = sum(act == int(np.argmax(given)) for act, given in policies)
        mean = np.mean([given[act] for act, given in policies])
        out.print(
            f"{agreed} of {n} answers were the policy's likeliest; "
            f"on average it gives yours {mean:.0%}"
        )


def _course(values: Sequence[float]) -> str:
    """Values as blocks, and the first and last of them."""
    return f"{sparkline(values, min(values), max(values))}  {values[0]:.3f} → {values[-1]:.3f}"


def build_parser() -> argparse.ArgumentParser:
    """All flags. Client settings are checked as in a training's configuration."""
    parser = configuration.OneLineParser(prog="python -m jaxtherapy.play", description=__doc__)
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


@command(build_parser, "\ninterrupted; the therapy is left unfinished")
def main(given: argparse.Namespace) -> None:
    """Plays one therapy, or as much of it as there is input."""
    try:
        _play(given)
    except EOFError:
        print("\nno more input; the therapy is left unfinished")


def _play(given: argparse.Namespace) -> None:
    out = console()
    folder = None if given.save is None else free_for_data("--save", given.save)
    policies = []
    if given.policy is not None:
        policies = find_policies(Path(configuration.expanded(given.policy)), "best")
    chosen = policies[0] if policies else None
    config = client_config(given, (*CLIENT_SETTINGS, "seed"), chosen.experiment if chosen else None)
    seed = config.seed if given.seed is not None else secrets.randbelow(2**31)
    policy = None
    if chosen:  # what can't be read is told before anything else
        use_device(given.device)
        from jaxtherapy.cli.game import load_policy

        policy = load_policy(chosen.file, chosen.config)
        for line in _about_policy(policies, given.config):
            out.print(line)
    out.print(
        f"A client walks in (--seed {seed}). You have {_told(config.max_sessions)} sessions; RS "
        f"must reach {_told(config.threshold)} of the client's range.\n"
        f"Answer each act with a number or letters: {CODES}; q ends and reveals."
    )
    with out.status("a client is coming"):
        use_device(given.device)
        from jaxtherapy.cli.game import Game
        from jaxtherapy.client.params import client_params

        game = Game(seed, client_params(config), policy)
    with prepared(folder, "--save"):
        try:
            with suppress(Quit):
                while not game.over:
                    _one_session(game, given.open, out)
            reveal(game, out)
        finally:  # also at the end of input, and after Ctrl-C
            if folder is not None and game.sessions:
                _save(game, seed, folder, out)


def _about_policy(policies: Sequence[PolicyFile], given_config: str | None) -> Iterator[str]:
    """Which seed it is, and whose clients are met."""
    chosen = policies[0]
    if len(policies) > 1:
        yield f"of {len(policies)} seeds the policy is {chosen.file}; name another to take it"
    if given_config is None:
        told = "a training's default ones: there is no config.yaml beside the policy"
        told = f"those of {chosen.experiment}" if chosen.experiment else told
        yield f"client settings that no flag gives are {told}"


def _save(game: Game, seed: int, folder: Path, out: Console) -> None:
    """Writes the sessions held so far as tables."""
    from jaxtherapy.evaluation.study_data import ABOUT, write_study_data

    about = f"A therapy played by hand with `python -m jaxtherapy.play --seed {seed}`.", ABOUT
    with writing_to(folder):
        paths = write_study_data(folder, [game.chunk()], ["player"], ["client"], about)
    list_files(paths, out)


def _told(number: Any) -> str:
    """A number of clients; of one that each draws, what it may be."""
    if isinstance(number, Distribution):
        return " to ".join(f"{end:g}" for end in number.support)
    return f"{number:g}"


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
            out.print(text)
        if text.strip().lower() in ("q", "quit"):
            raise Quit
        act = read_octant(text)
        if act is not None:
            return act
        out.print(f"that is none of {CODES}; or q")
