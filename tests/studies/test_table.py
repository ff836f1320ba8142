"""The table on the disk."""

import json

import pytest
from pyarrow import parquet

from jaxtherapy.errors import RunError
from jaxtherapy.studies.table import Table

COLUMNS = ("point", "seed", "therapist", "threshold", "mechanism", "success")


def row(point, therapist, success=0.5, seed=42):
    return {
        "point": point,
        "seed": seed,
        "therapist": therapist,
        "threshold": 0.5 + point / 4,
        "mechanism": "bond_only",
        "success": success,
    }


def of_run(point, success=0.5):
    return [row(point, "complementary", success), row(point, "myopic", None)]


@pytest.fixture
def table(tmp_path):
    table = Table(tmp_path, COLUMNS, 2)
    table.create()
    return table


def again(table):
    loaded = Table(table.csv.parent, COLUMNS, 2)
    loaded.load()
    return loaded


def test_rows_are_read_back_as_they_were(table):
    table.append(of_run(0) + of_run(2))
    assert again(table).rows == table.rows == of_run(0) + of_run(2)
    assert again(table).done == {(0, 42), (2, 42)}


def test_a_therapist_may_be_called_like_a_number(table):
    rows = [row(0, "complementary"), row(0, "7")]
    table.append(rows)
    assert again(table).rows == table.rows == rows


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_what_a_killed_write_left_of_a_run_goes(table, cut):
    table.append(of_run(0))
    whole = table.csv.read_bytes()
    table.append(of_run(1))
    lines = len(table.csv.read_bytes()) - len(whole)
    with open(table.csv, "r+b") as file:
        file.truncate(len(whole) + min(cut, lines - 1))
    loaded = again(table)
    assert loaded.rows == of_run(0)
    assert table.csv.read_bytes() == whole
    loaded.append(of_run(1))
    assert again(loaded).done == {(0, 42), (1, 42)}


def test_a_table_of_something_else_is_refused(table):
    table.csv.write_text("step,reward\n1,2\n")
    with pytest.raises(RunError, match="has other columns"):
        again(table)


def test_parquet_has_types_and_metadata_and_rows_in_order(table):
    table.append(of_run(1))
    table.append(of_run(0, success=1))
    table.write_parquet({"commit": "abc"})
    read = parquet.read_table(table.parquet)
    assert read.column_names == list(COLUMNS)
    assert read["point"].to_pylist() == [0, 0, 1, 1]
    assert [str(field.type) for field in read.schema] == [
        *("int64", "int64", "string", "double", "string", "double")
    ]
    assert json.loads(read.schema.metadata[b"jaxtherapy"]) == {"commit": "abc"}
