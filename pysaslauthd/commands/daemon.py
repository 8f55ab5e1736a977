"""``pysaslauthd``: read the command line, get a place to listen, detach, supervise."""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from pysaslauthd import logs
from pysaslauthd.commands import examine, metrics_port, service, sockets
from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.commands.metrics_port import MetricsPortError
from pysaslauthd.commands.planner import Planner
from pysaslauthd.commands.sockets import UnknownNameError
from pysaslauthd.config.command_line import DEFAULT_FILE, Action, CommandLine, read_command_line, usage
from pysaslauthd.config.given import NoMechanismError
from pysaslauthd.config.mechanisms import COMPARISON, Mechanism
from pysaslauthd.config.options import (
    EXIT_ALREADY_RUNNING,
    EXIT_FAILURE,
    EXIT_USAGE,
    OptionError,
    Options,
)
from pysaslauthd.config.settings import AS_THE_ORIGINAL, JOURNAL, STDERR, SYSLOG, Settings
from pysaslauthd.logs import log
from pysaslauthd.master import kernel, privileges, process, readiness, runpath
from pysaslauthd.master.activation import ActivationError, InheritedSocket, inherited_sockets
from pysaslauthd.master.mux import LiveSocketError
from pysaslauthd.master.notify import ServiceManager
from pysaslauthd.master.pidfile import (
    MASTER_NAME,
    PID_FILE,
    START_LOCK,
    LockedByAnotherError,
    LockFile,
    lock_owner,
)
from pysaslauthd.master.readiness import CANNOT_START, Outcome, Readiness
from pysaslauthd.master.runpath import RunPathError
from pysaslauthd.master.supervisor import Supervisor, hold_signals

UMASK = 0o077
_ANOTHER_INSTANCE = f"{CANNOT_START}\nAnother instance of saslauthd is currently running"


class StartError(Exception):
    """The daemon cannot start; the message says why, a line for each thing to say."""

    def __init__(self, text: str, status: int = EXIT_FAILURE) -> None:
        super().__init__(text)
        self.status = status


class _Starter(NamedTuple):
    """What whoever started us gave us, beside the command line."""

    manager: ServiceManager
    sockets: tuple[InheritedSocket, ...]
    """Sockets to listen on, instead of our own where no others are asked for."""

    @classmethod
    def of_environment(cls) -> "_Starter":
        """To be called once, by the process that was started: the variables name it."""
        manager = ServiceManager(os.environ)
        try:
            return cls(manager, inherited_sockets(os.environ))
        except ActivationError as error:
            raise StartError(str(error)) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # until the supervisor runs, Ctrl-C ends us, without a traceback
    _secure_standard_streams()
    line = read_command_line(sys.argv[1:] if arguments is None else arguments)
    if line.action is not Action.RUN:
        return _examine(line)
    configuration = Configuration(line)
    try:
        options = configuration.read().options
    except NoMechanismError as error:
        if line.defaults is None:
            raise usage(EXIT_USAGE, str(error)) from None
        # A service's, of which nobody types the options.
        _log_without_settings(f"{error}: neither {line.defaults} nor {line.config or DEFAULT_FILE} has one")
        return EXIT_USAGE
    except OptionError as error:
        _log_without_settings(str(error))
        return EXIT_FAILURE
    _configure_logs(options)
    try:
        return _start(configuration, options)
    except StartError as error:
        _log_lines(str(error))
        return error.status


def _configure_logs(options: Options) -> None:
    """As the settings say. Until it is in the background, standard error has all: somebody waits there for the start."""
    settings = options.settings
    to = settings.log_to or AS_THE_ORIGINAL
    logs.configure(
        verbose=options.verbose,
        syslog=settings.syslog_socket if SYSLOG in to else None,
        journal=settings.journal_socket if JOURNAL in to else None,
        stderr=STDERR in to or not options.foreground,
        log_format=settings.log_format,
    )


def _examine(line: CommandLine) -> int:
    """What does not start a daemon."""
    logs.configure(verbose=False, syslog=None, stderr=True)
    if line.imported is not None:
        return examine.convert(line.imported)
    configuration = Configuration(line)
    if line.action is Action.GET:
        return examine.get(configuration, line.wanted)
    return _EXAMINERS[line.action](configuration)


_EXAMINERS = {
    Action.CHECK: examine.check,
    Action.SHOW: examine.show,
    Action.STATUS: service.status,
    Action.STOP: service.stop,
    Action.RELOAD: service.reload,
}


