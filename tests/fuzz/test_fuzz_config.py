"""Whatever users type: the configuration loader and the command line.

Every input ends in a configuration within bounds or in one line of ``ConfigError``. Inputs are
mutations of valid files and command lines, so that they get past the first check.
"""

import math
import os
import random
import shutil
import string
from pathlib import Path

import pytest

from jaxtherapy import config as configuration
from jaxtherapy.cli.train import read_configuration
from jaxtherapy.config import ConfigError, Schedule, TrainingConfig, load_config
from jaxtherapy.errors import RunError
from jaxtherapy.storage import resume
from jaxtherapy.storage.run_files import RunFiles

DATA = Path(__file__).parents[1] / "data"
N_INPUTS = int(os.environ.get("JAXTHERAPY_FUZZ_INPUTS", "2000"))

SCALARS = [
    "0", "-1", "1", "1e6", "3e-4", "1e999", "-1e999", ".nan", ".inf", "-.inf", "0x7fffffff",
    "1_000", "1:30", "9" * 400, "0.1", "true", "no", "null", "~", "''", '"\\u0000"', '"\\ud800"',
    "größe", "日本", "🙂", "../../etc", "/", ".", "{experiment_name}", "%s%n", "$(true)",
    "2024-01-01", "2024-99-99", "!!binary aGk=", "!!python/object:os.system {}", "!!set {a}",
    "!!float x", "!!int ''", "!!timestamp x", "[", "{", "*a", "&a [*a]", "[1, [2, [3]]]", "{a: 1}",
    "[[1,2],[3,4]]", "cold_stuck", "[cold_stuck, cold_warm]", "average", "|", ">", "? x", "- 1",
    "1e16", "1e300", "a" * 300, "[" * 50, "[" * 3000, "<<: {}", "@", "`", "\t",
    "{linear: [1, 0.5]}", "{cosine: [0.5, 0]}", "{exponential: [1e-3, 0.9], over: 1e3}", "0042",
    "{exponential: [0, -1]}", "{linear: [1e-300, 1], over: 0}", "{linear: {cosine: 1}}",
]  # fmt: skip


def one_line(error: Exception) -> bool:
    text = str(error)
    return "\n" not in text and 0 < len(text) < 10_000  # paths may have 4096 characters


def within_bounds(config: TrainingConfig) -> bool:
    for name, about in configuration.SETTINGS.items():
        value = getattr(config, name)
        if isinstance(value, Schedule):
            assert value.over >= 1
        ends = (value.start, value.end) if isinstance(value, Schedule) else (value,)
        for each in (*ends, getattr(config.at_end(), name)):
            if isinstance(each, float | int) and not isinstance(each, bool):
                assert math.isfinite(each)
                assert about.minimum <= each <= about.maximum and each > about.above, name
    return True


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data = data[:at]
        elif kind == 1 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at:at] = rng.choice(SCALARS).encode()
        elif kind == 3:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 6)))
        else:
            end = min(len(data), at + rng.randint(1, 40))
            data[at:at] = data[at:end]
    return bytes(data)


def random_file(rng: random.Random, valid: list[bytes]) -> bytes:
    kind = rng.randrange(3)
    if kind == 0:
        return mutate_bytes(rng, rng.choice(valid))
    names = [*configuration.SETTINGS, *configuration.ALIASES, *configuration.IGNORED]
    lines = []
    for _ in range(rng.randint(0, 5)):
        name = rng.choice(names)
        if rng.random() < 0.1:
            name = mutate_bytes(rng, name.encode()).decode(errors="replace")
        lines.append(f"{name}: {rng.choice(SCALARS)}")
    return "\n".join(lines).encode(errors="replace")


def test_configuration_files(tmp_path, request):
    rng = random.Random(20_241)
    valid = [path.read_bytes() for path in (request.config.rootpath / "configs").glob("*.yaml")]
    path = tmp_path / "fuzz.yaml"
    accepted = refused = 0
    for _ in range(N_INPUTS):
        contents = random_file(rng, valid)
        path.write_bytes(contents)
        try:
            assert within_bounds(load_config(path))
            accepted += 1
        except ConfigError as error:
            assert one_line(error), contents
            refused += 1
    assert accepted > N_INPUTS // 20 and refused > N_INPUTS // 20


