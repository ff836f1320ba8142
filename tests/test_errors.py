"""How values and names are shown in lines of errors."""

from jaxtherapy.errors import is_out_of_memory, nearest, shown


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
