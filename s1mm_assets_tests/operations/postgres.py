"""A real PostgreSQL of one's own, from the system's packages: started in seconds, killed as a test wants."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s1mm_assets_tests.conftest import stop as skip
from s1mm_assets_tests.operations.processes import free_port, log_of, stop

SUPERUSER = "dagster"
DEBIAN = Path("/usr/lib/postgresql")  # Debian keeps all but the clients off the PATH
OWNER = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root


def program(name: str) -> str | None:
    """Return where one of PostgreSQL's programs is: on the PATH, or the newest of Debian's."""
    packaged = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return shutil.which(name) or (str(packaged[-1]) if packaged else None)


class Postgres:
    """One server with one database, on a port and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Make an empty cluster that asks for a password; only the owner of the server may read it."""
        if OWNER:
            shutil.chown(self.folder, OWNER)
        secret = self.folder / "password"
        secret.write_text(self.password)
        if OWNER:
            shutil.chown(secret, OWNER)
        arguments = ["--auth=scram-sha-256", f"--username={SUPERUSER}", f"--pwfile={secret}", "--no-sync"]
        self._run("initdb", *arguments, "--encoding=UTF8", "--locale=C", "-D", str(self.folder / "data"))
        secret.unlink()

    def start(self) -> None:
        """Start the server and wait until it answers; after a kill it recovers first."""
        listening = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        # a killed process loses nothing that the system has, so nothing need reach the disk
        fast = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"]
        command = [str(program("postgres")), "-D", str(self.folder / "data"), *listening, *fast]
        with log_of(self.folder / "postgres.log") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=OWNER, cwd=self.folder
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "postgres.log").read_text()[-2000:])
            time.sleep(0.1)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: by SIGINT as on a shutdown; by SIGQUIT at once, as `pg_ctl stop -m immediate` does."""
        stop(self._process, how)
        self._process = None

    def _answers(self) -> bool:
        asked = [str(program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [str(program(name)), *arguments], user=OWNER, cwd=self.folder, check=True, capture_output=True
        )


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A running server; in the end it is stopped and its folder removed."""
    if program("initdb") is None:
        skip("not installed: postgresql")
    # not below pytest's folders: those are closed to the user that the server runs as
    with tempfile.TemporaryDirectory(prefix="s1mm-postgres-") as folder:
        server = Postgres(Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
