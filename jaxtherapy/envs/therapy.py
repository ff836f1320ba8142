"""The therapy as a gymnax (≥ 1.0) environment: the therapist acts, the client is the world."""

import os
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxtherapy.client import dyad as dyads
from jaxtherapy.client.dyad import HISTORY_PADDING, HISTORY_SIZE, Dyad, Observation
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.client.params import ClientParams, clients_of
from jaxtherapy.config import TrainingConfig
from jaxtherapy.config.distributions import largest
from jaxtherapy.envs.info import info
from jaxtherapy.envs.rewards import reward

try:
    from gymnax.environments import environment, spaces
except ModuleNotFoundError:
    raise ImportError(
        "TherapyEnv needs gymnax: pip install 'jaxtherapy[gymnax]'", name="gymnax"
    ) from None

ID = "Therapy-v0"


class TherapyEnv(environment.Environment[Dyad, ClientParams]):
    """One step is one session: the pending client act, answered by the therapist.

    The state is a :class:`~jaxtherapy.client.dyad.Dyad`, the parameters are
    :class:`~jaxtherapy.client.params.ClientParams`; every numeric leaf of both can be vmapped.
    """

    @property
    def default_params(self) -> ClientParams:
        """The client of the defaults."""
        return ClientParams()

    def reset_env(self, key: PRNGKeyArray, params: ClientParams) -> tuple[Observation, Dyad]:
        """A new client, who acts first."""
        state = dyads.intake(key, params)
        return dyads.observe(state, params), state

    def step_env(
        self, key: PRNGKeyArray, state: Dyad, action: Int[Array, ""], params: ClientParams
    ) -> tuple[Observation, Dyad, Float[Array, ""], Bool[Array, ""], dict[str, Any]]:
        """One session, without auto-reset.

        Returns:
            The observation, the state, the reward, whether the therapy came to its own end
            (``is_truncated`` tells whether the sessions ran out), and what stays hidden as info.
        """
        after = dyads.hold_session(key, state, jnp.asarray(action), params)
        told = info(after, params, state.client_act, action)
        observation = dyads.observe(after, params)
        return observation, after, reward(after, params), dyads.terminated(after), told

    def observe(
        self, key: PRNGKeyArray, state: Dyad, action: Any, params: ClientParams
    ) -> Observation:
        """The therapist's view of a state."""
        return dyads.observe(state, params)

    def is_terminated(self, state: Dyad, params: ClientParams) -> Bool[Array, ""]:
        """Success or dropout."""
        return dyads.terminated(state)

    def is_truncated(self, state: Dyad, params: ClientParams) -> Bool[Array, ""]:
        """The sessions ran out first."""
        return dyads.truncated(state, params)

    @property
    def name(self) -> str:
        """The environment's name."""
        return "jaxtherapy"

    @property
    def num_actions(self) -> int:
        """One act per octant."""
        return N_OCTANTS

    def action_space(self, params: ClientParams | None = None) -> spaces.Discrete:
        """The therapist's octants."""
        return spaces.Discrete(N_OCTANTS)

    def observation_space(self, params: ClientParams) -> spaces.Dict:
        """See :class:`~jaxtherapy.client.dyad.Observation`."""
        return spaces.Dict(
            {
                "client_action": spaces.Discrete(N_OCTANTS),
                "session_number": spaces.Box(0.0, 1.0, (1,), jnp.float32),
                "history": spaces.Box(0, HISTORY_PADDING, (HISTORY_SIZE,), jnp.int8),
            }
        )

    def state_space(self, params: ClientParams) -> spaces.Dict:
        """The hidden state that has bounds worth stating."""
        return spaces.Dict(
            {
                "client_act": spaces.Discrete(N_OCTANTS),
                "time": spaces.Box(0, largest(params.max_sessions), (), jnp.int32),
            }
        )


def make(
    env_id: str = ID, config: TrainingConfig | str | os.PathLike[str] | None = None, **settings: Any
) -> tuple[TherapyEnv, ClientParams]:
    """Environment and parameters, as ``gymnax.make`` gives those of gymnax.

    Args:
        env_id: ``"Therapy-v0"``.
        config: whose clients come: a training's configuration or its file. Default clients without.
        **settings: of clients, over the configuration: ``threshold=0.6``.

    Raises:
        ConfigError: a setting that can't be used.
        ValueError: another environment.
    """
    if env_id != ID:
        raise ValueError(f"unknown environment {env_id!r}; there is {ID!r}")
    return TherapyEnv(), clients_of(config, **settings)
