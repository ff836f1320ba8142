"""What an evaluation says about which clients succeed with whom; a part of its results."""

from dataclasses import dataclass

from jaxtherapy.evaluation.estimate import Estimate

CLIENT_GROUPS = ("both", "neither", "only_therapist", "only_reference")
"""Of clients, by who succeeds with them."""


@dataclass
class ClientGroup:
    """Clients who succeed with the same therapists.

    Attributes:
        group: of ``CLIENT_GROUPS``.
        clients: over all cells.
        share: of all.
        again: of those who were treated again with other luck, the share in the same group again.
    """

    group: str
    clients: int
    share: Estimate
    again: Estimate


@dataclass
class PropertyEffect:
    """Cohen's d of a property by group: its clients against all others."""

    property: str
    label: str
    by_group: dict[str, Estimate]


@dataclass
class Condition:
    """A property ``above`` a value, or not."""

    property: str
    above: bool
    value: float


@dataclass
class ClientLeaf:
    """Clients whom all conditions hold for; they and their shares by group are of those that the
    tree was not grown on."""

    conditions: list[Condition]
    clients: int
    shares: dict[str, float | None]


@dataclass
class ForWhom:
    """Which clients succeed with a therapist, which with the reference.

    Attributes:
        repeated: clients of each cell who were treated again: the same person and history, other
            luck in all sessions.
        kappa: Cohen's, of the groups at first and again; 0 is chance, 1 that luck decides nothing.
        tree: its leaves, by properties at intake.
    """

    therapist: str
    reference: str
    repeated: int
    groups: list[ClientGroup]
    kappa: Estimate
    effects: list[PropertyEffect]
    tree: list[ClientLeaf]
