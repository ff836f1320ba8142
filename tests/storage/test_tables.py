"""Tables in files: the same rows in CSV, Parquet and SPSS, and nobody else's files replaced."""

import csv

import numpy as np
import pyreadstat
import pytest
from pyarrow import parquet

from jaxtherapy.errors import RunError
from jaxtherapy.storage import tables
from jaxtherapy.storage.tables import Column, TableWriter

COLUMNS = [
    Column("who", "whose", lambda n: np.arange(n) % 2, values={0: "=x", 1: "y|z"}, in_words=True),
    Column("won", "whether", lambda n: np.ones(n, np.int8), values={0: "no", 1: "yes"}),
    Column("share", "of it", lambda n: np.array([0.9, *[np.nan] * (n - 1)], np.float32), "0–1"),
]


@pytest.fixture
def folder(tmp_path):
    with TableWriter(tmp_path, "table", COLUMNS) as writer:
        writer.write(2)
        writer.write(1)
    tables.write_codebook(tmp_path, ["Made up."], {"table: a row": COLUMNS})
    return tmp_path


def test_chunks_become_one_table(folder):
    rows = list(csv.reader((folder / "table.csv").open()))
    assert rows == [
        ["who", "won", "share"],
        ["'=x", "1", "0.9"],  # no formula
        ["y|z", "1", ""],
        ["'=x", "1", "0.9"],
    ]
    assert parquet.read_table(folder / "table.parquet").to_pylist() == [
        {"who": who, "won": 1, "share": share}
        for who, share in [("=x", pytest.approx(0.9)), ("y|z", None), ("=x", pytest.approx(0.9))]
    ]
    assert not list(folder.glob(".*"))


def test_spss_has_labels(folder):
    assert tables.write_spss(folder / "table.parquet", COLUMNS, folder / "table.sav")
    rows, about = pyreadstat.read_sav(folder / "table.sav")
    assert rows["who"].tolist() == [0, 1, 0] and rows["share"][0] == 0.9
    assert np.isnan(rows["share"][1])
    assert about.column_names_to_labels == {each.name: each.meaning for each in COLUMNS}
    assert about.variable_value_labels["who"] == {0: "=x", 1: "y|z"}
    assert about.variable_value_labels["won"] == {0: "no", 1: "yes"}


def test_a_table_too_long_for_spss_is_left_out(folder, monkeypatch):
    monkeypatch.setattr(tables, "MOST_IN_SPSS", 2)
    assert not tables.write_spss(folder / "table.parquet", COLUMNS, folder / "table.sav")
    assert not (folder / "table.sav").exists()


def test_the_codebook_tells_of_every_column(folder):
    told = (folder / "codebook.md").read_text()
    assert "| `who` | whose |  | =x, y\\|z |" in told
    assert "| `won` | whether |  | 0: no, 1: yes |" in told
    assert "| `share` | of it | 0–1 |  |" in told


def test_an_error_leaves_earlier_files_as_they_were(folder):
    before = (folder / "table.csv").read_bytes()
    with pytest.raises(KeyboardInterrupt), TableWriter(folder, "table", COLUMNS) as writer:
        writer.write(5)
        raise KeyboardInterrupt
    assert (folder / "table.csv").read_bytes() == before
    assert not list(folder.glob(".*"))


def test_only_a_codebook_of_ours_lets_files_be_replaced(folder, tmp_path):
    tables.check_tables_are_ours(folder, ["table.csv"])
    (folder / "codebook.md").write_text("# My codebook\n")
    with pytest.raises(RunError, match=r"table\.csv would be replaced"):
        tables.check_tables_are_ours(folder, ["table.csv"])
    (folder / "table.csv").unlink()
    with pytest.raises(RunError, match=r"codebook\.md would be replaced"):
        tables.check_tables_are_ours(folder, ["table.csv"])


def test_a_missing_extra_is_a_line(monkeypatch):
    monkeypatch.setattr(tables, "_EXTRAS", ("numpy", "no_such_package"))
    with pytest.raises(RunError, match=r"need no_such_package; .* 'jaxtherapy\[studies\]'"):
        tables.check_extras()
