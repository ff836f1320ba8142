"""An evaluation with everything in it, made up without playing any therapy."""

import math

from jaxtherapy.evaluation.results import (
    ALL_CELLS,
    CLIENT_ACT_KINDS,
    CLIENT_GROUPS,
    OUTCOME_KINDS,
    PHASES,
    QUANTILES,
    SCHEMA,
    Band,
    CellInfo,
    ClientGroup,
    ClientLeaf,
    Condition,
    Course,
    Curve,
    DifferenceRow,
    Episode,
    Estimate,
    Evaluation,
    Excess,
    ForWhom,
    GroupInfo,
    ImprovementRow,
    MetricInfo,
    OutcomeRow,
    PropertyEffect,
    ResponseMap,
    SeedsRow,
    Shape,
    Strand,
    TherapistInfo,
)

HOSTILE = "</script><img src=x onerror=alert(1)> $x$ & \"q\" 'p' \u2028 {{body}}"
"""A name that breaks out wherever it is not escaped."""

SESSIONS, POINTS = 12, 5
METRICS = (
    MetricInfo("success", "success", "share of therapies", "higher", "Wilson"),
    MetricInfo("sessions_to_success", "sessions to success", "sessions", "lower", "bootstrap"),
    MetricInfo("reward", "reward", "points", "higher", "bootstrap"),
    MetricInfo("final_rs", "final RS", "share of the client's range", "higher", "bootstrap"),
)


def estimate(value, scale=1.0):
    return Estimate(value * scale, value * scale - 0.05 * scale, value * scale + 0.05 * scale, 0.02)


def curve(length, level, n=50):
    values = [level + 0.1 * math.cos(6 * place / length) for place in range(length)]
    low, high = [v - 0.05 for v in values], [v + 0.05 for v in values]
    return Curve(values, low, high, [10 * n] * length, [n] * length)


def strand(length, level, intake, n=50):
    def kinds(scale):
        def one():
            return {kind: curve(length, level * scale, n) for kind in CLIENT_ACT_KINDS}

        return {"enacted": one(), "heard": one()}

    def band(low):
        steps = [low + 0.01 * place for place in range(length + intake)]
        spread = dict(zip(QUANTILES, (-0.1, -0.05, 0, 0.05, 0.1), strict=True))
        quantiles = {name: [max(0.0, v + s) for v in steps] for name, s in spread.items()}
        return Band(mean=steps, n=[n] * len(steps), **quantiles)

    return Strand(kinds(1), kinds(3), band(0.5), band(0.2))


def for_whom(name):
    by_group = dict.fromkeys(CLIENT_GROUPS, estimate(0.3)) | {"both": Estimate(None, None, None)}
    conditions = [Condition("gain_of_best", above, 0.25) for above in (False, True)]
    return ForWhom(
        name,
        "complementary",
        repeated=50,
        groups=[ClientGroup(group, 25, estimate(0.25), estimate(0.6)) for group in CLIENT_GROUPS],
        kappa=estimate(0.4),
        effects=[PropertyEffect("gain_of_best", "gain of the best answer", by_group)],
        tree=[ClientLeaf([each], 25, dict.fromkeys(CLIENT_GROUPS, 0.25)) for each in conditions],
    )


def course(name, level):
    shapes = [
        Shape(
            outcome=outcome,
            acts=acts,
            measure=measure,
            episodes=50,
            thirds=[estimate(level + 0.2), estimate(level), estimate(level + 0.2)],
            first_minus_middle=estimate(0.2),
            last_minus_middle=estimate(0.2),
            curvature=estimate(0.3),
            p_curvature=0.001,
            p_high_low_high=0.002 if acts == "enacted" else 0.4,
            beyond_twin=Excess(40, estimate(0.1), estimate(0.1), estimate(0.2), 0.003),
            high_low_high=acts == "enacted",
        )
        for outcome in OUTCOME_KINDS
        for acts in ("enacted", "heard")
        for measure in ("complementarity", "closeness", "positive", "negative")
    ]
    maps = {}
    for phase in PHASES:
        rows = [[0.125] * 8 for _ in range(7)] + [[None] * 8]
        maps[phase] = ResponseMap(rows, [40] * 6 + [2, 0])
    failures = {"failure": strand(SESSIONS, level, 1, n=0)}
    return Course(
        therapist=name,
        window=10,
        episodes={"all": 50, "success": 50, "failure": 0},
        sessions=list(range(1, SESSIONS + 1)),
        times=[(place + 1) / POINTS for place in range(POINTS)],
        by_session={kind: strand(SESSIONS, level, 1) for kind in ("all", "success")} | failures,
        by_time={kind: strand(POINTS, level, 0) for kind in OUTCOME_KINDS},
        shapes=shapes,
        response_maps=maps,
    )


