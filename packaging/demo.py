"""``make run``: the daemon in the foreground on ``./run/mux``, with one user, ``demo``, whose password is ``demo``."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from pysaslauthd.core.secret import Secret
from pysaslauthd.mechanisms import libcrypt

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "run"
MUX = RUN / "mux"
SHADOW_FILE = RUN / "demo.shadow"
START_LIMIT = 20.0  # seconds


def main() -> int:
    """Start the daemon, try it, and stay until it ends."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    _write_shadow_file()
    arguments = [
        "-d",
        "-a",
        "shadow",
        "-n",
        "2",
        "-m",
        str(RUN),
        "-o",
        f"shadow_file={SHADOW_FILE}",
        "-o",
        "syslog_socket=",
    ]
    # Ctrl-C reaches the daemon by itself, as it is in the same process group; we only wait for its end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started = time.monotonic()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "pysaslauthd.commands.daemon", *arguments],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    signal.signal(signal.SIGTERM, lambda *_: daemon.terminate())
    if not _wait_for_socket(daemon):
        daemon.terminate()
        return daemon.wait() or 1
    _try("demo", f"answered {time.monotonic() - started:.1f} s after its start")
    _try("wrong", "as it should be")
    command = shlex.join(
        [f"{Path(sys.executable).parent}/testpysaslauthd", "-u", "demo", "-p", "demo", "-f", str(MUX)]
    )
    print(f"\nTry it from another terminal:\n\n    {command}\n\nCtrl-C ends it.\n", flush=True)
    return daemon.wait()


def _write_shadow_file() -> None:
    stored = libcrypt.hashed(Secret(b"demo"), libcrypt.new_setting())
    assert stored is not None
    temporary = SHADOW_FILE.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_bytes(b"demo:" + stored + b":::::::\n")
    temporary.replace(SHADOW_FILE)


def _wait_for_socket(daemon: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + START_LIMIT
    while daemon.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(MUX)) == 0:
                return True
        time.sleep(0.01)
    return False


def _try(password: str, remark: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pysaslauthd.commands.check",
        "-u",
        "demo",
        "-p",
        password,
        "-f",
        str(MUX),
    ]
    print(f"$ testpysaslauthd -u demo -p {password} -f {os.path.relpath(MUX)}", flush=True)
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(f"{result.stdout.rstrip()}    ({remark})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
