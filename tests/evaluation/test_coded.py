"""Coded sequences: read row by row, mistakes by row, and told of as simulated therapies are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxtherapy.client.octants import CD, CS, D, W
from jaxtherapy.errors import RunError
from jaxtherapy.evaluation.candidates import load_therapist
from jaxtherapy.evaluation.coded import evaluate_coded, read_coded
from jaxtherapy.evaluation.reading import from_json
from jaxtherapy.evaluation.statistics import Intervals
from jaxtherapy.reporting.csv_files import to_json

HEADING = "therapy,session,client,therapist"


@pytest.fixture
def written(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "octants.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADING}\na,1,CS,cd\nb,1,0,W\na,2,cold-dominant,5\n",
        "\ufeffTherapist; Client ;session;therapy;note\r\n"
        "cd;CS;1;a;x\r\nw;D;1;b\r\n;;;;\r\n5;CD;2;a;",
        f"{HEADING}\na,1.0,5.0,7.0\nb,1.0,0.0,2.0\na,2.0,7.0,5.0\n",  # as pandas may write them
        "therapy,therapist,client,session,client_octant,therapist_octant\n"
        "a,me,7,1,CS,CD\nb,me,8,1,D,W\na,me,7,2,CD,CS\n",  # as evaluations write them
    ],
)
def test_octants_in_any_spelling_and_columns_in_any_order(written, text):
    told = read_coded(written(text))
    assert told.held.tolist() == [[True, True], [True, False]]
    assert told.client_act[told.held].tolist() == [CS, CD, D]
    assert told.therapist_act[told.held].tolist() == [CD, CS, W]
    assert np.isnan(told.success).all() and told.by_outcome["failure"].sum() == 0


def test_success_may_be_told(written):
    text = f"{HEADING},success\na,1,D,S,1\nb,1,D,S,no\nc,1,D,S,\na,2,D,S,yes\n"
    told = read_coded(written(text))
    assert [each.tolist() for each in told.by_outcome.values()] == [
        [True, True, True],
        [True, False, False],
        [False, True, False],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEADING},client\na,1,D,S,W\n", "has two columns client; rename one"),
        (f"{HEADING}\n\na,1,D,S\na,2,D,X\n", r"row 4: therapist is 'X', must be one of D WD"),
        (f"{HEADING}\na,1,8,S\n", "row 2: client is '8'"),
        (f"{HEADING}\na,1,D\n", "row 2: therapist is ''"),
        (f"{HEADING}\na,1,D,S\na,3,D,S\n", "row 3: session is '3', must be 2, the next one of"),
        (f"{HEADING}\na,1,D,S\na,1,D,S\n", "row 3: session is '1', must be 2"),
        (f"{HEADING}\n,1,D,S\n", "row 2: therapy is empty"),
        (f"{HEADING},success\na,1,D,S,1\na,2,D,S,0\n", "row 3: success is not as in"),
        (f"{HEADING},success\na,1,D,S,maybe\n", "row 2: success is 'maybe'"),
        ("therapy,session,client\n", "no column therapist"),
        (HEADING, "no rows"),
        ("", "no column therapy"),
        (f'{HEADING}\na,1,D,"S', "no CSV file"),
    ],
)
def test_a_mistake_is_a_line_with_its_row(written, text, said):
    with pytest.raises(RunError, match=said) as caught:
        read_coded(written(text))
    assert "\n" not in str(caught.value)


def test_files_that_are_none(written, tmp_path):
    for path in (tmp_path / "none.csv", tmp_path, written(f"{HEADING}\né", "latin-1")):
        with pytest.raises(RunError, match="can't be read"):
            read_coded(path)


def test_a_course_that_is_high_low_high_is_found(written):
    """Complements at both ends of all therapies, in the middle one in five."""
    rows = [
        f"{number},{session},D,{'S' if not 5 <= session <= 10 or (number + session) % 5 else 'D'}"
        for number in range(30)
        for session in range(1, 16)
    ]
    therapies = read_coded(written("\n".join([HEADING, *rows])))
    found = evaluate_coded("ours", therapies, Intervals(n_samples=100), {})
    again = from_json(to_json(found))
    (course,) = again.courses
    assert course.episodes == {"all": 30, "success": 0, "failure": 0}
    assert {shape.acts for shape in course.shapes} == {"enacted"}
    every = [shape for shape in course.shapes if shape.outcome == "all"]
    neutral = [shape for shape in every if shape.measure in ("positive", "negative")]
    assert [shape.high_low_high for shape in neutral] == [False, False], "D is neither"
    every = [shape for shape in every if shape not in neutral]
    assert all(shape.high_low_high and shape.beyond_twin is None for shape in every)
    assert every[0].thirds[0].estimate > every[0].thirds[1].estimate + 0.1
    assert course.response_maps["early"].count[D] == 150
    assert set(course.by_time["all"].rs.q50) == {None}


def test_a_therapist_answers_as_the_coded_ones_did(written):
    path = written(f"{HEADING}\na,1,D,S\na,2,D,W\nb,1,D,W\nb,2,D,W\nb,3,C,C\n")
    therapist = load_therapist(f"coded:{path}")

    class Dyad:
        client_act = jnp.int8(D)

    keys = jax.random.split(jax.random.key(0), 2_000)
    acts = jax.vmap(lambda key: therapist.act(key, (), (Dyad, None))[1])(keys)
    shares = np.bincount(np.asarray(acts), minlength=8) / 2_000
    assert shares == pytest.approx([0, 0, 0.75, 0, 0.25, 0, 0, 0], abs=0.04)
