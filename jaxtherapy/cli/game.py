"""One therapy, played by hand. JAX is loaded when it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtherapy.client.dyad import Dyad
    from jaxtherapy.client.params import ClientParams
    from jaxtherapy.client.therapists import Therapist
    from jaxtherapy.evaluation.study_data import Chunk

Policy = Callable[["Dyad", "ClientParams"], Any]
"""The probabilities of its eight acts, from what it sees of a dyad."""


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
        import jax

        self.params, self._policy, self.sessions = params, policy, list[Session]()
        self._key = jax.random.key(seed)
        self._meeting = _programs()[0](self._key, params)

    @property
    def dyad(self) -> Dyad:
        """The client and what has happened between the two."""
        dyad: Dyad = self._meeting.dyad
        return dyad

    @property
    def over(self) -> bool:
        """Whether the therapy has ended."""
        from jaxtherapy.client.dyad import is_over

        return bool(is_over(self.dyad, self.params))

    @property
    def client_act(self) -> int:
        """The act on the table."""
        return int(self.dyad.client_act)

    def answer(self, act: int) -> Session:
        """Holds a session with this act of the therapist."""
        chances = None
        if self._policy is not None:
            chances = tuple(map(float, self._policy(self.dyad, self.params)))
        time = len(self.sessions) + 1
        self._meeting, now = _programs()[1](self._key, time, self._meeting, act, self.params)
        rs = self.share(float(now.rs))
        acts = int(now.client_act), act, int(now.heard_act)
        self.sessions.append(Session(*acts, rs, float(now.bond), chances))
        return self.sessions[-1]

    def chunk(self) -> Chunk:
        """The therapy so far, as tables are made of it: played again with the same acts."""
        import numpy as np

        from jaxtherapy.evaluation.study_data import Chunk, play_in_full

        acts, client = np.array([each.therapist for each in self.sessions]), np.zeros(1, int)
        played = play_in_full(_repeating, len(acts), self._key, self.params, client, acts)
        return Chunk(1, 0, 0, self.params, client, played.in_numpy(1))

    def share(self, rs: float) -> float:
        """RS as a share of the client's range."""
        low, high = float(self.dyad.client.u_low), float(self.dyad.client.u_high)
        return (rs - low) / (high - low) if high > low else 0.0

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        from jaxtherapy.client.dyad import relapsed, sessions_to_success

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
    import jax.numpy as jnp

    from jaxtherapy.client.therapists import Therapist

    return Therapist(
        lambda key, session, view: (session + 1, acts[session]), begin=lambda params: jnp.int32(0)
    )


@cache
def _programs() -> tuple[Any, Any]:
    """Intake and session of the first client of a key, with a therapist whose act is given."""
    import jax

    from jaxtherapy.client.simulation import Meeting, begin, session
    from jaxtherapy.client.therapists import Therapist

    def doing(act: Any) -> Therapist:
        return Therapist(lambda key, memory, view: (memory, act), counts=True)  # a policy may ask

    def hold(key: Any, time: Any, before: Meeting, act: Any, params: ClientParams) -> Any:
        return session(key, time, 0, before, doing(act), params)

    return jax.jit(lambda key, params: begin(key, 0, doing(None), params)), jax.jit(hold)
