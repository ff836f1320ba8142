"""What both environments compute, compiled once for each number of clients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int, PRNGKeyArray, UInt32

from jaxtherapy.client.dyad import Dyad, Observation, observe, terminated, truncated
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import Meeting, begin, session
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.envs.info import info
from jaxtherapy.envs.rewards import reward
from jaxtherapy.fast.promotion import ordinary
from jaxtherapy.fast.row_replacement import replace_rows


class Clients(NamedTuple):
    """Clients in treatment. Each has a seed, and counts its therapies: both together decide it.

    ``jt.simulate(therapy_key(seed, number), params, therapist, n_dyads=1)`` is the same therapy.
    """

    seeds: UInt32[Array, " n"]
    number: Int[Array, " n"]
    dyads: Dyad


class Opened(NamedTuple):
    """What a reset tells, as arrays with an axis of clients."""

    observation: Observation
    info: dict[str, Any]


class Told(NamedTuple):
    """What a step tells: JAX's arrays, or NumPy's once it is on the host."""

    observation: Observation
    reward: Any
    terminated: Any
    truncated: Any
    info: dict[str, Any]


def checked_acts(acts: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Acts as programs take them.

    Raises:
        ValueError: they have another shape, or are none: JAX would take the nearest octant.
    """
    found = np.asarray(acts)
    if found.shape != shape:
        raise ValueError(f"actions have shape {found.shape}, must be {shape}")
    if found.dtype.kind not in "iu" or (found < 0).any() or (found >= N_OCTANTS).any():
        raise ValueError(f"action is {acts!r}, must be whole numbers from 0 to {N_OCTANTS - 1}")
    return found.astype(np.int8).reshape(-1)


def therapy_key(seed: UInt32[Array, ""], number: Int[Array, ""] | int) -> PRNGKeyArray:
    """Decides everything random of therapy ``number`` (from 0) of a seed."""
    return jax.random.fold_in(jax.random.key(seed), number)


@jax.jit
@ordinary
def open_therapies(
    seeds: UInt32[Array, " n"], last: Int[Array, " n"], params: ClientParams
) -> tuple[Clients, Opened]:
    """The next client of each seed, who acts first; ``last`` is the number of the one before."""
    clients = Clients(seeds, last + 1, _intakes(seeds, last + 1, params))
    return clients, _opened(clients, params)


@jax.jit
@ordinary
def hold_sessions(
    clients: Clients, acts: Int[Array, " n"], params: ClientParams
) -> tuple[Clients, Float32[Array, "n k"]]:
    """One session each; therapies that are over stay as they are. What is told is in one array,
    which comes to the host in a fraction of the time; :func:`unpacked` takes it apart."""

    def hold(seed: Array, number: Array, dyad: Dyad, act: Array) -> Dyad:
        key, meeting = therapy_key(seed, number), Meeting(dyad, None)
        return session(key, dyad.time + 1, 0, meeting, _doing(act), params)[0].dyad

    after = jax.vmap(hold)(*clients, acts)
    told = Told(
        _observations(after, params),
        reward(after, params),
        terminated(after),
        truncated(after, params),
        info(after, params, clients.dyads.client_act, acts),
    )
    parts = [leaf.reshape(len(acts), -1).astype(jnp.float32) for leaf in jax.tree.leaves(told)]
    return clients._replace(dyads=after), jnp.concatenate(parts, axis=1)


def unpacked(packed: np.ndarray, opened: Opened) -> Told:
    """What :func:`hold_sessions` told; observation and info look as in ``opened``."""
    numbers, ends = np.empty(len(packed), np.float32), np.empty(len(packed), bool)
    like = Told(opened.observation, numbers, ends, ends, opened.info)
    leaves, structure = jax.tree.flatten(like)
    told, start = [], 0
    for leaf in leaves:
        end = start + leaf[0].size
        told.append(packed[:, start:end].reshape(leaf.shape).astype(leaf.dtype))
        start = end
    return Told(*jax.tree.unflatten(structure, told))


@jax.jit
@ordinary
def replace_ended(
    clients: Clients, over: Bool[Array, " n"], params: ClientParams
) -> tuple[Clients, Opened]:
    """The next client of the seed, where a therapy is over."""
    seeds, number, dyads = clients
    number = number + over
    dyads = replace_rows(
        over,
        lambda i: _intakes(seeds[i], number[i], params),
        dyads,
        slots=max(1, len(seeds) // 32),
    )
    clients = Clients(seeds, number, dyads)
    return clients, _opened(clients, params)


def _intakes(seeds: Array, number: Array, params: ClientParams) -> Dyad:
    def intake(seed: Array, number: Array) -> Dyad:
        return begin(therapy_key(seed, number), 0, _doing(0), params).dyad

    return jax.vmap(intake)(seeds, number)


def _doing(act: Any) -> Therapist:
    return Therapist(lambda key, memory, view: (memory, act))


def _observations(dyads: Dyad, params: ClientParams) -> Observation:
    return jax.vmap(lambda dyad: observe(dyad, params))(dyads)


def _opened(clients: Clients, params: ClientParams) -> Opened:
    return Opened(_observations(clients.dyads, params), info(clients.dyads, params))
