"""What the real command left, as the tests of training have it."""

from tests.training.conftest import undisturbed as undisturbed
