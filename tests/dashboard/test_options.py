"""What the dashboard shows where its options say nothing."""

from pathlib import Path

from piip_explore.dashboard import spaces
from piip_explore.dashboard.options import Options, parse
from piip_explore.space import shipped


def test_the_spaces_of_the_folder_here_come_before_those_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert spaces.files(parse([]).spaces) == spaces.files(Options().spaces) == shipped()
    Path("search_spaces").mkdir()
    assert parse([]).spaces == Options().spaces == Path("search_spaces")
    assert parse(Options(spaces=tmp_path).arguments()).spaces == tmp_path
