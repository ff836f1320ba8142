"""What exists for speed alone: pure functions that know nothing of the rest of the package.

Each does what a plain expression does, and a test says so: :func:`.random_bits.uniforms` draws
``jax.random.bits``, :func:`.shuffle.random_order` is a permutation,
:func:`.row_replacement.replace_rows` makes all rows and selects, :func:`.look_up.look_up` indexes,
:func:`.first_layer.first_layer` embeds and multiplies.
"""
