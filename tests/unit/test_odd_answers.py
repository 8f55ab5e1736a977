"""What a front that was taken over, or of another version, says to an administrator does nothing to his terminal, and is no bug of ours."""

import pytest

from pysaslauthd.commands import control, control_client
from pysaslauthd.commands.control import EXIT_FAILED
from pysaslauthd.commands.screen import Screen
from pysaslauthd.core.control import encode
from pysaslauthd.front import exposition
from pysaslauthd.front.metrics import CACHE_HITS, SHED, Family, Sample
from support.fake_daemon import FakeDaemon, sends

HOSTILE, SHOWN = "\x1b]0;rm -rf\x07", "\\x1b]0;rm -rf\\x07"


def test_a_screen_shows_what_would_be_an_order_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen() as screen:
        capsys.readouterr()
        screen.draw([f"waiting: {HOSTILE}"])
        assert capsys.readouterr().out == f"\x1b[Hwaiting: {SHOWN}\x1b[K\x1b[J"


@pytest.mark.parametrize("form", ["--prometheus", "--json", ""])
def test_no_form_of_the_metrics_passes_it_on(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    families = [Family(SHED, (Sample((HOSTILE,), 1),)), Family(CACHE_HITS, (Sample((), 2),))]
    told = b"".join(encode(exposition.as_json(family)) for family in families)
    with FakeDaemon(sends(told + encode({"end": True})), fields=0) as fake:
        assert control.main(["--socket", str(fake.mux), "stats", *filter(None, [form])]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "rm -rf" in out
    if form == "--prometheus":
        assert out == exposition.as_text(families).replace(HOSTILE, SHOWN)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("status", b'{"version": "2.0"}'),
        ("flush", b'{"forgotten_logins": 1}'),
        ("explain alice", b'{"part": [], "text": "x"}'),
        ("explain alice", b'{"part": "x", "text": "\\ud800"}'),
        ("explain alice", b'{"part": "x", "verdict": "perhaps"}'),
        (
            "stats --prometheus",
            b'{"name": "x", "kind": "gauge", "help": "", "labels": [], "samples": [{"labels": {}, "value": NaN}]}',
        ),
    ],
)
def test_what_is_not_understood_is_said_in_a_line(
    command: str, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeDaemon(sends(line + b"\n" + encode({"end": True})), fields=0) as fake:
        assert control.main(["--socket", str(fake.mux), *command.split()]) == EXIT_FAILED
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(
        "pysaslauthctl: the daemon's answer is not understood, it may be of another version ("
    )


def test_an_answer_without_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(control_client, "MOST_BYTES", 1000)
    line = encode(exposition.as_json(Family(CACHE_HITS, (Sample((), 2),))))
    with FakeDaemon(sends(line * 1000), fields=0) as fake:
        assert control.main(["--socket", str(fake.mux), "stats"]) == EXIT_FAILED
        assert capsys.readouterr().err == f"pysaslauthctl: {fake.mux}: not understood: more than 1000 bytes\n"
