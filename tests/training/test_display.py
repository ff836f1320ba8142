"""Printing never ends a run."""

import io

from jaxtherapy.training.display import _Unbreakable, format_duration


class Gone(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_reader_that_left_and_a_full_disk_are_ignored():
    stream = _Unbreakable(Gone())
    assert stream.write("hello") == 5
    stream.flush()


def test_what_a_terminal_cannot_show_is_replaced():
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    _Unbreakable(text).write("┏ größe")
    assert raw.getvalue() == b"? gr??e"


def test_durations():
    assert format_duration(75) == "1:15"
    assert format_duration(3675) == "1:01:15"
