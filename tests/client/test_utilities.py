"""Named utility matrices, and the bounds that a configuration stands for."""

import numpy as np
import pytest

from jaxtherapy.client.utilities import NAMED_MATRICES, U_MAX, U_MIN, utility_bounds


def test_the_average_matrix_is_the_middle_of_the_bounds():
    np.testing.assert_allclose(NAMED_MATRICES["average"], (U_MIN + U_MAX) / 2)


def test_random_utilities_span_twenty_between_bounds():
    u_min, u_max = utility_bounds("random")
    np.testing.assert_array_equal(u_min, U_MIN)
    np.testing.assert_array_equal(u_max, U_MAX)


@pytest.mark.parametrize("name", NAMED_MATRICES)
def test_named_matrices_are_both_bounds(name):
    for bound in utility_bounds(name):
        assert bound.shape == (8, 8)
        np.testing.assert_array_equal(bound, NAMED_MATRICES[name])


def test_given_rows_are_both_bounds():
    rows = tuple(tuple(float(8 * i + j) for j in range(8)) for i in range(8))
    for bound in utility_bounds(rows):
        np.testing.assert_array_equal(bound, np.arange(64).reshape(8, 8))
