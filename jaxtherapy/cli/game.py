"""One therapy, played by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxtherapy.client.client import share_of_range
from jaxtherapy.client.dyad import Dyad, is_over, relapsed, sessions_to_success
from jaxtherapy.client.params import ClientParams
from jaxtherapy.client.simulation import Course, Meeting, begin, session
from jaxtherapy.client.therapists import Therapist
from jaxtherapy.config import TrainingConfig
from jaxtherapy.envs.observations import VIEWS
from jaxtherapy.envs.outcomes import total_reward
from jaxtherapy.evaluation.policies import read_policy
from jaxtherapy.evaluation.study_data import Chunk, play_in_full
from jaxtherapy.networks.actor_critic import with_weights

Policy = Callable[[Dyad, ClientParams], Any]
"""The probabilities of its eight acts, from what it sees of a dyad."""


def load_policy(file: Path, config: TrainingConfig | None = None) -> Policy:
    """The probabilities of a trained therapist's acts.

    Raises:
        RunError: the file can't be read.
    """
    ppo, weights = read_policy(file, config)
    view = VIEWS[ppo.actor_view]

    @jax.jit
    def probabilities(dyad: Dyad, params: ClientParams) -> Any:
        actor = with_weights(ppo, weights).actor
        return jax.nn.softmax(actor(view.observe(dyad, params.numbers_of(dyad))))

    return probabilities


@dataclass(frozen=True)
class Session:
    """One exchange; RS as a share of the client's range."""

    client: int
    therapist: int
    heard: int
    rs: float
    bond: float
    policy: tuple[float, ...] | None = None


class Game:
    """A therapy in progress: client 0 of this seed's key, session by session as simulated ones.

    ``simulate`` with the same key, parameters and acts is the same therapy.
    """

    def __init__(self, seed: int, params: ClientParams, policy: Policy | None = None) -> None:
        self.params, self._policy, self.sessions = params, policy, list[Session]()
        self._key = jax.random.key(seed)
        self._meeting = _intake(self._key, params)

    @property
    def dyad(self) -> Dyad:
        """The client and what has happened between the two."""
        return self._meeting.dyad

    @property
    def over(self) -> bool:
        """Whether the therapy has ended."""
        return bool(is_over(self.dyad, self.params))

    @property
    def client_act(self) -> int:
        """The act on the table."""
        return int(self.dyad.client_act)

    @property
    def threshold(self) -> float:
        """The share of the client's range at which therapy succeeds."""
        return float(self.params.numbers_of(self.dyad).threshold)

    @property
    def reward(self) -> float:
        """What the outcome pays the therapist."""
        return float(total_reward(self.dyad, self.params))

    def answer(self, act: int) -> Session:
        """Holds a session with this act of the therapist."""
        policy = None
        if self._policy is not None:
            policy = tuple(map(float, self._policy(self.dyad, self.params)))
        time = len(self.sessions) + 1
        self._meeting, now = _session(self._key, time, self._meeting, act, self.params)
        acts = int(now.client_act), act, int(now.heard_act)
        self.sessions.append(Session(*acts, self.share(now.rs), float(now.bond), policy))
        return self.sessions[-1]

    def chunk(self) -> Chunk:
        """The therapy so far, as tables are made of it: played again with the same acts."""
        acts, client = np.array([each.therapist for each in self.sessions]), np.zeros(1, int)
        played = play_in_full(_repeating, len(acts), self._key, self.params, client, acts)
        return Chunk(1, 0, 0, self.params, client, played.in_numpy(1))

    def share(self, rs: Any) -> float:
        """RS as a share of the client's range."""
        return float(share_of_range(self.dyad.client, rs))

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        reached = "success"
        if self.dyad.success_time is not None:
            reached = f"success in session {int(sessions_to_success(self.dyad))}"
        if bool(self.dyad.dropped_out):
            before = f"{reached}, then " if self.dyad.success else ""
            return f"{before}dropout: the client is worse off than at the start and leaves"
        if bool(self.dyad.success):
            return reached + ", then relapse" * bool(relapsed(self.dyad, self.params))
        return "out of sessions" if self.over else "stopped"


def _repeating(acts: Any) -> Therapist:
    """Does these acts, one after the other."""
    return Therapist(
        lambda key, session, view: (session + 1, acts[session]), begin=lambda params: jnp.int32(0)
    )


def _doing(act: Any) -> Therapist:
    """Does this act."""
    return Therapist(lambda key, memory, view: (memory, act), counts=True)  # a policy may ask


@jax.jit
def _intake(key: Any, params: ClientParams) -> Meeting:
    return begin(key, 0, _doing(None), params)


@jax.jit
def _session(
    key: Any, time: Any, before: Meeting, act: Any, params: ClientParams
) -> tuple[Meeting, Course]:
    return session(key, time, 0, before, _doing(act), params)
