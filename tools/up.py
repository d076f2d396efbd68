"""`make up`: one member on 127.0.0.1 in the foreground, its log in a file, until Ctrl-C.

Usage: python tools/up.py FOLDER [CLIENT_PORT PEER_PORT]
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

READY_S_MAX = 30.0
READY_LINE = b'"msg":"ready to serve client requests"'
POLL_S = 0.05
LOG_TAIL_LINES = 5


def command(folder: Path, client_url: str, peer_url: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "kvorum.cli.etcd",
        f"--data-dir={folder / 'data'}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        f"--log-outputs={folder / 'etcd.log'}",
    ]


def wait_ready(member: subprocess.Popen[bytes], log: Path, start: int) -> bool:
    """True once the log says so, from byte `start` on; False when it has ended or takes too long.

    Asking the port would not do: another program may have it, and answer.
    """
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline and member.poll() is None:
        if log.exists() and READY_LINE in log.read_bytes()[start:]:
            return True
        time.sleep(POLL_S)
    return False


def tell_failure(log: Path) -> None:
    print(f"The member did not start. The end of {log}:", file=sys.stderr)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    for line in lines[-LOG_TAIL_LINES:]:
        print(f"  {line[:500]}", file=sys.stderr)


def tell_ready(folder: Path, client_url: str) -> None:
    print(
        f"""\
Kvorum is ready on {client_url} (data: {folder / "data"}, log: {folder / "etcd.log"}).
In another terminal:

  .venv/bin/etcdctl --endpoints={client_url} put greeting hello
  .venv/bin/etcdctl --endpoints={client_url} get greeting
  curl {client_url}/health

Any etcd client works. Ctrl-C stops the member; the data stays.""",
        flush=True,
    )


def stop(member: subprocess.Popen[bytes]) -> None:
    if member.poll() is None:
        member.terminate()
    member.wait()


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    client_port, peer_port = (arguments[1:] + ["2379", "2380"][len(arguments) - 1 :])[:2]
    client_url, peer_url = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "etcd.log"
    start = log.stat().st_size if log.exists() else 0
    # A session of its own: Ctrl-C reaches us alone, and we stop it in order.
    run = command(folder, client_url, peer_url)
    member = subprocess.Popen(run, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        if not wait_ready(member, log, start):
            tell_failure(log)
            return 1
        tell_ready(folder, client_url)
        return member.wait()
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
        return 0
    finally:
        stop(member)


if __name__ == "__main__":
    # Both as Ctrl-C; said outright, since a shell that starts us in the background ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    raise SystemExit(main(sys.argv[1:]))
