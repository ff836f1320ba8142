"""What an evaluation finds: the schema of ``evaluation.json``.

The JSON is one :class:`Evaluation`, field by field as below; whatever is not a finite number is
``null``. Acts are octant indices 0..7 (D WD W WS S CS C CD). RS is always the share of the client's
own utility range, 0..1. Therapists, groups, cells and metrics are referred to by ``id``; the cell
``"all"`` is the average over cells. Everything is computed on the same clients for every therapist.
"""

from dataclasses import dataclass, field
from typing import Any

SCHEMA = "jaxtherapy.evaluation/3"
ALL_CELLS = "all"
ACT_KINDS = ("enacted", "heard")
CLIENT_ACT_KINDS = ("any", "warm", "cold")
OUTCOME_KINDS = ("all", "success", "failure")
PHASES = ("early", "middle", "late")
QUANTILES = ("q05", "q25", "q50", "q75", "q95")
Numbers = list[float | None]
CLIENT_GROUPS = ("both", "neither", "only_therapist", "only_reference")
"""Of clients, by who succeeds with them."""


@dataclass
class Estimate:
    """A number with its interval (``Evaluation.settings["confidence"]``) and standard error."""

    estimate: float | None
    low: float | None
    high: float | None
    se: float | None = None


@dataclass
class TherapistInfo:
    """Who was evaluated.

    Attributes:
        id: unique, used everywhere else; ``label`` is for readers.
        kind: ``policy``, ``baseline`` or ``custom``.
        group: id of its group: the seeds of an experiment are one group, all others are alone.
        file: the weights, or ``module:function``.
        experiment: folder of the experiment with ``config.yaml``, if known.
        log: the experiment's CSV log of this seed, if it was found (for learning curves).
        deterministic: of a policy, whether it took its most likely act; else its acts were sampled.
        answers: of a map that was searched for, the name of the baseline that it is.
    """

    id: str
    label: str
    kind: str
    group: str
    seed: int | None = None
    file: str | None = None
    experiment: str | None = None
    log: str | None = None
    hidden_size: int | None = None
    deterministic: bool | None = None
    answers: str | None = None

    @classmethod
    def alone(cls, name: str, kind: str = "baseline", **more: Any) -> "TherapistInfo":
        """One that is a group of its own."""
        return cls(name, name.replace("_", " "), kind, name, **more)


@dataclass
class GroupInfo:
    """Therapists that differ only in their seed."""

    id: str
    label: str
    kind: str
    therapists: list[str]


@dataclass
class CellInfo:
    """One kind of client. ``matrix``: ``random``, a name, or ``given N`` (``matrix_values``); a
    number that clients draw is a text, as it would be given behind a flag."""

    id: str
    label: str
    pattern: str
    mechanism: str
    threshold: float | str
    entropy: float | str
    matrix: str
    matrix_values: list[list[float]] | None = None


@dataclass
class MetricInfo:
    """A number that describes therapies. ``better``: ``higher``, ``lower`` or null."""

    id: str
    label: str
    unit: str
    better: str | None
    interval: str  # how its interval is made, in words

    @property
    def is_share(self) -> bool:
        """Whether it is shown in per cent."""
        return self.unit.startswith("share of therapies")


@dataclass
class OutcomeRow:
    """A therapist in a cell, or over all of them (``cell == "all"``)."""

    therapist: str
    cell: str
    episodes: int
    successes: int
    metrics: dict[str, Estimate]  # by metric id


@dataclass
class DifferenceRow:
    """Therapist minus reference, paired: the same clients.

    Attributes:
        p: two-sided; null if there is too little to test (fewer than ten successes).
        p_holm: corrected within its family: all therapists of one metric, once over cells and once
            for ``all``. It is ``significant`` below ``1 − confidence``.
    """

    therapist: str
    reference: str
    cell: str
    metric: str
    difference: Estimate
    p: float | None
    p_holm: float | None
    significant: bool


