"""What a run relies on, and what others set."""

import jax

from jaxtherapy.devices.pinned import PINNED, pinned


def test_what_others_set_comes_back():
    jax.config.update("jax_numpy_rank_promotion", "raise")
    try:
        with pinned():
            assert jax.config.jax_numpy_rank_promotion == PINNED["jax_numpy_rank_promotion"]
        assert jax.config.jax_numpy_rank_promotion == "raise"
    finally:
        jax.config.update("jax_numpy_rank_promotion", "allow")
