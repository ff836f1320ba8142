"""How values and names are shown in lines of errors."""

import io

from jaxtherapy.errors import LastingStream, is_out_of_memory, nearest, shown


class Hostile:
    def __repr__(self):
        raise RuntimeError


def test_every_value_is_shown_short_and_on_one_line():
    for value in ("a\nb" * 100, [[[[[[1]]]]]] * 100, 10**5000, {"a": "b" * 1000}, "\udce9", 1.5):
        assert len(shown(value)) < 200 and shown(value).isprintable()
    assert shown(Hostile()).startswith(("a Hostile", "<Hostile"))


def test_the_nearest_name_is_asked_for():
    known = ["threshold", "total_timesteps"]
    assert nearest("thresold", known) == "; did you mean threshold?"
    assert nearest("x" * 10_000, known) == nearest(None, known) == ""


def test_out_of_memory_is_known_by_its_words():
    assert is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"))
    assert is_out_of_memory(MemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("INTERNAL"))


class Gone(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_reader_that_left_and_a_full_disk_end_nothing_and_are_remembered():
    stream = LastingStream(Gone())
    assert stream.write("hello") == 5
    stream.flush()
    assert isinstance(stream.error, BrokenPipeError)


def test_closed_and_missing_streams_end_nothing():
    closed = io.StringIO()
    closed.close()
    for stream in (LastingStream(closed), LastingStream(None)):
        assert stream.write("hello") == 5
        stream.flush()


def test_what_a_terminal_cannot_show_is_replaced():
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    LastingStream(text).write("┏ größe")
    assert raw.getvalue() == b"? gr??e"
