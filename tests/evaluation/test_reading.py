"""evaluation.json comes back as it was, and what is damaged is one line."""

import json

import numpy as np
import pytest

from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.reading import from_json, is_evaluation, read_evaluation
from jaxtherapy.reporting import csv_files, page
from jaxtherapy.reporting.figures import pictures
from tests.evaluation.small_evaluation import small_evaluation


@pytest.fixture
def content():
    return csv_files.plain(small_evaluation("study"))


def read(content):
    return from_json(json.dumps(content).encode())


def test_it_comes_back_as_it_was(tmp_path):
    evaluation = small_evaluation()
    csv_files.write(evaluation, tmp_path)
    told = read_evaluation(tmp_path / "evaluation.json")
    assert csv_files.to_json(told) == csv_files.to_json(evaluation)
    assert told.outcomes[0] == from_json(csv_files.to_json(evaluation)).outcomes[0]


def at(content, *path):
    for step in path:
        content = content[step]
    return content


REMOVED = (
    (("outcomes", 0, "metrics"), "success", "lacks 'success'"),
    (
        ("outcomes", 0, "metrics", "reward"),
        "low",
        "missing required field `low` - at `$.outcomes[0].metrics[...]`",
    ),
    (("settings",), "confidence", "missing required field `confidence` - at `$.settings`"),
    (("therapists", 1), "group", "missing required field `group` - at `$.therapists[1]`"),
    (("courses", 0, "by_time"), "failure", "lacks 'failure'"),
    (("courses", 0, "by_time", "all", "distance"), "heard", "lacks 'heard'"),
    (("episodes", 0, "rs"), 3, "other lengths than its sessions"),
    (("courses", 0, "by_session", "all", "rs", "q50"), 0, "uneven bands"),
    (("courses", 0, "response_maps", "late", "count"), 0, "is not 8 by 8"),
    ((), "groups", "missing required field `groups`"),
    (("outcomes",), 0, "outcomes lacks ['study/seed_1']"),
)
CHANGED = (
    (("outcomes", 0, "episodes"), 10**400, "outcomes[0].episodes is too large a number"),
    (("outcomes", 0, "metrics", "reward", "low"), 10**400, "out of range - at `$.outcomes[0]"),
    (
        ("outcomes", 0, "metrics", "reward", "low"),
        float("inf"),
        "is malformed: invalid character (byte",
    ),
    (
        ("outcomes", 0, "metrics", "reward", "low"),
        float("nan"),
        "is malformed: invalid character (byte",
    ),
    (
        ("outcomes", 0, "metrics", "reward", "low"),
        "0.5",
        "got `str` - at `$.outcomes[0].metrics[...].low`",
    ),
    (("outcomes", 0, "successes"), True, "got `bool` - at `$.outcomes[0].successes`"),
    (
        ("outcomes", 0, "successes"),
        1.5,
        "Expected `int`, got `float` - at `$.outcomes[0].successes`",
    ),
    (("outcomes", 0, "therapist"), "nobody", "unknown 'nobody'"),
    (("differences", 0, "metric"), "luck", "unknown 'luck'"),
    (
        ("differences", 0, "significant"),
        1,
        "Expected `bool`, got `int` - at `$.differences[0].significant`",
    ),
    (("seeds", 0, "group"), "nobody", "unknown 'nobody'"),
    (("episodes", 0, "client_act", 0), 8, "no octant"),
    (("settings", "confidence"), 95, "is no share"),
    (("settings", "reference"), None, "Expected `str`, got `null` - at `$.settings.reference`"),
    (("run", "versions"), [], "got `array` - at `$.run.versions`"),
    (("therapists",), {}, "got `object` - at `$.therapists`"),
    (("cells", 0), [], "got `array` - at `$.cells[0]`"),
    (("groups", 1, "therapists"), [], "is empty"),
)


@pytest.mark.parametrize(("path", "name", "said"), REMOVED)
def test_what_is_missing_is_named(content, path, name, said):
    del at(content, *path)[name]
    with pytest.raises(ValueError) as error:
        read(content)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("path", "value", "said"), CHANGED)
def test_what_is_something_else_is_named(content, path, value, said):
    at(content, *path[:-1])[path[-1]] = value
    with pytest.raises(ValueError) as error:
        read(content)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("depth", [20, 900, 100_000])
def test_deep_nesting_is_one_line(tmp_path, content, depth):
    content["settings"]["clients"] = "HERE"
    text = json.dumps(content).replace('"HERE"', '{"a":' + "[" * depth + "]" * depth + "}")
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(RunError) as error:
        read_evaluation(tmp_path / "e.json")
    assert "\n" not in str(error.value)


def test_numbers_of_400_digits_are_one_line(tmp_path, content):
    for digits in (400, 10_000):
        content["outcomes"][0]["metrics"]["success"]["estimate"] = "HERE"
        (tmp_path / "e.json").write_text(json.dumps(content).replace('"HERE"', "7" * digits))
        with pytest.raises(RunError) as error:
            read_evaluation(tmp_path / "e.json")
        assert "\n" not in str(error.value) and len(str(error.value)) < 300


def leaves(value, path=()):
    if isinstance(value, dict | list):
        yield path
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def test_whatever_is_changed_is_told_or_drawn(content):
    """Nothing that can be read ends what is made of it in a trace."""
    generator = np.random.default_rng(0)
    places = [path for path in leaves(content) if path]
    odd = [None, -1, 0, 1e300, 1e-300, "", "x", [], {}, True, 2**62]
    readable = 0
    for _ in range(300):
        *inside, place = places[generator.integers(len(places))]
        parent = at(content, *inside)
        before, parent[place] = parent[place], odd[generator.integers(len(odd))]
        try:
            evaluation = read(content)
        except ValueError:
            continue
        finally:
            parent[place] = before
        readable += 1
        pictures(evaluation, {})
        page.to_html(evaluation, [])
        csv_files.to_csv(evaluation), csv_files.shapes_csv(evaluation)
    assert 20 < readable < 280


def test_ours_is_told_by_its_beginning(tmp_path):
    path = tmp_path / "evaluation.json"
    assert not is_evaluation(path)
    for text, ours in (
        ('{"schema": "jaxtherapy.evaluation/3", ...', True),
        ('{\n  "schema" : "jaxtherapy.evaluation/1"}', True),
        ('{"schema": "other/3"}', False),
        ("", False),
    ):
        path.write_text(text)
        assert is_evaluation(path) == ours
