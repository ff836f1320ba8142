"""What a run hears, and what it makes of it."""

import signal

import pytest

from jaxtherapy.training.signals import StopRequest


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGXCPU"])
def test_what_asks_to_stop(name):
    number = signal.Signals[name]
    before = signal.getsignal(number)
    with StopRequest() as request:
        signal.raise_signal(number)
        assert request.requested and request.signal_name == name
        assert not request.take_save_request()
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGUSR2"])
def test_what_asks_to_save(name):
    with StopRequest() as request:
        signal.raise_signal(signal.Signals[name])
        assert not request.requested and request.saved_for == name
        assert request.take_save_request() and not request.take_save_request()
