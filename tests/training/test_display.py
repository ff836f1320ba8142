"""Numbers as users read them."""

from jaxtherapy.training.display import format_duration


def test_durations():
    assert format_duration(75) == "1:15"
    assert format_duration(3675) == "1:01:15"
