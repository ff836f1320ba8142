"""What the documents show, runs; what they picture, is so."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import jaxtherapy as jt
from docs import circumplex, curves
from jaxtherapy.config import read_config_file

ROOT = Path(__file__).parent.parent
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"# (jaxtherapy/\S+\.py)\n")
SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
MOST_LINES = 39
NUMBER = re.compile(r"\d+(?:\.\d+)?")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def python_blocks(text):
    """(path or None, code) of each block of Python."""
    for language, code in FENCED.findall(text):
        if language == "python":
            path = PATH.match(code)
            yield (path[1], code[path.end() :]) if path else (None, code)


EXTENDING = (ROOT / "docs/extending.md").read_text()
TITLES = SECTION.findall(EXTENDING)
SECTIONS = dict(zip(TITLES, SECTION.split(EXTENDING)[2::2], strict=True))
EXAMPLES = {
    title: [code for path, code in python_blocks(text) if path is None]
    for title, text in SECTIONS.items()
}
EXAMPLES = {title: examples for title, examples in EXAMPLES.items() if examples}
FILES = dict(block for block in python_blocks(EXTENDING) if block[0])


@pytest.fixture(scope="module")
def overlay(tmp_path_factory):
    """A copy of the package with every file that the document adds, and its tests beside it."""
    folder = tmp_path_factory.mktemp("overlay")
    source = Path(jt.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, folder / "jaxtherapy", ignore=ignored)
    shutil.copytree(ROOT / "tests/client", folder / "tests/client", ignore=ignored)
    for file in (ROOT / "tests").glob("*.py"):
        shutil.copy(file, folder / "tests")
    for path, code in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(code)
    return folder


RUN_EACH = """
import contextlib, io, json, sys, traceback
told = {}
for title, code in json.load(sys.stdin).items():
    out, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(out):
            exec(code, {"__name__": "__main__"})
    except BaseException:
        error = traceback.format_exc()
    told[title] = {"out": out.getvalue(), "error": error}
print(json.dumps(told))
"""


def run(folder, *arguments, path=None, **options):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(path or folder)},
        capture_output=True,
        text=True,
        timeout=600,
        **options,
    )


@pytest.fixture(scope="module")
def told(overlay):
    """{title: what its example printed, and its error}, of one process for all."""
    examples = {title: code for title, (code,) in EXAMPLES.items()}
    done = run(overlay, "-c", RUN_EACH, input=json.dumps(examples))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_short(path):
    assert FILES[path].count("\n") <= MOST_LINES
    assert max(map(len, FILES[path].splitlines())) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_runs(told, title):
    assert not told[title]["error"], told[title]["error"]
    assert told[title]["out"].strip()


@pytest.mark.slow
def test_the_tests_of_choices_hold_for_what_is_added(overlay):
    added = [Path(path).stem for path in FILES if Path(path).stem != "rewards"]
    done = run(overlay, "-m", "pytest", "-n0", "-k", " or ".join(added), "tests/test_choices.py")
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* passed", done.stdout)


# --- what other documents show --------------------------------------------------------------

RUN = [
    "README.md",
    *(f"docs/{name}.md" for name in ("api", "evaluation", "ppo", "studies", "tutorial")),
]
"""Their blocks of Python are run, one after the other."""

SMALL = {
    **{"total_timesteps": 512, "n_envs": 4, "n_steps": 16, "batch_size": 64, "n_epochs": 10},
    **{"hidden_size": 16, "max_sessions": 20, "eval_episodes": 10, "eval_freq": 256},
}
"""In place of what the configurations say: that examples run is the question, not how well. The
shapes of docs/api.md, so that one program serves both."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """{document: what its examples printed, and their error}, of one process for all."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "configs").mkdir()
    for path in (ROOT / "configs").glob("*.yaml"):
        values = read_config_file(path) | SMALL
        (folder / "configs" / path.name).write_text(yaml.safe_dump(values))
    (folder / "sweeps/advantage").mkdir(parents=True)
    table = pa.table({"threshold": [0.9]}).replace_schema_metadata({"jaxtherapy": "{}"})
    pq.write_table(table, folder / "sweeps/advantage/runs.parquet")  # a sweep takes longer
    examples = {}
    for document in RUN:
        blocks = [code for _, code in python_blocks((ROOT / document).read_text())]
        # PyTorch's part of the README is run where PyTorch is: tests/torch.
        code = "\n".join(code for code in blocks if "torch.load" not in code)
        examples[document] = re.sub(r"\b(n_dyads|n_episodes)=[\d_]+", r"\1=50", code)
    done = run(folder, "-c", RUN_EACH, path=ROOT, input=json.dumps(examples))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN)
def test_other_examples_run(shown, document):
    assert not shown[document]["error"], shown[document]["error"]


def test_every_name_of_the_package_has_an_example():
    code = "".join(code for _, code in python_blocks((ROOT / "docs/api.md").read_text()))
    assert {*re.findall(r"\bjt\.(\w+)", code)} >= {*jt.__all__} - {"__version__"}


def test_every_document_with_python_is_run():
    found = {str(each.relative_to(ROOT)) for each in DOCUMENTS if "```python" in each.read_text()}
    assert found == {*RUN, "docs/extending.md"}


def test_the_circumplex_is_drawn_from_the_code():
    assert circumplex.FILE.read_text() == circumplex.draw(), "run `make pictures`"


def test_the_clients_curves_are_drawn_from_the_code():
    there, drawn = curves.FILE.read_text(), curves.draw()
    assert NUMBER.sub("", there) == NUMBER.sub("", drawn), "run `make pictures`"
    one, other = ([float(each) for each in NUMBER.findall(text)] for text in (there, drawn))
    assert one == pytest.approx(other, abs=1), "run `make pictures`"  # a pixel of rounding


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document):
    """Of the package and its tests, unless the document itself adds them."""
    text = document.read_text()
    for path in re.findall(r"`((?:jaxtherapy|tests|docs|benchmarks|configs)/[\w/.-]+)`", text):
        assert path in FILES or (ROOT / path).exists(), path
