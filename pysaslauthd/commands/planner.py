"""What the master starts, with which rights, from what counts and from what the files hold now."""

import functools
import os
import socket
from collections.abc import Iterable, Mapping
from types import ModuleType

from pysaslauthd import logs
from pysaslauthd.commands import sockets
from pysaslauthd.commands.configuration import Configuration
from pysaslauthd.commands.sockets import UnknownNameError, Wanted
from pysaslauthd.config.mechanisms import Privilege
from pysaslauthd.config.options import OptionError, Options
from pysaslauthd.front import process as front
from pysaslauthd.logs import log
from pysaslauthd.master import privileges
from pysaslauthd.master.activation import InheritedSocket
from pysaslauthd.master.entrances import Entrances
from pysaslauthd.master.generation import FrontPlan, NotReloadedError, Plan, PoolPlan
from pysaslauthd.master.inspection import inspected
from pysaslauthd.master.mux import LiveSocketError
from pysaslauthd.master.privileges import Rights, User
from pysaslauthd.master.runpath import RunPathError
from pysaslauthd.sealed import Inspection, SealedFiles
from pysaslauthd.workers import concurrent, worker
from pysaslauthd.workers.priority import Priority

DRAIN_MARGIN = 15.0
"""Seconds beyond a login's waits: the longest failure delay, and what a client may take to hear its answer."""


