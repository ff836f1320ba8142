"""What actor and critic see of the clients that a therapist learns from."""

from typing import NamedTuple

import jax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from jaxtherapy.client.dyad import Dyad, counted, intakes
from jaxtherapy.client.params import ClientParams
from jaxtherapy.config.settings import PPO
from jaxtherapy.envs.observations import VIEWS


class Seen(NamedTuple):
    """What actor and critic see; ``own_critic`` is None where both see the same."""

    actor: PyTree
    own_critic: PyTree = None

    @property
    def critic(self) -> PyTree:
        """What the critic sees."""
        return self.actor if self.own_critic is None else self.own_critic


def look(ppo: PPO, dyads: Dyad, clients: ClientParams) -> Seen:
    """The views of many dyads, along a leading axis."""

    def observe(name: str) -> PyTree:
        return jax.vmap(lambda dyad: VIEWS[name].observe(dyad, clients.numbers_of(dyad)))(dyads)

    same = ppo.critic_view == ppo.actor_view
    return Seen(observe(ppo.actor_view), None if same else observe(ppo.critic_view))


def newcomers(
    ppo: PPO, key: PRNGKeyArray, clients: ClientParams, numbers: Int[Array, " n"]
) -> Dyad:
    """New clients of one key, by number, with all that the views need."""
    dyads = intakes(key, clients, numbers)
    counts = VIEWS[ppo.actor_view].counts or VIEWS[ppo.critic_view].counts
    return jax.vmap(counted)(dyads) if counts else dyads
