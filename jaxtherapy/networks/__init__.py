"""The actor-critic (Flax NNX): from what the therapist sees to acts and values."""

from jaxtherapy.networks.networks import (
    N_FEATURES as N_FEATURES,
)
from jaxtherapy.networks.networks import (
    N_HISTORY_FEATURES as N_HISTORY_FEATURES,
)
from jaxtherapy.networks.networks import (
    Actor as Actor,
)
from jaxtherapy.networks.networks import (
    ActorCritic as ActorCritic,
)
from jaxtherapy.networks.networks import (
    Critic as Critic,
)
from jaxtherapy.networks.networks import (
    Precision as Precision,
)
from jaxtherapy.networks.networks import (
    TherapyNet as TherapyNet,
)
from jaxtherapy.networks.networks import (
    look_up as look_up,
)
from jaxtherapy.networks.networks import (
    make_therapy_networks as make_therapy_networks,
)
from jaxtherapy.networks.networks import (
    product as product,
)
