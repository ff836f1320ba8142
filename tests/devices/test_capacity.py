"""How many seeds fit: the estimate against what the compiler counts, and what follows from it."""

from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
from jaxlib import xla_client

import jaxtherapy
from jaxtherapy.config import TrainingConfig, load_config
from jaxtherapy.config.settings import PPO
from jaxtherapy.devices import capacity as memory
from jaxtherapy.devices import layout as devices
from jaxtherapy.devices.programs import compile_quickly, initial_state
from jaxtherapy.errors import RunError
from jaxtherapy.ppo.ppo import train as ppo_train
from jaxtherapy.ppo.types import make_settings
from jaxtherapy.storage import checkpoints
from jaxtherapy.storage.run_files import in_groups
from jaxtherapy.training import trainer
from jaxtherapy.training.summary import Ending
from tests.training import tiny

SHAPES = {
    "two tiny seeds": (2, tiny.TINY),
    "the defaults": (4, {}),
    "many clients": (1, {"n_envs": 256, "n_steps": 32, "batch_size": 2048, "hidden_size": 64}),
}


def of(**settings):
    config = TrainingConfig(**settings)
    return PPO.of(config), make_settings(config)


@cache
def of_a_default_seed():
    return memory.bytes_of_a_seed(*of())


@pytest.fixture
def a_seed(monkeypatch):
    """Bytes of a seed by default, which every plan would trace anew."""
    fixed, rollout = of_a_default_seed()
    monkeypatch.setattr(memory, "bytes_of_a_seed", lambda *_: (fixed, rollout))
    return fixed + rollout


def test_schedules_take_no_memory():
    """Of quickstart.yaml's kinds; shaping, too, has a number at each update."""
    scheduled = {"shaping_rs": {"linear": [3, 0]}, "learning_rate": {"linear": [1e-3, 0]}}
    begun = memory.bytes_of_a_seed(*of(**tiny.TINY, **scheduled))
    assert begun == memory.bytes_of_a_seed(*of(**tiny.TINY, shaping_rs=3.0))


@pytest.mark.parametrize(("n_seeds", "settings"), SHAPES.values(), ids=SHAPES.keys())
def test_the_estimate_is_near_what_the_compiler_counts(n_seeds, settings):
    config = load_config(None, settings)
    ppo = PPO.of(config)
    settings = make_settings(config)
    state = jax.eval_shape(lambda: initial_state(ppo, settings, tuple(range(n_seeds))))
    of_seeds = jax.vmap(partial(ppo_train, ppo), in_axes=(None, 0, None))
    program = jax.jit(of_seeds, donate_argnums=1, compiler_options=compile_quickly())
    counted = program.lower(settings, state, jnp.int32(1)).compile().memory_analysis()
    needed = counted.argument_size_in_bytes + counted.temp_size_in_bytes
    needed += counted.output_size_in_bytes - counted.alias_size_in_bytes
    estimate = n_seeds * sum(memory.bytes_of_a_seed(ppo, settings))
    assert needed / 2 <= estimate <= 3 * needed, (needed, estimate)


