"""A throw-away PostgreSQL server on loopback, started from the binaries on this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "not/so:secret@1"


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: on PATH, or where Debian installs them."""
    folders = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def server_user() -> str | None:
    """PostgreSQL refuses to run as root: the user to run it as, None for ourselves."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a server until the block ends; yields the URL of an empty database, password included."""
    from urllib.parse import quote

    folder = binaries()
    assert folder is not None
    user = server_user()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="piip-postgres-"))
    try:
        password_file = home / "password"
        password_file.write_text(PASSWORD)
        if user:
            for path in (home, password_file):
                shutil.chown(path, user)
        home.chmod(0o700)
        data = home / "data"
        run = {"cwd": home, "user": user, "stdout": subprocess.DEVNULL}
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "explorer", "-A", "scram-sha-256", f"--pwfile={password_file}", "-N"],
            check=True,
            **run,
        )
        options = ["-c", "fsync=off", "-c", f"unix_socket_directories={home}", "-c", "listen_addresses=127.0.0.1"]
        process = subprocess.Popen(
            [folder / "postgres", "-D", data, "-p", str(port), *options],
            stderr=(home / "log").open("wb"),
            **run,
        )
        try:
            ready = [folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "30"]
            for _ in range(100):
                if subprocess.run(ready, check=False).returncode == 0:
                    break
                assert process.poll() is None, (home / "log").read_text()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            yield f"postgresql+psycopg://explorer:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # at once, open connections or not
            process.wait(20)
    finally:
        shutil.rmtree(home, ignore_errors=True)