class Planner:
    """Makes a plan at the start and at each reload.

    ``modules`` are the mechanisms by name, imported, and what a reload may have compare: children read no code from disk.
    ``scrapes``: where Prometheus comes by, if anywhere, for as long as the daemon lives.
    """

    def __init__(
        self,
        configuration: Configuration,
        options: Options,
        user: User | None,
        inherited: tuple[InheritedSocket, ...],
        modules: Mapping[str, ModuleType],
        scrapes: socket.socket | None = None,
    ) -> None:
        self._configuration = configuration
        self._options = options
        """With what the daemon started."""
        self._user = user
        self._inherited = inherited
        self._modules = modules
        self._scrapes = scrapes

    def first(self, entrances: Entrances) -> Plan:
        """The plan to start with. A mechanism's file that will not do is said in the log and can be mended later."""
        files, found = self._files_of(self._options, self._user)
        for line in found.warnings:
            log.warning(line)
        for line in found.errors:
            log.error(line)
        if found.errors:
            log.error("no login is possible until that is mended and the daemon told by HUP to reload")
        plan = self._plan(self._options, self._user, files, entrances)
        return plan._replace(fault=found.errors[0] if found.errors else "")

    def again(self, before: Plan) -> Plan:
        """The plan after a reload, where ``before`` is in force until then.

        :raises NotReloadedError: what is written now will not do, which the log then says.
        """
        try:
            options = self._reread()
            user, warning = privileges.unprivileged_user(options.user)
            wanted = sockets.wanted(options)
        except (OptionError, UnknownNameError) as error:
            raise _refused(*str(error).splitlines()) from None
        except LookupError as error:
            raise _refused(str(error.args[0])) from None
        except Exception as error:  # noqa: BLE001  (a bug of ours must not end a daemon that answers)
            raise _refused(f"internal error: {logs.describe(error)}") from None
        for text in filter(None, (*options.warnings, warning)):
            log.warning(text)
        files, found = self._files_of(options, user)
        for line in found.warnings:
            log.warning(line)
        if found.errors:
            for each in files:
                each.close()
            raise _refused(*found.errors)
        try:
            entrances = self._entrances(wanted, options, before)
        except NotReloadedError:
            for each in files:
                each.close()
            raise
        return self._plan(options, user, files, entrances)

    def _entrances(self, wanted: Iterable[Wanted], options: Options, before: Plan) -> Entrances:
        try:
            entrances = sockets.made(
                wanted, self._inherited, before.entrances, control=options.control_socket
            )
        except LiveSocketError as error:
            raise _refused(f"another program listens on {error}") from None
        except (OSError, RunPathError) as error:
            raise _refused(*str(error).splitlines()) from None
        sockets.announce(entrances, before.entrances)
        return entrances

    def _reread(self) -> Options:
        """What counts now, less what a reload cannot change.

        :raises OptionError: something is wrong.
        """
        effective = self._configuration.read()
        options, warnings = effective.keeping(self._options)
        if options.user != self._options.user and os.geteuid() != 0:
            warnings.append(f"user ({effective.origins['user']}) has no effect: not started by root")
        for text in warnings:
            log.warning(text)
        return options

    def _files_of(self, options: Options, user: User | None) -> tuple[tuple[SealedFiles, ...], Inspection]:
        """The files of each mechanism, and what is to be said of all."""
        looked_at = [files_of(each, user, self._modules[each.row.name]) for each in options.pools()]
        found = Inspection(
            errors=tuple(line for _, one in looked_at for line in one.errors),
            warnings=tuple(line for _, one in looked_at for line in one.warnings),
        )
        return tuple(files for files, _ in looked_at), found

    def _plan(
        self, options: Options, user: User | None, files: tuple[SealedFiles, ...], entrances: Entrances
    ) -> Plan:
        settings = options.settings
        each = options.split()
        pools = zip(options.pools(), files, strict=True)
        watches = {file.path(settings): None for row in options.mechanisms for file in row.watches}
        return Plan(
            front=FrontPlan(
                Rights(user),
                functools.partial(front.run, options=options, scrapes=self._scrapes),
                () if self._scrapes is None else (self._scrapes.fileno(),),
            ),
            pools=tuple(self._pool(one, user, own) for one, own in pools),
            entrances=entrances,
            files=files,
            watches=tuple(watches) if options.cache else (),
            drain_limit=len(each) * (settings.queue_timeout + settings.login_timeout) + DRAIN_MARGIN,
            summary="; ".join(map(_summary, each)),
        )

    def _pool(self, options: Options, user: User | None, files: SealedFiles) -> PoolPlan:
        module = self._modules[options.row.name]

        def run_worker(channel: socket.socket) -> None:
            settings = options.settings
            if options.row.concurrency > 1:
                concurrent.run(channel, module.Worker(options, files), settings.login_timeout)
            else:
                worker.run(channel, module.Worker(options, files), Priority(settings.stranger_niceness))

        rights = worker_rights(options, user)
        return PoolPlan(
            name=options.row.name,
            rights=rights,
            # A retired worker may still be leaving when its successor starts.
            limit=options.most_workers + options.workers,
            main=run_worker,
            runs_programs=rights.keeps_all,
            descriptors=files.descriptors,
        )


def _summary(options: Options) -> str:
    workers = f"{options.workers} workers" if options.processes else "a fresh worker for each"
    return f"{options.row.name}, {workers}"


def worker_rights(options: Options, user: User | None) -> Rights:
    """What a worker of the mechanism keeps."""
    reads = tuple(file.path(options.settings) for file in options.row.reads)
    socket = options.asked_socket
    return Rights(user, reads, (socket,) if socket else (), keeps_all=options.row.privilege is Privilege.ALL)


def files_of(options: Options, user: User | None, module: ModuleType) -> tuple[SealedFiles, Inspection]:
    """Copies of the files that the mechanism ``module`` is configured by, and what it says of all that it needs. To be closed."""
    files = SealedFiles()
    configuration = options.configuration
    if configuration is not None:
        files.add(configuration)
    elif not options.row.asks:
        return files, Inspection()
    return files, inspected(
        files, lambda copies: module.inspect(options, copies), worker_rights(options, user)
    )


def _refused(*errors: str) -> NotReloadedError:
    """What to raise, when the log has been told why."""
    for line in errors:
        log.error(line)
    log.error("not reloaded: what was in force stays so")
    return NotReloadedError(errors[0])
