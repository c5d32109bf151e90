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
from typing import Any
from urllib.parse import quote

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
    folder = binaries()
    assert folder is not None
    user = server_user()
    home = Path(tempfile.mkdtemp(prefix="piip-postgres-"))
    try:
        password_file = home / "password"
        password_file.write_text(PASSWORD)
        if user:
            for path in (home, password_file):
                shutil.chown(path, user)
        home.chmod(0o700)
        run = {"cwd": home, "user": user, "stdout": subprocess.DEVNULL}
        initdb = [folder / "initdb", "-D", home / "data", "-U", "explorer", "-A", "scram-sha-256", "-N"]
        subprocess.run([*initdb, f"--pwfile={password_file}"], check=True, **run)
        process, port = _started(folder, home, run)
        try:
            yield f"postgresql+psycopg://explorer:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: no connection is waited for, and nothing is written
            process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _started(folder: Path, home: Path, run: dict[str, Any]) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server on a free port; on another one if a program was faster to take it."""
    options = ["-c", "fsync=off", "-c", f"unix_socket_directories={home}", "-c", "listen_addresses=127.0.0.1"]
    for _ in range(5):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with (home / "log").open("wb") as log:
            command = [folder / "postgres", "-D", home / "data", "-p", str(port), *options]
            process = subprocess.Popen(command, stderr=log, **run)
        ready = [folder / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "30"]
        while process.poll() is None:
            if subprocess.run(ready, check=False).returncode == 0:
                return process, port
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    raise RuntimeError((home / "log").read_text())