@dataclass
class SeedsRow:
    """A group over its seeds: interquartile mean of scores over seeds × cells."""

    group: str
    metric: str
    n_seeds: int
    iqm: Estimate
    mean: Estimate
    by_seed: Numbers  # mean over cells, in the order of the group's therapists
    iqm_by_seed: Numbers  # interquartile mean over cells


@dataclass
class ImprovementRow:
    """P(a seed of ``group`` scores above a seed of ``over``), averaged over cells."""

    group: str
    over: str
    metric: str
    probability: Estimate


@dataclass
class Curve:
    """A pooled share or mean along sessions or normalised time, with pointwise intervals: null
    where nothing was observed. ``n`` sessions, of so many therapies, entered each point."""

    value: Numbers
    low: Numbers
    high: Numbers
    n: list[int]
    therapies: list[int]


@dataclass
class Band:
    """Quantiles over therapies of RS or bond along sessions or normalised time."""

    mean: Numbers
    q05: Numbers
    q25: Numbers
    q50: Numbers
    q75: Numbers
    q95: Numbers
    n: list[int]


@dataclass
class Strand:
    """The therapies of one outcome kind, along one axis.

    Attributes:
        complementarity: ``[enacted|heard][any|warm|cold]`` share of complementary acts in a sliding
            window; warm and cold are the client's acts.
        distance: same, mean octant distance (0..4) from the complement.
    """

    complementarity: dict[str, dict[str, Curve]]
    distance: dict[str, dict[str, Curve]]
    rs: Band
    bond: Band


@dataclass
class Excess:
    """What a therapist shows beyond its twin, its stationary control, paired by client: ``pairs``
    clients had long enough therapies that ended in this way with both. Therapist minus twin, and
    the p of the intersection–union test that all three are positive."""

    pairs: int
    first_minus_middle: Estimate
    last_minus_middle: Estimate
    curvature: Estimate
    p: float | None


@dataclass
class Shape:
    """Tracey's (1993) high–low–high, for one outcome kind, act kind and measure.

    Attributes:
        measure: ``complementarity`` (share), ``closeness`` (1 − distance/4), or the shares of
            sessions with ``positive`` (warm acts) or ``negative`` (cold acts) complementarity.
        episodes: therapies long enough to enter.
        thirds: mean in the first, middle and last third of therapies.
        first_minus_middle, last_minus_middle: within therapies.
        curvature: mean quadratic coefficient on normalised time [−1, 1]; positive is U-shaped.
        p_curvature: two-sided test of no curvature.
        p_high_low_high: of the intersection–union test that curvature and both differences are
            positive. Therapies stop at success, which can bend them by itself.
        beyond_twin: the same against the therapist's twin; null if none was played.
        high_low_high: ``p_high_low_high`` and ``beyond_twin.p`` both below ``1 − confidence``.
    """

    outcome: str
    acts: str
    measure: str
    episodes: int
    thirds: list[Estimate]
    first_minus_middle: Estimate
    last_minus_middle: Estimate
    curvature: Estimate
    p_curvature: float | None
    p_high_low_high: float | None
    beyond_twin: Excess | None
    high_low_high: bool


@dataclass
class ResponseMap:
    """P(therapist act | client act) in one phase of therapy (its third)."""

    probability: list[Numbers]  # [client act][therapist act]; null rows for acts never shown
    count: list[int]  # of each client act


@dataclass
class Course:
    """The course of therapy of one therapist, over all cells, with other clients in each cell.

    Attributes:
        episodes: by outcome kind.
        sessions: 1..max_sessions, the axis of ``by_session`` curves; its bands have one entry
            more, for intake (session 0). Only therapies still going enter a session.
        times: shares of a therapy's own length, the axis of ``by_time``. Every therapy enters.
        by_session, by_time: by outcome kind.
        response_maps: ``early``, ``middle``, ``late``.
    """

    therapist: str
    window: int
    episodes: dict[str, int]
    sessions: list[int]
    times: list[float]
    by_session: dict[str, Strand]
    by_time: dict[str, Strand]
    shapes: list[Shape]
    response_maps: dict[str, ResponseMap]


