"""The simulated client: the model of a person, without any reinforcement learning.

>>> import jax
>>> from jaxtherapy.client import ClientParams, simulate, therapists
>>> params = ClientParams(threshold=0.7)
>>> dyads = simulate(jax.random.key(0), params, therapists.complementary, n_dyads=1_000)
>>> bool(dyads.success.mean() > 0.5)
True
"""

from jaxtherapy.client import therapists as therapists
from jaxtherapy.client.client import Client as Client
from jaxtherapy.client.client import ClientParams as ClientParams
from jaxtherapy.client.dyad import Dyad as Dyad
from jaxtherapy.client.dyad import Observation as Observation
from jaxtherapy.client.dyad import Therapist as Therapist
from jaxtherapy.client.dyad import hold_session as hold_session
from jaxtherapy.client.dyad import intake as intake
from jaxtherapy.client.dyad import observe as observe
from jaxtherapy.client.expectations import MECHANISMS as MECHANISMS
from jaxtherapy.client.octants import OCTANTS as OCTANTS
from jaxtherapy.client.patterns import PATTERNS as PATTERNS
from jaxtherapy.client.patterns import pattern_weights as pattern_weights
from jaxtherapy.client.simulation import simulate as simulate
from jaxtherapy.client.simulation import simulate_course as simulate_course
from jaxtherapy.client.utilities import NAMED_MATRICES as NAMED_MATRICES
