"""The benchmarks start what they need and count what they should. No figure is judged: the machine is not ours alone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench.directory import need_slapd
from bench.generator import Generator
from bench.model import Load, Trouble, Users
from bench.surroundings import Surroundings
from bench.trouble import trouble_ahead
from support import processes
from support.fake_daemon import FakeDaemon
from support.namespaces import need_namespaces
from support.packages import need_program, need_root
from support.waiting import wait_until

TESTS = Path(__file__).parents[1]


@pytest.fixture
def place() -> Iterator[Path]:
    """The directory for temporary files of a benchmark; all that it starts knows its name."""
    need_program("saslauthd", "sasl2-bin")
    need_program("gcc", "gcc")
    need_namespaces()
    # Not tmp_path: a socket's path has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="psb-test-"))
    yield directory
    for process in family(directory):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    shutil.rmtree(directory)


def test_a_case_on_a_small_scale(place: Path) -> None:
    case, table = measured_case(place, "shadow-md5-5")

    everybody_got_in(case)
    (comparison,) = case["comparisons"]
    medians = [case["runs"][name]["medians"]["rate"] for name in ("ours", "saslauthd")]
    assert [comparison["subject"]["median"], comparison["base"]["median"]] == medians
    assert comparison["ratio"] == medians[0] / medians[1]
    assert "ours / saslauthd" in table


def test_a_directory_far_away(place: Path) -> None:
    need_slapd()

    case, _ = measured_case(place, "ldap-far-64")

    everybody_got_in(case)
    runs = only_rounds(case)
    # Two round trips of 20 ms each, and one more as the original binds its account each time.
    assert runs["ours"]["p50"] >= 40_000
    assert runs["saslauthd"]["p50"] >= 60_000
    programs = {name: {key for key in run if key.startswith("cpu_")} for name, run in runs.items()}
    assert programs["saslauthd"] == {"cpu_saslauthd", "cpu_slapd", "cpu_far"}
    assert programs["ours"] > {"cpu_pysasl-ldap", "cpu_pysasl-front", "cpu_slapd", "cpu_far"}
    assert min(run["cpu_slapd"] for run in runs.values()) > 0


def test_who_connects_and_says_nothing_holds_his_connection(place: Path) -> None:
    case, _ = measured_case(place, "cached-silent-2000")

    runs = only_rounds(case)
    assert only_ok(runs["ours, undisturbed"])
    assert only_ok(runs["ours, attacked"])
    for name in ("ours, attacked", "saslauthd, attacked"):
        assert runs[name]["attack_unfinished"] == 2000
        assert not {outcome for outcome in ("ok", "no", "other") if runs[name][f"attack_{outcome}"]}


def test_a_directory_that_hangs_answers_nobody_but_who_is_remembered(place: Path) -> None:
    need_slapd()

    case, _ = measured_case(place, "cached-ldap-hangs")

    runs = only_rounds(case)
    assert only_ok(runs["ours, undisturbed"])
    assert only_ok(runs["ours, attacked"])
    assert runs["ours, attacked"]["attack_ok"] == runs["saslauthd, attacked"]["attack_ok"] == 0


def test_a_full_log_takes_no_line(place: Path) -> None:
    case, _ = measured_case(place, "cached-log-full")

    runs = only_rounds(case)
    assert only_ok(runs["ours, attacked"])
    assert runs["ours, attacked"]["attack_no"] > 0
    # It writes a refusal down before it says so.
    assert runs["saslauthd, attacked"]["attack_no"] == 0


def test_a_full_log_is_full_for_everybody() -> None:
    with (
        trouble_ahead(Trouble.LOG_FULL, Surroundings()) as (found, begin),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        sender.setblocking(False)
        log = found.binds[Path("/dev")] / "log"
        sender.sendto(b"there is room", str(log))
        begin()
        with pytest.raises(BlockingIOError):
            sender.sendto(b"there is none", str(log))


def test_who_guesses_is_counted_beside_who_knows(place: Path) -> None:
    case, table = measured_case(place, "owner-guessed-yescrypt")

    runs = only_rounds(case)
    assert only_ok(runs["ours, undisturbed"])
    attacked = runs["ours, attacked"]
    assert attacked["attack_no"] + attacked["attack_closed"] > 0
    assert attacked["attack_ok"] == attacked["no"] == 0
    compared = [(c["figure"], c["base"]["figure"]) for c in case["comparisons"]]
    # Under attack nobody may have got in within so short a time, and there is no latency then.
    assert set(compared) <= {("p50", "p50"), ("max", "p50"), ("rate", "rate")}
    assert "attackers heard" in table


def test_all_at_once_is_one_login_of_each(place: Path) -> None:
    case, _ = measured_case(place, "at-once-yescrypt-64")

    runs = only_rounds(case)
    assert {name: run["ok"] for name, run in runs.items()} == {
        "saslauthd, 64 at once": 64,
        "ours, one login": 1,
        "ours, 64 at once": 64,
    }
    assert all(only_ok(run) and run["checking"] > 0 for run in runs.values())
    assert {"checking", "max"} == {comparison["figure"] for comparison in case["comparisons"]}


def test_memory_is_looked_at_in_each_lap(place: Path) -> None:
    need_root()

    case, table = measured_case(place, "memory-full-cache", "--logins", "3200", "--rounds", "2")

    (run,) = case["runs"]["ours"]["rounds"]
    assert run["ok"] == 3200
    assert only_ok(run)
    assert all(0 < run[f"front_{lap}"] < run[f"memory_{lap}"] for lap in range(1, 11))
    all_of_it, front = case["comparisons"]
    assert all_of_it["subject"]["median"] == run["growth"] > 0
    assert front["subject"]["median"] == run["front_growth"] > 0
    assert "of its first plateau" in table


@pytest.mark.usefixtures("place")
def test_no_guess_comes_twice() -> None:
    nobody = Users("nobody-%d", 1_000_000_000)
    with FakeDaemon(b"NO") as fake:
        load = Load(4, nobody, "guess-%d", ("no",), "imap", "ex.org", logins=25)
        with Generator(fake.mux, load, 60, 0) as generator:
            counted = generator.result()

    assert counted["no"] == 100
    assert counted["rate"] == 100 / counted["seconds"]
    logins, passwords, services, realms = zip(*fake.requests, strict=True)
    assert len(set(logins)) == len(set(passwords)) == 100
    assert {login.partition(b"-")[0] for login in logins} == {b"nobody"}
    assert {password.partition(b"-")[0] for password in passwords} == {b"guess"}
    assert (set(services), set(realms)) == ({b"imap"}, {b"ex.org"})


@pytest.mark.usefixtures("place")
def test_a_close_without_an_answer_is_an_outcome() -> None:
    with FakeDaemon(b"") as fake:
        load = Load(2, Users("u"), expect=("no", "closed"), logins=3)
        with Generator(fake.mux, load, 60, 0) as generator:
            counted = generator.result()

    assert counted["closed"] == len(fake.requests) == 6
    assert counted["rate"] == 6 / counted["seconds"]


def test_who_is_told_to_end_leaves_nothing_behind(place: Path) -> None:
    need_slapd()
    bench = started(place, "--case", "ldap-far-64", "--seconds", "600")
    try:
        wait_until(lambda: {"slapd", "far", "saslauthd"} <= {p.name for p in family(place)}, "all is there")
        wait_until(lambda: any(p.name.startswith("loadgen") for p in family(place)), "the load begins")
    finally:
        bench.terminate()
        bench.communicate(timeout=60)

    assert bench.returncode == 1
    assert not family(place)
    assert not list(place.iterdir())


def measured_case(place: Path, name: str, *arguments: str) -> tuple[Any, str]:
    """What one short round of the case found, and the table. All was there that was to be measured."""
    figures = place / "figures.json"
    chosen = ("--case", name, "--rounds", "1", "--seconds", "0.3", "--json", str(figures))
    bench = started(place, *chosen, *arguments)
    table, complaint = bench.communicate(timeout=240)

    assert bench.returncode == 0, complaint
    (case,) = json.loads(figures.read_text())["cases"]
    for run in only_rounds(case).values():
        assert run["start"] > 0
        assert run["errors"] == 0
        assert 0 <= run.get("p50", 0) <= run.get("p99", 0) <= run.get("max", 0)
    assert not family(place)
    assert list(place.iterdir()) == [figures]
    return case, table


def everybody_got_in(case: Any) -> None:
    assert list(case["runs"]) == ["saslauthd", "ours"]
    for run in only_rounds(case).values():
        assert only_ok(run)
        assert run["p50"] > 0


def only_rounds(case: Any) -> dict[str, dict[str, float]]:
    """Each run's only one."""
    rounds = {name: run["rounds"] for name, run in case["runs"].items()}
    assert {len(of_run) for of_run in rounds.values()} == {1}
    return {name: of_run[0] for name, of_run in rounds.items()}


def only_ok(run: dict[str, float]) -> bool:
    """Whether somebody got in and nobody heard anything else."""
    return run["ok"] > 0 and not any(run[kind] for kind in ("no", "closed", "other", "errors"))


def started(place: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def family(place: Path) -> list[processes.Process]:
    """The processes that a benchmark with its files in ``place`` has started, by their command or environment."""
    word = str(place).encode()
    return [process for process in processes.all_processes() if word in _words(process.pid)]


def _words(pid: int) -> bytes:
    words = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            words += Path(f"/proc/{pid}/{name}").read_bytes()
    return words
