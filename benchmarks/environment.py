"""The environment alone: a random therapist, steps per second against parallel clients."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from benchmarks.rows import Row, line, row
from benchmarks.sizes import Sizes
from benchmarks.timing import program_bytes, seconds_per_step
from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.dyad import Dyad, Observation
from jaxtherapy.client.params import ClientParams, client_params
from jaxtherapy.config import TrainingConfig
from jaxtherapy.envs.rewards import reward
from jaxtherapy.errors import is_out_of_memory
from jaxtherapy.fast.row_replacement import replace_rows


class Play(NamedTuple):
    """Clients in treatment, what a therapist sees of them, and what it has earned."""

    dyads: Dyad
    key: PRNGKeyArray
    obs: Observation
    earned: Float[Array, " n"]


def begin(clients: ClientParams, n_clients: int) -> Play:
    """As many clients, at their first session."""
    key, first = jax.random.split(jax.random.key(0))
    dyads_now = dyads.intakes(first, clients, jnp.arange(n_clients))
    return Play(dyads_now, key, observations(clients, dyads_now), jnp.zeros(n_clients))


def observations(clients: ClientParams, now: Dyad) -> Observation:
    """Of all clients."""
    return jax.vmap(lambda dyad: dyads.observe(dyad, clients))(now)


def play(n_clients: int, n_steps: int, clients: ClientParams, before: Play) -> Play:
    """``n_steps`` sessions of every client with a random therapist; the ended are replaced.

    What training computes of the environment is computed here: the observation, the reward, both
    ends and new clients. Observations and rewards lie in memory after every step, as they would for
    a therapist that looks at them.
    """

    def session(before: Play, keys: PRNGKeyArray) -> tuple[Play, None]:
        key_session, key_intake = keys
        number = jnp.arange(n_clients)
        points = jax.vmap(partial(dyads.therapist_point, key_session))(number)
        act = (points * 8).astype(jnp.int8)
        hold = jax.vmap(lambda i, dyad, act: dyads.hold_session(key_session, dyad, act, clients, i))
        after = hold(number, before.dyads, act)
        ended = dyads.is_over(after, clients)
        earned = before.earned + reward(after, clients)
        following = replace_rows(
            ended, partial(dyads.intakes, key_intake, clients), after, slots=max(1, n_clients // 32)
        )
        return Play(following, before.key, observations(clients, following), earned), None

    key, key_sessions = jax.random.split(before.key)
    keys = jax.random.split(key_sessions, (n_steps, 2))
    return jax.lax.scan(session, before._replace(key=key), keys)[0]


def steps_per_call(n_clients: int) -> int:
    """Enough sessions in a call that calling costs nothing."""
    return min(4096, max(32, 2**18 // n_clients))


def make_player(
    config: TrainingConfig, n_clients: int
) -> tuple[Callable[[Play], Play], Play, int, Any]:
    """A compiled function that plays on, its first state, steps per call, and the program."""
    clients, n_steps = client_params(config), steps_per_call(n_clients)
    state = jax.jit(begin, static_argnums=1)(clients, n_clients)
    jitted = jax.jit(partial(play, n_clients, n_steps), donate_argnums=1)
    compiled = jitted.lower(clients, state).compile()
    return partial(compiled, clients), state, n_steps * n_clients, compiled


def rates(config: TrainingConfig, n_clients: int, seconds: float, repeats: int) -> list[float]:
    """Samples of steps per second, all clients together."""
    player, state, steps, _ = make_player(config, n_clients)
    times, _ = seconds_per_step(player, state, seconds=seconds, repeats=repeats)
    return [steps / time for time in times]


def measure(sizes: Sizes) -> list[Row]:
    """Steps per second and memory against the number of clients."""
    rows: list[Row] = []
    config = TrainingConfig()
    for n_clients in sizes.clients:
        try:
            player, state, steps, compiled = make_player(config, n_clients)
            times, state = seconds_per_step(
                player, state, seconds=sizes.seconds, repeats=sizes.repeats
            )
        except jax.errors.JaxRuntimeError as error:
            if not is_out_of_memory(error):
                raise
            print(f"  {n_clients:,} clients do not fit", flush=True)
            break
        case = f"{n_clients:,} clients"
        rows += [
            row(case, "environment", [steps / time for time in times], "steps/s"),
            row(case, "time", [time / steps * 1e9 for time in times], "ns/step"),
            row(case, "memory", program_bytes(compiled) / 2**20, "MiB", "of the program"),
        ]
        print(line(rows[-3]), flush=True)
    return rows