@pytest.mark.parametrize("n_seeds", [1, 2, 7, 12, 64, 1000])
@pytest.mark.parametrize("room", [1, 2, 5, 12, 100])
def test_seeds_that_do_not_fit_are_dealt_into_equal_groups(a_seed, n_seeds, room):
    ppo, settings = of()
    available = int((room + 0.5) * a_seed / memory.HEADROOM)
    plan = memory.plan(ppo, settings, n_seeds, None, available)
    assert plan.seeds_at_once <= min(room, n_seeds)
    assert plan.seeds_at_once * plan.n_groups >= n_seeds
    seeds = tuple(range(3, 3 + n_seeds))
    groups = in_groups(seeds, plan.seeds_at_once)
    assert sum(groups, ()) == seeds and len(groups) == plan.n_groups
    sizes = {len(group) for group in groups}
    assert max(sizes) == plan.seeds_at_once and max(sizes) - min(sizes) <= 1
    if n_seeds % 4 == 0 and room >= 2:
        assert len(sizes) == 1  # compiled once
    assert len(groups) <= 2 * -(-n_seeds // room)  # not for the price of twice as many


@pytest.mark.parametrize("n_devices", [2, 4, 7])
@pytest.mark.parametrize("n_seeds", [1, 3, 8, 100, 1000, 1001, 1009])
@pytest.mark.parametrize("room", [1, 3, 75, 500])
def test_no_device_gets_more_seeds_than_fit(a_seed, n_seeds, n_devices, room):
    """Whatever number of devices a group is dealt to, and whether or not it divides evenly."""
    ppo, settings = of()
    available = int((room + 0.5) * a_seed / memory.HEADROOM)
    plan = memory.plan(ppo, settings, n_seeds, None, available, n_devices)
    groups = in_groups(tuple(range(n_seeds)), plan.seeds_at_once)
    assert len(groups) == plan.n_groups
    for group in groups:
        shares, _ = devices.mesh_shape(len(group), ppo.n_envs, n_devices)
        assert len(group) // shares <= room
    if n_seeds % n_devices == 0 and room >= n_seeds // n_devices:
        assert plan.n_groups == 1


@pytest.mark.parametrize(
    ("n_seeds", "n_envs", "n_devices", "shape"),
    [
        (8, 4, 4, (4, 1)),
        (7, 8, 4, (1, 1)),  # more seeds than devices: clients stay together
        (6, 8, 4, (3, 1)),
        (3, 8, 4, (3, 1)),  # seeds before clients: they need nothing of each other
        (2, 8, 4, (2, 2)),
        (1, 8, 4, (1, 4)),
        (1, 6, 4, (1, 3)),
        (1, 1, 4, (1, 1)),
    ],
)
def test_seeds_are_dealt_before_clients(n_seeds, n_envs, n_devices, shape):
    assert devices.mesh_shape(n_seeds, n_envs, n_devices) == shape


def test_the_users_wish_is_obeyed():
    plan = memory.plan(*of(), 10, 4, 1)
    assert plan.seeds_at_once == 4 and "3 groups of up to 4 seeds" in str(plan)
    assert memory.plan(*of(), 3, 8, 1).seeds_at_once == 3


@pytest.mark.parametrize("lower", ["n_envs", "n_steps"])
def test_where_no_seed_fits_the_line_says_what_would(lower):
    shape = {"n_envs": 64, "n_steps": 64} if lower == "n_envs" else {"n_envs": 1, "n_steps": 4096}
    rest = {"hidden_size": 8, "eval_episodes": 4}
    ppo, settings = of(**shape, **rest)
    fixed, rollout = memory.bytes_of_a_seed(ppo, settings)
    available = int((fixed + rollout / 3) / memory.HEADROOM)
    with pytest.raises(RunError) as refused:
        memory.plan(ppo, settings, 4, None, available)
    line = str(refused.value)
    assert "\n" not in line and f"lower {lower} from {shape[lower]} to " in line
    fits = shape | {lower: int(line.split(" to ")[-1])}
    assert memory.plan(*of(**fits, **rest), 4, None, available).seeds_at_once >= 1


def test_where_the_network_alone_is_too_large_the_line_says_so():
    little = {"n_envs": 2, "n_steps": 2, "eval_episodes": 2}  # each halving is traced anew
    with pytest.raises(RunError, match="lower hidden_size, now 256"):
        memory.plan(*of(**little), 4, None, 1000)


@pytest.mark.parametrize(
    ("n_seeds", "settings", "advice"),
    [
        (8, {}, "--seeds-at-once 4, or lower n_seeds from 8 to 4"),
        (1, {"n_envs": 8}, "lower n_envs from 8 to 4"),
        (1, {"n_envs": 1, "n_steps": 64}, "lower n_steps from 64 to 32"),
        (1, {"n_envs": 1, "n_steps": 1}, "lower hidden_size from 256"),
    ],
)
def test_out_of_memory_is_advice(n_seeds, settings, advice):
    error = memory.out_of_memory(of(**settings)[0], n_seeds)
    assert advice in str(error) and error.exit_code == 1


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"n_envs": 8, "n_steps": 64}, "lower n_steps from 64 to 32"),
        ({"n_envs": 8, "n_steps": 1}, "continue where more memory is free"),
    ],
)
def test_a_run_that_is_continued_is_told_only_what_may_still_change(settings, advice):
    for n_seeds in (1, 8):
        error = memory.out_of_memory(of(**settings)[0], n_seeds, resumed=True)
        assert str(error) == f"out of memory; {advice}"


def exhausted(*_, **__):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")


def test_restoring_what_does_not_fit_is_not_called_damage(folder, monkeypatch, capsys):
    assert tiny.train(folder) == 0
    restore = checkpoints.Checkpoints._restore

    def restored(self, step, **items):
        return exhausted() if "state" in items else restore(self, step, **items)

    monkeypatch.setattr(checkpoints.Checkpoints, "_restore", restored)
    capsys.readouterr()
    assert tiny.train(folder, "--resume", total_timesteps=800) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: out of memory while restoring checkpoint 400")


def test_out_of_memory_at_the_very_end_tells_what_is_saved(folder, monkeypatch, capsys):
    monkeypatch.setattr(Ending, "_compare", exhausted)
    assert tiny.train(folder) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: out of memory while comparing") and error.count("\n") == 1
    assert (folder / "models/tiny/policy_final.pth").exists()


def test_a_device_out_of_memory_ends_the_run_with_one_line(folder, monkeypatch, capsys):
    def too_large(*_):
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 80530636800 bytes.\n" + 40 * "buffer\n"
        )

    monkeypatch.setattr(trainer, "compile_programs", too_large)
    assert tiny.train(folder, "--n-seeds", "6") == 1
    error = capsys.readouterr().err
    assert error == "error: out of memory; pass --seeds-at-once 3, or lower n_seeds from 6 to 3\n"


def test_how_much_of_a_gpu_jax_takes_is_the_users_choice(monkeypatch):
    """README's variables are JAX's; nothing of ours sets or reads them, and seeds fit the rest."""
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.4")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    options = xla_client.generate_pjrt_gpu_plugin_options()
    assert options["memory_fraction"] == 0.4 and not options["preallocate"]
    for path in Path(jaxtherapy.__file__).parent.rglob("*.py"):
        assert "XLA_PYTHON_CLIENT" not in path.read_text(), path
    limits = [{"bytes_limit": 900, "bytes_in_use": 100}, {"bytes_limit": 700}]
    gpus = [SimpleNamespace(memory_stats=lambda each=each: each) for each in limits]
    monkeypatch.setattr(jax, "local_devices", lambda: gpus)
    assert memory.available_bytes() == 700


def test_little_memory_is_planned_with_before_anything_is_compiled(folder, monkeypatch, capsys):
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    monkeypatch.setattr(trainer, "compile_programs", lambda *_: pytest.fail("compiled"))
    assert tiny.train(folder, "--n-seeds", "6") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "one seed needs about" in error and "1 kB are free" in error
    assert not (folder / "models/tiny/config.yaml").exists()
