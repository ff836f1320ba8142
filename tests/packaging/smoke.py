"""Is an installed package whole? Trains and evaluates in the current, empty folder.

Run by try_wheel.py with the Python of an environment that has the package and nothing of ours.
"""

import importlib.metadata
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jaxtherapy as jt

TINY = """
experiment_name: smoke
patterns: [cold_stuck]
threshold: 0.5
max_sessions: 12
total_timesteps: 64
n_envs: 4
n_steps: 8
batch_size: 16
n_epochs: 1
hidden_size: 8
eval_episodes: 4
device: cpu
"""


def run(command, *arguments):
    script = Path(sys.executable).parent / f"jaxtherapy-{command}"
    done = subprocess.run([script, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command} {arguments} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main(checkout):
    assert not Path(jt.__file__).is_relative_to(checkout), jt.__file__
    assert importlib.metadata.version("jaxtherapy") == jt.__version__
    for name in ("py.typed", "client/utility_matrices.json", "reporting/report.html"):
        assert files("jaxtherapy").joinpath(name).is_file(), name
    Path("tiny.yaml").write_text(TINY)
    run("train", "--config", "tiny.yaml")
    run("evaluate", "models/smoke", "--episodes", "10", "--baselines", "complementary")
    assert list(Path("reports").rglob("*.html"))
    try:
        import gymnasium
    except ModuleNotFoundError:
        return
    env = gymnasium.make("jaxtherapy.gym:jaxtherapy/Therapy-v0", max_sessions=3)
    env.reset(seed=0)
    assert [env.step(2)[3] for _ in range(3)] == [False, False, True]


if __name__ == "__main__":
    main(sys.argv[1])
