"""Device profiles as files, and the log of a measurement."""

import json
from dataclasses import replace

import pytest

from piip_explore import SearchSpace
from piip_explore.errors import InputError
from piip_explore.latency import load
from piip_explore.latency.device_profile import path_of
from piip_explore.latency.visits import Log, Visit
from tests.damage import damaged
from tests.latency.made import SPACE, made_profile


@pytest.fixture
def profile():
    return made_profile(SearchSpace.parse(SPACE, "test"))


def test_a_profile_travels(profile):
    read = load("box")
    assert read == replace(profile, designs=list(profile.designs))
    assert load(str(path_of("box").resolve())) == read
    assert "off by 5.0 % on average and 10 % at worst, tau 0.95 on 12 designs" in read.conditions_text()


def test_a_damaged_profile_is_never_believed(profile):
    path = path_of("box")
    content = json.loads(path.read_text())
    content["error"]["mape"] = 0.001
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"'devices/box.json' is damaged: its checksum does not match"):
        load("box")
    for text in ("", "{}", "[1]", '{"format": 1}', '{"format": "x", "sha256": 1}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"devices/box.json"):
            load("box")
    path.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(InputError, match="newer version"):
        load("box")


def test_no_damage_passes_for_another_profile(profile):
    path = path_of("box")
    refused = 0
    for _ in damaged(path, 60):
        try:
            read = load("box")
        except InputError:
            refused += 1
        else:
            assert read == profile  # a bit of white space
    assert refused > 50


def test_a_missing_profile_says_how_to_make_it(profile):
    with pytest.raises(InputError, match=r"no device profile 'devices/h100.json'.*measure-device.*devices: box"):
        load("h100")


VISITS = [
    Visit("part-0", 5.0, 0.1, None, 1.0),
    Visit("part-1", 2.5, 0.2, 7, 2.0),
    Visit("part-0", 4.0, 0.1, None, 1.0),
]


def test_the_log_keeps_every_visit(tmp_path):
    log = Log(tmp_path / "log", {"device": "box"})
    for visit in VISITS:
        log.add(visit)
    again = Log(tmp_path / "log", {"device": "box"})
    assert again.visits == VISITS
    assert (again.seconds, again.counts()) == (4.0, {"part-0": 2, "part-1": 1})
    assert again.reference == pytest.approx(0.1)
    assert again.times() == pytest.approx({"part-0": 0.45, "part-1": 0.25})
    assert again.memory() == {"part-1": 7}


def test_a_torn_line_is_cut_off_wherever_a_kill_tore_it(tmp_path):
    path = tmp_path / "log"
    log = Log(path, {"device": "box"})
    for visit in VISITS:
        log.add(visit)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        torn = Log(path, {"device": "box"})
        assert torn.visits == VISITS[:2]
        torn.add(VISITS[2])
        assert path.read_bytes() == whole


def test_a_log_of_other_conditions_is_not_mixed_in(tmp_path):
    Log(tmp_path / "log", {"device": "box", "batch": 1})
    with pytest.raises(InputError, match="unfinished measurement with another batch: finish it"):
        Log(tmp_path / "log", {"device": "box", "batch": 2})
