"""Which files are read for a command line, and what of them counts."""

from pathlib import Path

import pytest

from pysaslauthd.commands import configuration
from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.config.command_line import read_command_line
from pysaslauthd.config.given import Effective
from pysaslauthd.config.options import OptionError


def read(*words: str) -> Effective:
    return Configuration(read_command_line(["-a", "shadow", *words])).read()


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o644)
    return path


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the default file, where there is none yet."""
    path = tmp_path / "default.toml"
    monkeypatch.setattr(configuration, "DEFAULT_FILE", path)
    return path


class TestTheDefaultFile:
    def test_need_not_be_there(self, default: Path) -> None:
        assert not default.exists()
        assert set(read().origins.values()) == {"default", "-a"}

    def test_counts_where_it_is(self, default: Path) -> None:
        written(default, "processes = 3\n")
        assert read().options.processes == 3
        assert read("-n", "4").options.processes == 4
        assert read().origins["processes"] == f"{default}:1"

    def test_has_to_be_right_where_it_is(self, default: Path) -> None:
        written(default, "processes = no\n")
        with pytest.raises(OptionError, match=f"{default}:1: expected a value"):
            read()
        default.chmod(0o666)
        with pytest.raises(OptionError, match="its owner alone can write"):
            read()

    def test_is_not_read_where_another_is_named(self, default: Path, tmp_path: Path) -> None:
        written(default, "nonsense\n")
        named = written(tmp_path / "named.toml", "processes = 5\nverbose = true\n")
        assert read("--config", str(named)).options.processes == 5
        defaults = written(tmp_path / "defaults", f"MECH=pam\nFLAGS='-n 6 --config {named}'\n")
        effective = read("--defaults", str(defaults))
        assert (effective.options.processes, effective.options.verbose) == (6, True)
        other = written(tmp_path / "other.toml", "realm_policy = 'strip'\n")
        effective = read("--defaults", str(defaults), "--config", str(other))
        assert (effective.options.settings.realm_policy, effective.options.verbose) == ("strip", False)


class TestEachReading:
    def test_finds_what_the_file_says_then(self, default: Path) -> None:
        again = Configuration(read_command_line(["-a", "shadow"]))
        assert again.read().options.processes == 5
        written(default, "processes = 3\n")
        assert again.read().options.processes == 3
        written(default, "processes = 0.5\n")
        with pytest.raises(OptionError):
            again.read()
        default.unlink()
        assert again.read().options.processes == 5

    def test_leaves_no_descriptor_open(self, default: Path) -> None:
        default.mkdir()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            with pytest.raises(OptionError, match="not a regular file"):
                read()
        assert len(list(Path("/proc/self/fd").iterdir())) == before