@dataclass
class Episode:
    """One therapy to replay. Lists have one entry per session; RS and bond after it.

    Attributes:
        client: number of the client; the same number is the same client for every therapist.
        reason: why it was chosen: ``shared`` (the same client for every therapist), ``fastest
            success``, ``typical success``, ``typical failure``, ``dropout``.
        outcome: ``success``, ``dropout`` or ``out of sessions``.
        threshold: RS share at which therapy succeeds.
    """

    therapist: str
    cell: str
    client: int
    reason: str
    outcome: str
    sessions: int
    threshold: float
    reward: float
    initial_rs: float
    initial_bond: float
    client_act: list[int]
    therapist_act: list[int]
    heard_act: list[int]
    rs: list[float]
    bond: list[float]


@dataclass
class PlannerResult:
    """The planner with the first ``episodes`` clients of each cell, and the others with the same.

    Attributes:
        therapist: its id in these rows; the others are all therapists of the evaluation.
        interval, simulations, seed: how it planned, see :class:`~jaxtherapy.envs.planner.Planner`.
        differences: of the others to the planner.
    """

    therapist: str
    episodes: int
    interval: int
    simulations: int
    seed: int
    seconds: float
    outcomes: list[OutcomeRow]
    differences: list[DifferenceRow]


@dataclass
class ClientGroup:
    """Clients who succeed with the same therapists, of ``CLIENT_GROUPS``, over all cells; ``again``
    is the share in the same group again, of those who were treated again with other luck."""

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
    """Clients whom all conditions hold for, of those that the tree was not grown on."""

    conditions: list[Condition]
    clients: int
    shares: dict[str, float | None]


@dataclass
class ForWhom:
    """Which clients succeed with a therapist, which with the reference.

    Attributes:
        repeated: clients of each cell, treated again: the same person and history, other luck.
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


@dataclass
class Evaluation:
    """All of it.

    Attributes:
        settings: ``episodes`` (per cell), ``seed``, ``confidence``, ``bootstrap_samples``,
            ``course_episodes``, ``max_sessions``, ``reference``, and ``clients``: the client
            parameters that all cells share; ``fitted_map``: how a map was searched for.
        run: command, versions, device, commit, time stamps, seconds.
        seeds, improvement: intervals are null with fewer than five seeds on a side that has
            several, or with a single seed on both.
        planner: null unless it was asked for.
    """

    schema: str
    name: str
    settings: dict[str, Any]
    run: dict[str, Any]
    therapists: list[TherapistInfo]
    groups: list[GroupInfo]
    cells: list[CellInfo]
    metrics: list[MetricInfo]
    outcomes: list[OutcomeRow]
    differences: list[DifferenceRow]
    seeds: list[SeedsRow] = field(default_factory=list)
    improvement: list[ImprovementRow] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    planner: PlannerResult | None = None
    for_whom: list[ForWhom] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        """What readers call each therapist."""
        return {each.id: each.label for each in self.therapists}

    @property
    def groups_by_id(self) -> dict[str, GroupInfo]:
        """The groups."""
        return {group.id: group for group in self.groups}

    @property
    def metrics_by_id(self) -> dict[str, MetricInfo]:
        """The metrics."""
        return {metric.id: metric for metric in self.metrics}

    @property
    def estimates(self) -> dict[tuple[str, str], dict[str, Estimate]]:
        """The metrics of each therapist in each cell, and in ``"all"``."""
        return {(row.therapist, row.cell): row.metrics for row in self.outcomes}

    @property
    def overall(self) -> dict[str, dict[str, Estimate]]:
        """The metrics of each therapist, averaged over cells."""
        return {row.therapist: row.metrics for row in self.outcomes if row.cell == ALL_CELLS}

    @property
    def courses_by_therapist(self) -> dict[str, Course]:
        """The courses of therapy."""
        return {course.therapist: course for course in self.courses}

    def overall_differences(self, metric: str) -> dict[str, DifferenceRow]:
        """A metric minus the reference's, averaged over cells, by therapist."""
        rows = (row for row in self.differences if row.cell == ALL_CELLS)
        return {row.therapist: row for row in rows if row.metric == metric}
