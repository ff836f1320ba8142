"""What goes with the weights: what they were trained on, how good they are, by which command."""

import shlex
from collections.abc import Sequence
from typing import Any

from jaxtherapy.config import SETTINGS, TrainingConfig, as_given
from jaxtherapy.ppo.types import EvalResult

TITLE = "# Model card: "


def model_card(
    config: TrainingConfig,
    info: dict[str, Any],
    names: Sequence[str],
    outcomes: EvalResult,
    verdict: str,
) -> str:
    """The card, in Markdown: of the configuration in force at the end (its schedules as they are),
    ``run.json``, the therapists that were compared, and a verdict in a sentence or two."""
    clients, learning = (_table(config, of_clients) for of_clients in (True, False))
    seeds = f"seed {config.seed}" if config.n_seeds == 1 else f"each of {config.n_seeds} seeds"
    commit = info.get("commit") or "no commit known"
    versions, device = (info.get(name, {}) for name in ("versions", "device"))
    return f"""{TITLE}{config.experiment_name}

A therapist for simulated clients, the CIIT–Tracey model of a person in therapy, trained by PPO with
jaxtherapy. It knows nothing of people, and no outcome here says anything about a real therapy.

## How good it is

On the same clients, new to all:

| therapist | success | dropout | sessions | reward |
|---|---|---|---|---|
{_comparison(names, outcomes)}

{verdict}

## What it was trained on

{info.get("steps", 0):,} sessions of {seeds}, with clients of

{clients}

and, where they are not the defaults,

{learning}

`config.yaml` has every setting.

## How it was made

* `{info.get("command", "")}`
* jaxtherapy {versions.get("jaxtherapy")} ({commit}), JAX {versions.get("jax")}
* {device.get("kind")}, {info.get("train_seconds", 0):,.0f} s, ended {info.get("ended")}

## How to use it

```
python -m jaxtherapy.evaluate {shlex.quote(str(config.output_path))}
```

`jaxtherapy.load_policy` gives the function; `policy_best.pth` is a PyTorch state dict.
"""


def _comparison(names: Sequence[str], outcomes: EvalResult) -> str:
    columns = outcomes.success_rate, outcomes.dropout_rate, outcomes.length_mean
    rows = zip(names, *columns, outcomes.reward_mean, strict=True)
    return "\n".join(
        f"| {name} | {success:.1%} | {dropout:.1%} | {sessions:.1f} | {reward:.1f} |"
        for name, success, dropout, sessions, reward in rows
    )


def _table(config: TrainingConfig, of_clients: bool) -> str:
    """Settings of the clients, or those others that are not the defaults."""
    rows = [
        f"| {name} | {as_given(getattr(config, name))} |"
        for name, about in SETTINGS.items()
        if about.in_file
        and about.of_clients == of_clients
        and (of_clients or getattr(config, name) != about.default)
    ]
    return "\n".join(["| setting | value |", "|---|---|", *rows])
