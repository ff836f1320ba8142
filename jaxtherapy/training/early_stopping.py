"""Whether a run ends before its last step: at its target, or when nothing gets better."""

from jaxtherapy.config import TrainingConfig
from jaxtherapy.storage.progress import Progress


def count(config: TrainingConfig, progress: Progress, reward: float, success: float) -> None:
    """Notes an evaluation, and whether it is the last; means of the seeds trained together."""
    kept = [*progress.recent_success, success]
    progress.recent_success = kept[-config.target_evaluations :]
    if reward > progress.highest_reward:
        progress.highest_reward, progress.evaluations_since = reward, 0
    else:
        progress.evaluations_since += 1
    over = progress.step >= config.total_timesteps
    progress.ended_early = "" if over else why(config, progress)


def why(config: TrainingConfig, progress: Progress) -> str:
    """Why the evaluations so far are enough; empty if they are not."""
    recent, target = progress.recent_success, config.target_success
    enough = len(recent) >= config.target_evaluations
    if target is not None and enough and min(recent) >= target:
        return f"reached its target, {target:.4g} success in {_evaluations(len(recent))} in a row"
    if config.patience is not None and progress.evaluations_since >= config.patience:
        return f"lost patience, {_evaluations(progress.evaluations_since)} without a better reward"
    return ""


def still(config: TrainingConfig, progress: Progress) -> str:
    """Why a run that had ended early is not to go on; settings may have changed since."""
    return why(config, progress) if progress.ended_early else ""


def how_to_go_on(config: TrainingConfig) -> str:
    """What to give a run that ended early, so that it goes on after all."""
    limits = {"--target-success": config.target_success, "--patience": config.patience}
    return " ".join(f"{flag} null" for flag, limit in limits.items() if limit is not None)


def note(config: TrainingConfig) -> str:
    """What may end the run early, in words; empty if nothing may."""
    ends = []
    if config.target_success is not None:
        held = _evaluations(config.target_evaluations)
        ends.append(f"at {config.target_success:.4g} success in {held} in a row")
    if config.patience is not None:
        ends.append(f"after {_evaluations(config.patience)} without a better reward")
    return f"ends early {' or '.join(ends)}" if ends else ""


def _evaluations(number: int) -> str:
    return f"{number} evaluation" + ("s" if number > 1 else "")
