"""What a therapist may see: the act to answer, the session's number, the last 25 sessions."""

from jaxtherapy.client.dyad import observe
from jaxtherapy.envs.observations import View

view = View(observe, encoder="history")
