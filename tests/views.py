"""Views of a dyad that only tests have."""

from jaxtherapy.envs import observations
from jaxtherapy.envs.observations import View

BOND_VIEW = View(
    lambda dyad, params: {
        "bond": dyad.client.bond,
        "share": dyad.client.utilities[0, :2],
    }
)
"""What no therapist may see."""


def with_view(monkeypatch, **views):
    """More views to choose from."""
    known = dict(observations.VIEWS)
    for module in ("jaxtherapy.networks.actor_critic", "jaxtherapy.ppo.views"):
        monkeypatch.setattr(f"{module}.VIEWS", known | views)
