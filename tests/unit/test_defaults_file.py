"""/etc/default/saslauthd and /etc/sysconfig/saslauthd: what they make of the command line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pysaslauthd.config.defaults_file import Defaults, read_defaults
from pysaslauthd.config.given import combined
from pysaslauthd.config.mechanisms import MECHANISMS
from pysaslauthd.config.options import Options
from support import stock_files

PAM, LDAP = (MECHANISMS["pam"],), (MECHANISMS["ldap"],)
STOCK_DEBIAN = {"run_path": Path("/var/run/saslauthd"), "cache": True}


def read(text: str | bytes) -> Defaults:
    return read_defaults(text if isinstance(text, bytes) else text.encode(), "F")


def options(text: str | bytes) -> Options:
    """What counts where nobody else says anything."""
    defaults = read(text)
    assert defaults.found.errors == ()
    return combined([defaults.found], foreground=defaults.foreground).options


def warnings(text: str) -> list[str]:
    return list(read(text).found.warnings)


def errors(text: str | bytes) -> list[str]:
    return list(read(text).found.errors)


def debian(**variables: str) -> str:
    """Debian's file with other values in its variables."""
    lines = stock_files.DEBIAN.splitlines()
    for name, value in variables.items():
        lines = [line for line in lines if not line.startswith(f"{name}=")]
        lines.append(f'{name}="{value}"')
    return "\n".join(lines)


class TestAStockFile:
    def test_of_debian_means_what_its_init_script_makes_of_it(self) -> None:
        assert options(stock_files.DEBIAN) == Options(PAM, **STOCK_DEBIAN)  # type: ignore[arg-type]
        assert warnings(stock_files.DEBIAN) == []

    def test_of_debian_as_it_is_installed_means_the_same(self) -> None:
        text = stock_files.installed().decode()
        assert set(debian().splitlines()[2:]) - set(text.splitlines()) == set()
        assert options(text) == options(stock_files.DEBIAN)

    def test_of_red_hat_means_what_its_unit_makes_of_it(self) -> None:
        assert options(stock_files.RED_HAT) == Options(PAM, run_path=Path("/run/saslauthd"))
        assert warnings(stock_files.RED_HAT) == []


class TestAVariable:
    @pytest.mark.parametrize(
        ("text", "changes"),
        [
            (debian(THREADS="0"), STOCK_DEBIAN | {"processes": 0}),
            (debian(THREADS=""), STOCK_DEBIAN),
            (debian(MECHANISMS="ldap", MECH_OPTIONS="/x"), STOCK_DEBIAN | {"mechanism_option": "/x"}),
            (debian(MECHANISMS="ldap", MECH_OPTIONS="-O /x"), STOCK_DEBIAN | {"mechanism_option": "/x"}),
            (
                debian(OPTIONS="-c -r -m /var/spool/postfix/var/run/saslauthd"),
                {
                    "cache": True,
                    "settings.realm_policy": "login@realm",
                    "run_path": Path("/var/spool/postfix/var/run/saslauthd"),
                },
            ),
            (debian(OPTIONS="-m/x -n 3"), {"run_path": Path("/x")}),
            (debian(OPTIONS="-t 60 -s 100"), {"cache_timeout": 60.0, "cache_size": 102_400}),
            (debian(OPTIONS="-V -o read_timeout=1s"), {"verbose": True, "settings.read_timeout": 1.0}),
            (debian(OPTIONS="-d"), {"verbose": True, "foreground": True}),
            (debian(START="yes"), STOCK_DEBIAN),
            (
                "MECH=ldap\nFLAGS='-O /x -r'\n",
                {"mechanism_option": "/x", "settings.realm_policy": "login@realm"},
            ),
            (
                "MECH=ldap\nFLAGS=-O /x -r\n",
                {"mechanism_option": "/x", "settings.realm_policy": "login@realm"},
            ),
            ("SOCKETDIR=\nMECH=ldap\n", {}),
            ("D=/x\nSOCKETDIR=$D/y\nMECH=pam\n", {"run_path": Path("/x/y")}),
        ],
    )
    def test_means_what_it_meant(self, text: str, changes: dict[str, Any]) -> None:
        found = options(text)
        timeout = changes.pop("settings.read_timeout", 10.0)
        assert found.settings.read_timeout == timeout
        for name, value in changes.items():
            holder = found.settings if name.startswith("settings.") else found
            assert getattr(holder, name.removeprefix("settings.")) == value
        if "THREADS=5" in text:
            assert found.processes == 5  # it comes behind OPTIONS

    def test_gives_the_line_where_it_was_assigned(self) -> None:
        text = "MECH=ldap\n\nFLAGS='-r\n -O /x'\n"
        effective = combined([read(text).found])
        given = {name: origin for name, origin in effective.origins.items() if origin != "default"}
        assert given == {"mechanism": "F:1", "realm_policy": "F:3", "mechanism_option": "F:3"}

    def test_may_name_the_configuration_file(self) -> None:
        assert read(debian(OPTIONS="--config /x.toml")).config == Path("/x.toml")
        assert read(debian()).config is None


