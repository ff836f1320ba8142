"""How memory shapes what the client expects: one file for each mechanism.

``amplification(client, params)`` gives ``k · f[i, j]`` of the adjusted utilities
``u[i, j] · (1 + k · f[i, j])``: (8,) over therapist acts, or (8, 8) where it depends on the
client's own act too; None where utilities are not adjusted.
"""

from jaxtherapy.discovery import Choices

MECHANISMS = Choices(
    "client/mechanisms",
    "amplification",
    first=(
        *("bond_only", "frequency_amplifier", "conditional_amplifier"),
        *("bond_weighted_frequency_amplifier", "bond_weighted_conditional_amplifier"),
    ),
)