def _secure_standard_streams() -> None:
    """Have 0, 1 and 2 open, or a socket would get the number that everybody prints to; 0 reads nothing."""
    while (null := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        os.set_inheritable(null, True)
    os.dup2(null, 0)
    os.close(null)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _log_without_settings(text: str) -> None:
    """Where what says how to log is wrong itself."""
    logs.configure(verbose=False, syslog=Settings().syslog_socket, stderr=True)
    _log_lines(text)


def _log_lines(text: str) -> None:
    for line in text.splitlines():
        log.error(line)


def _start(configuration: Configuration, options: Options) -> int:
    starter = _Starter.of_environment()
    try:
        runpath.enter(options.run_path)
    except RunPathError as error:
        raise StartError(str(error)) from None
    for warning in options.warnings:
        log.warning(warning)
    _log_options(options)
    os.umask(UMASK)
    # Before it holds a lock: by its name it is told from others who do.
    kernel.set_name(MASTER_NAME)
    with _start_lock(options.run_path / START_LOCK):
        if lock_owner(options.run_path / PID_FILE) is not None:
            raise StartError(_ANOTHER_INSTANCE, EXIT_ALREADY_RUNNING)
        if options.foreground:
            return _supervise(configuration, options, Readiness(), starter)
        return _detach(configuration, options, starter)


def _log_options(options: Options) -> None:
    log.debug(f"num_procs  : {options.processes}")
    log.debug(f"mech_option: {options.mechanism_option or 'NULL'}")
    log.debug(f"run_path   : {options.run_path}")
    log.debug(f"auth_mech  : {','.join(row.name for row in options.mechanism)}")


def _start_lock(path: Path) -> LockFile:
    try:
        return LockFile(path)
    except LockedByAnotherError as error:
        raise StartError(f"could not lock pid lock file: {path}\nfcntl: {error.strerror}") from None
    except OSError as error:
        raise StartError(
            f"could not open pid lock file: {path}\nopen: {error.strerror}\n{runpath.hint('directory')}"
        ) from None


def _detach(configuration: Configuration, options: Options, starter: _Starter) -> int:
    """Fork the daemon, which does not return from here, and wait for what becomes of it."""
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # Who wants it stopped meanwhile, and finds this process, has to wait until there is another to be found.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        status = EXIT_FAILURE
        try:
            status = _daemon(configuration, options, write, starter)
        finally:
            # The parent's lock is the parent's to remove: nothing of its frames may run here.
            os._exit(status)
    os.close(write)
    starter.manager.moved(pid)
    outcome = readiness.wait_for(read) or Outcome(EXIT_FAILURE, f"{CANNOT_START}\nCheck syslog for errors")
    for line in outcome.text.splitlines():
        # Not by the log: the daemon has told syslog already.
        print(f"{logs.IDENT}[{os.getpid()}] :{line}", file=sys.stderr)
    return outcome.status


def _daemon(configuration: Configuration, options: Options, pipe: int, starter: _Starter) -> int:
    hold_signals()
    os.setsid()
    for descriptor in (1, 2):
        os.dup2(0, descriptor)
    logs.detach()
    # What else is open belongs to who started us, such as the other end of a pipe that he reads.
    given = {each.socket.fileno() for each in starter.sockets}
    process.close_all_but({0, 1, 2, pipe, *given})
    logs.reopen()
    ready = Readiness(pipe)
    path = options.run_path / PID_FILE
    try:
        with LockFile(path) as pid_file:
            pid_file.write_pid()
            return _supervise(configuration, options, ready, starter)
    except LockedByAnotherError as error:
        log.error(f"could not lock pid file {path}: {error.strerror}")
        failure = StartError(_ANOTHER_INSTANCE, EXIT_ALREADY_RUNNING)
    except OSError as error:
        failure = StartError(f"could not write pid file {path}: {error.strerror}")
    except StartError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  (a bug must not end in silence: the parent waits, and nobody sees stderr)
        failure = StartError(f"internal error: {logs.describe(error)}")
    _log_lines(str(failure))
    text = str(failure).removeprefix(f"{CANNOT_START}\n")
    ready.failed(failure.status, f"{CANNOT_START}\n{text}")
    return failure.status


def _supervise(configuration: Configuration, options: Options, ready: Readiness, starter: _Starter) -> int:
    hold_signals()
    log.info(f"master pid is: {os.getpid()}")
    try:
        user, warning = privileges.unprivileged_user(options.user)
        modules = {row.name: _imported(row) for row in (*options.mechanisms, COMPARISON)}
        scrapes = metrics_port.listening(options.settings.metrics_port)
        entrances = sockets.made(sockets.wanted(options), starter.sockets, control=options.control_socket)
    except LookupError as error:
        raise StartError(str(error.args[0])) from None
    except (MetricsPortError, UnknownNameError) as error:
        raise StartError(str(error)) from None
    except LiveSocketError as error:
        raise StartError(f"{_ANOTHER_INSTANCE}\nit listens on {error}", EXIT_ALREADY_RUNNING) from None
    except RunPathError as error:
        raise StartError(str(error)) from None
    sockets.announce(entrances)
    planner = Planner(configuration, options, user, starter.sockets, modules, scrapes)
    plan = planner.first(entrances)
    for text in filter(None, (warning, *(privileges.missing_rights(pool.rights) for pool in plan.pools))):
        log.warning(text)
    try:
        privileges.forbid_cores()
        if not any(pool.rights.keeps_all for pool in plan.pools):
            kernel.forbid_new_privileges()  # which a child could not undo
        kernel.forbid_dumps()
        gc.collect()
        gc.freeze()
        return Supervisor(plan, ready, planner.again, starter.manager).run()
    finally:
        entrances.remove()
        log.info(f"master exited: {os.getpid()}")


def _imported(mechanism: Mechanism) -> ModuleType:
    try:
        return importlib.import_module(mechanism.module)
    except ImportError as error:
        raise StartError(f"failed to initialize mechanism {mechanism.name}\n{error}") from None


if __name__ == "__main__":
    sys.exit(main())
