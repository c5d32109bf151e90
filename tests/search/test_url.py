import json
from pathlib import Path

import pytest

from piip_explore.errors import InputError
from piip_explore.search import columns, report, session
from piip_explore.search.executors.local import LocalEngine
from piip_explore.search.launch import Request
from piip_explore.search.storage import StudyStorage, parse
from tests.search.replayed import replayed_pool, start
from tests.search.test_columns import SCORES, make

SECRET = "postgresql+psycopg://me:s%2Fe%3Acret@host:5432/db?sslpassword=other"


def test_a_path_is_a_journal():
    url = parse("studies/demo.journal")
    assert (str(url), str(url.path)) == ("studies/demo.journal", "studies/demo.journal")


def test_what_a_study_has_beside_its_storage_is_in_one_folder():
    assert (
        parse("a/demo.journal").files("any") == parse("a/demo.journal").files("other") == Path("a/demo.journal.files")
    )
    database = parse("postgresql://me@host/db")
    assert database.files("demo") == Path("studies/demo.files")
    odd = [database.files(name) for name in ("../up", "a/b", "..", "-x", "n" * 300)]
    assert {folder.parent for folder in odd} == {Path("studies")}
    assert len(set(odd)) == 5


def test_postgresql_without_a_driver_gets_psycopg():
    assert parse("postgresql://me@host/db").secret == "postgresql+psycopg://me@host/db"


def test_a_password_is_never_shown():
    url = parse(SECRET)
    for shown in (str(url), repr(url), f"{url}"):
        assert "cret" not in shown
        assert "other" not in shown
        assert "me:***@host:5432/db" in shown
    assert url.secret == SECRET


@pytest.mark.parametrize("spelling", ["s/e:cret", "s%2Fe%3Acret", "other"])
def test_redact_finds_every_spelling(spelling):
    assert parse(SECRET).redact(f"could not log in with <{spelling}>!") == "could not log in with <***>!"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mysql://me:secret@host/db",
        "redis://:secret@h",
        "x://:secret:secret@h:1:2/",
        "sqlite:///studies/s.db",
        "host=db user=me password=secret dbname=studies",
        "postgresql:/me:secret@host/db",
        "postgresql+pg8000://me:secret@host/db",
    ],
)
def test_what_cannot_be_used_is_refused_without_its_password(text):
    with pytest.raises(InputError) as error:
        parse(text)
    assert "secret" not in str(error.value)


def test_sqlite_is_refused_with_what_to_use_instead():
    with pytest.raises(InputError, match=r"SQLite holds no studies.*a journal file such as studies/demo\.journal"):
        parse("sqlite:///studies/demo.db")


def test_an_unreachable_server_is_one_line_without_the_password():
    with pytest.raises(InputError) as error:
        StudyStorage("postgresql+psycopg://me:secret@127.0.0.1:9/db", "demo", ["maximize"])
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
    assert "cannot open postgresql+psycopg://me:***@127.0.0.1:9/db" in str(error.value)


def test_a_wrong_password_is_one_line_without_it(postgres_url):
    from sqlalchemy.engine import make_url

    wrong = make_url(postgres_url).set(password="guess-of-secret").render_as_string(hide_password=False)
    with pytest.raises(InputError) as error:
        StudyStorage(wrong, "demo", ["maximize"])
    assert "guess-of-secret" not in str(error.value)
    assert "password authentication failed" in str(error.value)


def test_nothing_that_a_search_says_or_writes_holds_the_password(postgres_url, tmp_path, capfd):
    make(postgres_url, 12, "s")
    found = columns.read(postgres_url, "s")
    launched = start(replayed_pool(), SCORES, postgres_url, "s", Request(trials=12))
    said = [
        *session.opening(launched, LocalEngine(["cpu"])),
        *session.farewell(launched, session.Again("x.yaml", "s", postgres_url), False),
    ]
    report.write_table(report.trials_table(found), tmp_path / "trials.csv")
    texts = [*said, repr(found), report.front_text(found), json.dumps(report.summary(found))]
    texts += [(tmp_path / "trials.csv").read_text(), *capfd.readouterr()]
    texts += [path.read_text(errors="replace") for path in (tmp_path).rglob("*") if path.is_file()]
    assert any("explorer:***@127.0.0.1" in text for text in said)
    for spelling in ("not/so:secret@1", "not%2Fso%3Asecret%401", "secret@1"):
        assert not any(spelling in text for text in texts)