def random_arguments(rng: random.Random) -> list[str]:
    arguments = []
    for _ in range(rng.randint(0, 4)):
        name = configuration.flag(rng.choice([*configuration.SETTINGS, "config", "help-me", "x"]))
        if rng.random() < 0.1:
            name = name[: rng.randrange(len(name) + 1)]
        if rng.random() < 0.1:
            name = name.replace("--", "--no-", 1)
        value = rng.choice(SCALARS)
        if rng.random() < 0.3:
            value = "".join(rng.choices(string.printable + "é\0\ud800", k=rng.randint(0, 8)))
        arguments += rng.choice([[name, value], [f"{name}={value}"], [name], [value]])
    return arguments


def test_command_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(20_242)
    accepted = refused = 0
    for _ in range(N_INPUTS):
        arguments = random_arguments(rng)
        try:
            config, _ = read_configuration(arguments)
            assert within_bounds(config)
            accepted += 1
        except ConfigError as error:
            assert one_line(error), arguments
            refused += 1
        except SystemExit as end:  # -h shows the help
            assert end.code == 0
    assert accepted > N_INPUTS // 50 and refused > N_INPUTS // 20
    assert list(tmp_path.iterdir()) == []


def an_experiment(folder: Path, rng: random.Random) -> list[str]:
    """As far as a start looks into it; returns paths that somebody might try to continue from."""
    output = folder / "models/therapy_ppo"
    for step in ("16", "32"):
        (output / "checkpoints" / step).mkdir(parents=True)
    (output / "config.yaml").write_text("n_envs: 2\n")
    for name in ("checkpoint_16.pth", "policy_best.pth", "policy_final.pth"):
        shutil.copy(DATA / "tianshou_policy.pth", output / name)
    shutil.copy(DATA / "tianshou_checkpoint.pth", folder / "alone.pth")
    (output / "checkpoint_32.pth").write_bytes(rng.randbytes(100))
    (folder / "hollow/checkpoints/x").mkdir(parents=True)
    (folder / "hollow/config.yaml").write_text("n_envs: [")
    (folder / "loop.pth").symlink_to("loop.pth")
    return [".", "alone.pth", "loop.pth", "nowhere.pth", "hollow", "hollow/config.yaml"] + [
        str(path.relative_to(folder)) for path in (folder / "models").rglob("*")
    ]


def test_starts(tmp_path, monkeypatch):
    """After the configuration comes what it is to continue from; nothing is written on the way."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(20_244)
    paths = an_experiment(tmp_path, rng)
    before = sorted(tmp_path.rglob("*"))
    started = refused = 0
    for _ in range(N_INPUTS):
        arguments = random_arguments(rng) if rng.random() < 0.5 else []
        for name in rng.choices(["--resume-from", "--resume-from", "--output-dir", "--log-dir"]):
            path = rng.choice(paths)
            if rng.random() < 0.2:
                path = mutate_bytes(rng, path.encode()).decode(errors="replace")
            arguments.append(f"{name}={path}")
        changes = ["--resume", "--overwrite", "--n-envs=2", "--hidden-size=64", "--n-seeds=2"]
        changes += ["--experiment-name=new", "--total-timesteps=16", "--seeds-at-once=1"]
        arguments += rng.sample(changes, rng.randint(0, 5))
        try:
            config = resume.as_trained(read_configuration(arguments)[0])
            for group in RunFiles.of(config).groups(config.seeds_at_once)[:3]:
                resume.find_start(config, group)
            started += 1
        except (ConfigError, RunError) as error:
            assert one_line(error), arguments
            refused += 1
        except SystemExit as end:
            assert end.code == 0
        except BaseException:
            print(arguments)
            raise
    assert started > N_INPUTS // 50 and refused > N_INPUTS // 20
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", SCALARS)
@pytest.mark.parametrize("name", ["patterns", "entropy", "n_envs", "utility_matrix", "output_dir"])
def test_every_odd_value_of_some_settings(name, text):
    try:
        within_bounds(load_config(None, {name: text}))
    except ConfigError as error:
        assert one_line(error)