class TestAWarning:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "MECHANISMS='pam ldap'\nOPTIONS=-c\n",
                "1: MECHANISMS: only pam is used, as by saslauthd; it has one at a time",
            ),
            (
                "MECHANISMS=pam\n",
                "1: OPTIONS: empty; -c -m /var/run/saslauthd is used, as by Debian's init script",
            ),
            (
                "MECHANISMS=pam\nOPTIONS=\n",
                "2: OPTIONS: empty; -c -m /var/run/saslauthd is used, as by Debian's init script",
            ),
            (
                "START=no\nMECHANISMS=pam\nOPTIONS=-c\n",
                "1: START: has no effect; it is for who starts the daemon",
            ),
            ("MECH=pam\nKRB5_KTNAME=/x\n", "2: KRB5_KTNAME: has no effect here"),
            ("MECH=pam\nFLAG=-c\n", "2: FLAG: has no effect here; did you mean FLAGS?"),
            (
                "MECH=pam\nFLAGS=-T\n",
                "2: FLAGS: -T has no effect: no saslauthd ever checked the time of day; PAM's pam_time does",
            ),
        ],
    )
    def test_says_what_is_not_as_it_may_be_thought(self, text: str, expected: str) -> None:
        assert warnings(text) == [f"F:{expected}"]

    def test_is_not_for_a_variable_that_another_is_made_of(self) -> None:
        assert warnings('PWDIR=/x\nMECHANISMS=pam\nOPTIONS="-m ${PWDIR}/y"\n') == []

    def test_of_what_the_mechanism_does_not_take_names_the_variable(self) -> None:
        text = "MECHANISMS=pam\nMECH_OPTIONS=/x\nOPTIONS=-c\n"
        assert options(text).warnings == (
            "F:2: MECH_OPTIONS: -O has no effect: mechanism pam takes no option",
        )


class TestABrokenFile:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("MECH=pam\nFLAGS=-x\n", ["2: FLAGS: option -x not recognized"]),
            ("MECH=pam\nFLAGS=-m\n", ["2: FLAGS: option -m requires argument"]),
            ("MECH=pam\nSOCKETDIR=run\n", ["2: SOCKETDIR: -m requires an absolute pathname"]),
            ("MECH=pam\nFLAGS='-a ldap'\n", ["2: only one mechanism can be used"]),
            (
                "MECH=pam\nFLAGS='-h --check --stop'\n",
                [
                    "2: FLAGS: --help has no place here",
                    "2: FLAGS: --check has no place here",
                    "2: FLAGS: --stop has no place here",
                ],
            ),
            ("MECH=pam\nFLAGS='--config x'\n", ["2: FLAGS: --config: expected an absolute path"]),
            ("MECH=pam\nFLAGS='-o x=1'\n", ["2: FLAGS: -o x: no such setting"]),
            (
                debian(MECHANISMS="rimap"),
                [
                    "10: MECHANISMS: unknown authentication mechanism: rimap",
                    "10: MECHANISMS: this version has: ldap pam proxy shadow; saslauthd's others by asking it: -a proxy",
                ],
            ),
            (
                "MECH=pam\nMECHANISMS=pam\n",
                ["1: MECH is Red Hat's and MECHANISMS Debian's; expected one of the two"],
            ),
            (
                "X=1\n",
                [
                    "1: expected one of START, DESC, NAME, MECHANISMS, MECH_OPTIONS, THREADS, OPTIONS, or of SOCKETDIR, MECH, FLAGS"
                ],
            ),
            (
                "MECHANISMS=pma\nTHREADS=abc\nOPTIONS='-m x -s 0'\nfi\n",
                [
                    "1: MECHANISMS: unknown authentication mechanism: pma; did you mean pam?",
                    "1: MECHANISMS: this version has: ldap pam proxy shadow; saslauthd's others by asking it: -a proxy",
                    "2: THREADS: invalid number of worker processes defined",
                    "3: OPTIONS: -m requires an absolute pathname",
                    "3: OPTIONS: cache size must be positive and non zero",
                    "4: expected NAME=VALUE or a comment",
                ],
            ),
        ],
    )
    def test_is_refused_with_all_that_is_wrong(self, text: str, expected: list[str]) -> None:
        assert errors(text) == [f"F:{line}" for line in expected]

    def test_of_another_kind_is_refused(self) -> None:
        assert errors(b"MECH=\0") == ["F: expected text, found a NUL byte"]
        assert errors(b"#" * 65_537) == ["F: 65537 bytes; expected at most 65536"]
        assert len(errors("ldap_servers: x\n" * 100)) == 51
        assert errors(b"MECH=pam\nFLAGS=-m \xff\n")[0].startswith("F:2: FLAGS: -m requires")


class TestAnyFile:
    @given(st.binary(max_size=80))
    def test_is_flags_and_errors_and_never_an_exception(self, data: bytes) -> None:
        read(data)

    @given(
        st.lists(st.sampled_from([*"acdfrOlmnstuoVhHT", *"/x0 -=", "--", "٣", "\xb2", "\udcff"]), max_size=12)
    )
    def test_of_any_flags_is_too(self, parts: list[str]) -> None:
        read(f"MECH=pam\nFLAGS='-{''.join(parts)}'\n".encode(errors="surrogateescape"))