def episode(name, cell, client, reason):
    rs = [0.5 + 0.01 * place for place in range(SESSIONS)]
    return Episode(
        therapist=name,
        cell=cell,
        client=client,
        reason=reason,
        outcome="success",
        sessions=SESSIONS,
        threshold=0.6,
        reward=100.0,
        initial_rs=0.49,
        initial_bond=0.2,
        client_act=[place % 8 for place in range(SESSIONS)],
        therapist_act=[(3 * place) % 8 for place in range(SESSIONS)],
        heard_act=[2] * SESSIONS,
        rs=rs,
        bond=[value / 2 for value in rs],
    )


def small_evaluation(label=HOSTILE):
    """Two seeds and two baselines, two cells; ``label`` names the trained group."""
    levels = {"study/seed_1": 0.6, "study/seed_2": 0.7, "complementary": 0.5, "random": 0.1}
    cells = [
        CellInfo(f"{pattern}/cell", pattern, pattern, "bond_only", 0.6, 0.5, "random")
        for pattern in ("cold_stuck", "cold_warm")
    ]
    scales = {"sessions_to_success": 50, "reward": 200}
    places = [*[cell.id for cell in cells], ALL_CELLS]

    def metrics(level):
        return {each.id: estimate(level, scales.get(each.id, 1.0)) for each in METRICS}

    outcomes = [
        OutcomeRow(name, place, 50, int(50 * level), metrics(level))
        for name, level in levels.items()
        for place in places
    ]
    nothing = Estimate(None, None, None)
    outcomes[-1].metrics["sessions_to_success"] = nothing
    differences = [
        DifferenceRow(
            name, "complementary", place, each.id, estimate(level - 0.5), 0.01, 0.02, level > 0.5
        )
        for name, level in levels.items()
        if name != "complementary"
        for place in places
        for each in METRICS
    ]
    groups = [
        GroupInfo("study", label, "policy", ["study/seed_1", "study/seed_2"]),
        GroupInfo("complementary", "complementary", "baseline", ["complementary"]),
        GroupInfo("random", "random", "baseline", ["random"]),
    ]
    therapists = [
        TherapistInfo(
            f"study/seed_{seed}",
            f"{label}/{seed}",
            "policy",
            "study",
            seed,
            "a.pth",
            deterministic=seed == 2,
        )
        for seed in (1, 2)
    ] + [TherapistInfo(name, name, "baseline", name) for name in ("complementary", "random")]
    seeds = [
        SeedsRow(
            g.id,
            metric,
            len(g.therapists),
            iqm=estimate(0.6),
            mean=estimate(0.6),
            by_seed=[0.6, 0.7][:n],
            iqm_by_seed=[0.61, 0.71][:n],
        )
        for metric in ("success", "reward")
        for g in groups
        for n in [len(g.therapists)]
    ]
    return Evaluation(
        schema=SCHEMA,
        name=label,
        settings={
            "episodes": 50,
            "seed": 0,
            "confidence": 0.95,
            "course_episodes": 50,
            "max_sessions": SESSIONS,
            "reference": "complementary",
            "clients": {"enable_parataxic": True},
        },
        run={"command": f"evaluate {label}", "versions": {"jax": "0"}, "commit": "abc"},
        therapists=therapists,
        groups=groups,
        cells=cells,
        metrics=list(METRICS),
        outcomes=outcomes,
        differences=differences,
        seeds=seeds,
        improvement=[ImprovementRow("study", "random", "success", estimate(0.9))],
        for_whom=[for_whom(name) for name in levels if name != "complementary"],
        courses=[course(name, level) for name, level in levels.items() if name != "random"],
        episodes=[
            episode(name, cells[client].id, client, "shared")
            for name in levels
            for client in (0, 1)
        ],
    )
