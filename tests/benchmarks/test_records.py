"""Tables that grow row by row: read back, torn rows dropped, other columns set aside."""

from benchmarks.records import Clock, Table, stem


def test_rows_are_found_again_by_their_key(tmp_path):
    table = Table(tmp_path / "a" / "t.csv", ["name", "size"])
    table.append({"name": 'a, "b"', "size": 3, "seconds": 0.5})
    again = Table(tmp_path / "a" / "t.csv", ["name", "size"])
    assert again.rows == [{"name": 'a, "b"', "size": "3", "seconds": "0.5"}]
    assert {"name": 'a, "b"', "size": 3} in again
    assert {"name": 'a, "b"', "size": 4} not in again


def test_a_torn_row_is_dropped_and_the_others_are_kept(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,size\na,1\nb,")
    table = Table(path, ["name"])
    assert {"name": "b"} not in table
    table.append({"name": "b", "size": 2})
    assert path.read_text() == "name,size\na,1\nb,2\n"


def test_a_file_with_other_columns_is_set_aside(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name,size\na,1\n")
    Table(path, ["name"]).append({"name": "b", "weight": 2})
    assert path.read_text() == "name,weight\nb,2\n"
    (aside,) = set(tmp_path.iterdir()) - {path}
    assert aside.read_text() == "name,size\na,1\n"


def test_the_rows_that_a_table_lacks_come_until_the_limit(tmp_path):
    table, clock = Table(tmp_path / "t.csv", ["name"]), Clock(60)
    table.append({"name": "a"})
    wanted = [{"name": name} for name in "abc"]
    for row in table.missing(wanted, clock):
        table.append(row)
        clock.end = 0
    assert [row["name"] for row in table.rows] == ["a", "b"]
    assert clock.stopped
    again = Clock(60)
    assert list(table.missing(wanted, again)) == [{"name": "c"}]
    assert not again.stopped


def test_a_limit_is_over_and_says_so(capsys):
    assert not Clock(60).over()
    assert Clock(0).over()
    assert "measures the rest" in capsys.readouterr().out


def test_a_name_as_part_of_a_file():
    assert stem("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
