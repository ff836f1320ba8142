"""The names under which dashboards show the columns of the log; CleanRL's, where it has one."""

import math

TAGS = {
    "train_reward_mean": "charts/episodic_return",
    "train_length_mean": "charts/episodic_length",
    "train_success_rate": "charts/success_rate",
    "train_dropout_rate": "charts/dropout_rate",
    "steps_per_second": "charts/SPS",
    "learning_rate": "charts/learning_rate",
    "test_reward_mean": "eval/episodic_return",
    "test_length_mean": "eval/episodic_length",
    "test_success_rate": "eval/success_rate",
    "test_dropout_rate": "eval/dropout_rate",
    "test_sessions_to_success": "eval/sessions_to_success",
    "policy_loss": "losses/policy_loss",
    "value_loss": "losses/value_loss",
    "entropy": "losses/entropy",
    "approx_kl": "losses/approx_kl",
    "clip_fraction": "losses/clipfrac",
    "explained_variance": "losses/explained_variance",
    "grad_norm": "losses/grad_norm",
}


def tagged(row: dict[str, float]) -> dict[str, float]:
    """The numbers of a row by tag; without those that are none."""
    return {tag: row[name] for name, tag in TAGS.items() if math.isfinite(row.get(name, math.nan))}
