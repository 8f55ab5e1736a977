"""What a front that was taken over says to an administrator does nothing to his terminal."""

import pytest

from pysaslauthd.commands import control
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
