from collections.abc import Iterator
from itertools import count

import pytest

from tests.search import postgres

_databases = count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL binaries on PATH or in /usr/lib/postgresql (Debian: apt-get install postgresql)")
    with postgres.server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A new, empty database."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url

    name = f"test{next(_databases)}"
    engine = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
