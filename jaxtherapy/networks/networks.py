"""The actor-critic (Flax NNX), layer for layer the one that the PyTorch weights describe."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from jaxtherapy.client.dyad import HISTORY_PADDING, HISTORY_SIZE, Observation
from jaxtherapy.client.octants import N_OCTANTS
from jaxtherapy.fast.compiling import compiled_apart, on_cpu
from jaxtherapy.fast.first_layer import (
    LARGE_BATCH,
    Table,
    as_matrix,
    indicators,
    make_table,
    select,
    selecting_pays,
)

CLIENT_ACTION_FEATURES = 16
HISTORY_FEATURES = 8
N_HISTORY_FEATURES = HISTORY_SIZE * HISTORY_FEATURES
N_FEATURES = CLIENT_ACTION_FEATURES + 1 + N_HISTORY_FEATURES

Precision = Literal["auto", "float32", "bfloat16"]
"""Of matrix products. ``auto``: the device's fast path for float32 (TF32 on NVIDIA GPUs, float32
on CPUs); ``float32``: full float32 everywhere; ``bfloat16``: bfloat16 operands (on a CPU only in
the second layers, and there not for the kernels' gradients, which it would not make faster)."""


def _orthogonal(gain: float) -> nnx.Initializer:
    """Orthogonal weights (Saxe et al. 2014), as Flax draws them.

    On a CPU, a batch of them (many seeds) is made one after another: LAPACK's batched QR in jaxlib
    0.10 shares its work out in the thread pool it runs in, and with few cores can wait for itself
    for ever.
    """
    draw = nnx.initializers.orthogonal(gain)

    def initializer(key: Array, shape: Any, dtype: Any = jnp.float32, **options: Any) -> Array:
        def one(key_data: Array) -> Array:
            single = jax.random.wrap_key_data(key_data, impl=jax.random.key_impl(key))
            return draw(single, shape, dtype, **options)

        if on_cpu():
            one = jax.custom_batching.sequential_vmap(one)
        return one(jax.random.key_data(key))

    return initializer


def _linear(
    n_in: int,
    n_out: int,
    gain: float,
    precision: Precision,
    rngs: nnx.Rngs,
    *,
    rounds_on_cpu: bool = False,
) -> nnx.Linear:
    cpu = on_cpu()
    round_operands = precision == "bfloat16" and (rounds_on_cpu or not cpu)
    cpu_dot_general = _rounded_dot_general if round_operands else _dot_general
    return nnx.Linear(
        n_in,
        n_out,
        kernel_init=_orthogonal(gain),
        dtype=jnp.bfloat16 if round_operands and not cpu else jnp.float32,
        precision=jax.lax.Precision.HIGHEST if precision == "float32" else None,
        dot_general=cpu_dot_general if cpu else jax.lax.dot_general,
        rngs=rngs,
    )


def _dot_general(
    rows: Float[Array, "*batch n"], kernel: Float[Array, "n m"], *_: Any, **__: Any
) -> Float[Array, "*batch m"]:
    """What a linear layer asks of ``lax.dot_general``: that one product, whatever precision it
    names."""
    return product(rows, kernel)


def _rounded_dot_general(
    rows: Float[Array, "*batch n"], kernel: Float[Array, "n m"], *_: Any, **__: Any
) -> Float[Array, "*batch m"]:
    """The same with rounded operands."""
    return product(rows, kernel, True)


_transposed = compiled_apart(jnp.transpose)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(
    rows: Float[Array, "*batch n"], kernel: Float[Array, "n m"], round_operands: bool = False
) -> Float[Array, "*batch m"]:
    """``rows @ kernel``, with the gradients written as a CPU computes them fastest.

    XLA's fast products want the axis they sum over last on the left: the kernel's gradient, a sum
    over rows, has one operand transposed beforehand (in a call, or XLA would undo it), the one
    that is smaller.

    Args:
        rows, kernel: the operands.
        round_operands: whether to round them to bfloat16, and gradients before their product with
            the kernel. Sums are float32.
    """
    return _product(rows, kernel, 0, round_operands)


def _product(
    left: Float[Array, "*batch n"], right: Float[Array, "_ _"], axis: int, round_operands: bool
) -> Float[Array, "*batch m"]:
    """The sum over the last axis of ``left`` and this one of ``right``."""
    if round_operands:
        left, right = left.astype(jnp.bfloat16), right.astype(jnp.bfloat16)
    axes = ((left.ndim - 1,), (axis,))
    return jax.lax.dot_general(left, right, (axes, ((), ())), preferred_element_type=jnp.float32)


def _product_forward(
    rows: Float[Array, "*batch n"], kernel: Float[Array, "n m"], round_operands: bool
) -> tuple[Float[Array, "*batch m"], tuple[Array, Array]]:
    return product(rows, kernel, round_operands), (rows, kernel)


def _product_backward(
    round_operands: bool, saved: tuple[Array, Array], gradient: Float[Array, "*batch m"]
) -> tuple[Float[Array, "*batch n"], Float[Array, "n m"]]:
    rows, kernel = saved
    of_rows = _product(gradient, kernel, 1, round_operands)
    rows = rows.reshape(-1, rows.shape[-1])
    gradient = gradient.reshape(-1, gradient.shape[-1])
    if kernel.shape[1] < kernel.shape[0]:
        return of_rows, (_transposed(gradient) @ rows).T
    return of_rows, _transposed(rows) @ gradient


product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def look_up(table: Float[Array, "n d"], index: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
    """Rows of a table. The gradient is a matrix product: a scatter of millions of rows into nine
    makes a GPU wait for itself."""
    return table[index]


def _look_up_forward(
    table: Float[Array, "n d"], index: Int[Array, "*batch"]
) -> tuple[Float[Array, "*batch d"], tuple[Int[Array, "*batch"], Float[Array, " n"]]]:
    return table[index], (index, table[:, 0])


def _look_up_backward(
    saved: tuple[Int[Array, "*batch"], Float[Array, " n"]], gradient: Float[Array, "*batch d"]
) -> tuple[Float[Array, "n d"], None]:
    index, column = saved
    selected = jax.nn.one_hot(index, column.shape[0], dtype=gradient.dtype)
    axes = tuple(range(index.ndim))
    return jnp.tensordot(selected, gradient, (axes, axes)), None


look_up.defvjp(_look_up_forward, _look_up_backward)


class TherapyNet(nnx.Module):
    """The trunk: what the therapist sees → ``hidden_size`` features.

    Client-act embedding 8→16, session number, history embedding 9→8 at each of 50 places:
    417 numbers, through two ReLU layers.
    """

    def __init__(
        self, hidden_size: int = 256, *, precision: Precision = "auto", rngs: nnx.Rngs
    ) -> None:
        normal = nnx.initializers.normal
        self.client_action_embed = nnx.Embed(
            N_OCTANTS, CLIENT_ACTION_FEATURES, embedding_init=normal(1.0), rngs=rngs
        )
        # Small, so that 400 numbers about the past do not drown the 16 about the act to answer:
        # with deviation 1, quickstart needs about twice as many steps to the same success.
        self.history_embed = nnx.Embed(
            HISTORY_PADDING + 1, HISTORY_FEATURES, embedding_init=normal(0.25), rngs=rngs
        )
        self.hidden_1 = _linear(N_FEATURES, hidden_size, 2**0.5, precision, rngs)
        # On a CPU first layers are sums of selected rows, and heads are small.
        self.hidden_2 = _linear(
            hidden_size, hidden_size, 2**0.5, precision, rngs, rounds_on_cpu=True
        )

    def __call__(self, obs: Observation) -> Float[Array, "*batch hidden"]:
        """Features of a batch of observations (any leading axes)."""
        history = look_up(self.history_embed.embedding[...], obs.history.astype(jnp.int32))
        features = jnp.concatenate(
            [
                look_up(
                    self.client_action_embed.embedding[...], obs.client_action.astype(jnp.int32)
                ),
                obs.session_number,
                history.reshape(*history.shape[:-2], N_HISTORY_FEATURES),
            ],
            axis=-1,
        )
        return self.second(self.hidden_1(features))

    def prepared(self) -> Callable[[Observation], Float[Array, "*batch hidden"]]:
        """The same function, where many observations meet the same weights."""
        if not selecting_pays():
            return self
        table = self.table()
        return lambda obs: self.second(select(table, obs))

    def first(self, table: Table, obs: Observation) -> Float[Array, "*batch hidden"]:
        """The first layer's sums, from its table (or from those of several trunks side by side).

        Where sums of selected rows don't pay they are a product with :func:`indicators`, which
        need no gradient: two thirds of the work, and no 417 numbers for each row.
        """
        if selecting_pays():
            return select(table, obs)
        dtype = jnp.bfloat16 if self.hidden_1.dtype == jnp.bfloat16 else jnp.float32
        selected, matrix = indicators(obs).astype(dtype), as_matrix(table).astype(dtype)
        return jnp.matmul(selected, matrix, precision=self.hidden_1.precision)

    def second(self, hidden: Float[Array, "*batch hidden"]) -> Float[Array, "*batch hidden"]:
        """From the first layer's sums to the features."""
        return nnx.relu(self.hidden_2(nnx.relu(hidden)))

    def table(self) -> Table:
        """Embeddings and first layer as rows to select from."""
        bias = self.hidden_1.bias
        assert bias is not None
        return make_table(
            self.client_action_embed.embedding[...],
            self.history_embed.embedding[...],
            self.hidden_1.kernel[...],
            bias[...],
            self.hidden_1.precision,
        )


class Actor(nnx.Module):
    """The therapist's policy: logits over its eight octants."""

    def __init__(
        self, preprocess: TherapyNet, hidden_size: int, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.preprocess = preprocess
        # A small gain: the untrained therapist is close to uniform.
        self.output_layer = _linear(hidden_size, N_OCTANTS, 0.01, precision, rngs)

    def __call__(self, obs: Observation) -> Float[Array, "*batch 8"]:
        """Logits of the therapist's acts."""
        return self.logits(self.preprocess(obs))

    def prepared(self) -> Callable[[Observation], Float[Array, "*batch 8"]]:
        """The same function, where many observations meet the same weights."""
        features = self.preprocess.prepared()
        return lambda obs: self.logits(features(obs))

    def logits(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "*batch 8"]:
        """From the trunk's features."""
        return self.output_layer(features).astype(jnp.float32)


class Critic(nnx.Module):
    """The value of an observation, in units of the running standard deviation of returns."""

    def __init__(
        self, preprocess: TherapyNet, hidden_size: int, precision: Precision, rngs: nnx.Rngs
    ) -> None:
        self.preprocess = preprocess
        self.output_layer = _linear(hidden_size, 1, 1.0, precision, rngs)

    def __call__(self, obs: Observation) -> Float[Array, "*batch"]:
        """Values."""
        return self.value(self.preprocess(obs))

    def prepared(self) -> Callable[[Observation], Float[Array, "*batch"]]:
        """The same function, where many observations meet the same weights."""
        features = self.preprocess.prepared()
        return lambda obs: self.value(features(obs))

    def value(self, features: Float[Array, "*batch hidden"]) -> Float[Array, "*batch"]:
        """From the trunk's features."""
        return self.output_layer(features)[..., 0].astype(jnp.float32)


class ActorCritic(nnx.Module):
    """Both, as one pytree of parameters. With a shared trunk its parameters appear once."""

    def __init__(self, actor: Actor, critic: Critic) -> None:
        self.actor = actor
        self.critic = critic

    def __call__(self, obs: Observation) -> tuple[Float[Array, "n 8"], Float[Array, " n"]]:
        """Logits and values of a batch, for learning: the same numbers as of actor and critic
        apart, by the way that is faster for gradients.

        In a large batch the first layers of both trunks are one, of twice the width.
        """
        actor, critic = self.actor.preprocess, self.critic.preprocess
        trunks = [actor] if actor is critic else [actor, critic]
        if obs.client_action.size >= LARGE_BATCH:
            table = jax.tree.map(lambda *x: jnp.concatenate(x, 1), *[t.table() for t in trunks])
            sums = jnp.split(actor.first(table, obs), len(trunks), axis=-1)
            features = [trunk.second(x) for trunk, x in zip(trunks, sums, strict=True)]
        elif selecting_pays():
            features = [trunk.prepared()(obs) for trunk in trunks]
        else:
            features = [trunk(obs) for trunk in trunks]
        return self.actor.logits(features[0]), self.critic.value(features[-1])


def make_therapy_networks(
    hidden_size: int = 256,
    *,
    shared_trunk: bool = False,
    precision: Precision = "auto",
    rngs: nnx.Rngs,
) -> tuple[Actor, Critic]:
    """An actor and a critic, with a trunk each (175 k parameters at 256) or one for both."""
    actor_trunk = TherapyNet(hidden_size, precision=precision, rngs=rngs)
    actor = Actor(actor_trunk, hidden_size, precision, rngs)
    critic_trunk = (
        actor_trunk if shared_trunk else TherapyNet(hidden_size, precision=precision, rngs=rngs)
    )
    return actor, Critic(critic_trunk, hidden_size, precision, rngs)
