"""What the master starts, with which rights, from the options and from what the files hold now."""

import functools
import socket
from types import ModuleType

from pysaslauthd.config.mechanisms import Privilege
from pysaslauthd.config.options import Options
from pysaslauthd.front import process as front
from pysaslauthd.logs import log
from pysaslauthd.master.generation import FrontPlan, NotReloadedError, Plan, PoolPlan
from pysaslauthd.master.inspection import inspected
from pysaslauthd.master.privileges import Rights, User
from pysaslauthd.master.runpath import MuxSocket
from pysaslauthd.sealed import Inspection, SealedFiles
from pysaslauthd.workers import concurrent, worker

DRAIN_MARGIN = 15.0
"""Seconds beyond a login's waits: the longest failure delay, and what a client may take to hear its answer."""


class Planner:
    """Makes a plan at the start and at each reload. ``module`` is the mechanism, imported: children read no code from disk."""

    def __init__(self, options: Options, user: User | None, mux: MuxSocket, module: ModuleType) -> None:
        self._options = options
        self._user = user
        self._mux = mux
        self._module = module

    def first(self) -> Plan:
        """The plan to start with. A configuration that will not do is said in the log and can be mended later."""
        files, found = self._files()
        for line in found.errors:
            log.error(line)
        if found.errors:
            log.error("no login is possible until that is mended and the daemon told by HUP to reload")
        return self._plan(files)._replace(fault=found.errors[0] if found.errors else "")

    def again(self) -> Plan:
        """The plan after a reload.

        :raises NotReloadedError: the configuration will not do, which the log then says.
        """
        files, found = self._files()
        if not found.errors:
            return self._plan(files)
        files.close()
        for line in found.errors:
            log.error(line)
        log.error("not reloaded: what was in force stays so")
        raise NotReloadedError(found.errors[0])

    def _files(self) -> tuple[SealedFiles, Inspection]:
        files = SealedFiles()
        configuration = self._options.configuration
        if configuration is None:
            return files, Inspection()
        files.add(configuration)
        found = inspected(
            files, lambda copies: self._module.inspect(self._options, copies), Rights(self._user)
        )
        for line in found.warnings:
            log.warning(line)
        return files, found

    def _plan(self, files: SealedFiles) -> Plan:
        options, mechanism, module = self._options, self._options.mechanism, self._module

        def run_worker(channel: socket.socket) -> None:
            if mechanism.concurrency > 1:
                concurrent.run(channel, module.Worker(options, files), options.settings.login_timeout)
            else:
                worker.run(channel, module.Worker(options, files))

        reads = tuple(file.path(options.settings) for file in mechanism.reads)
        keeps_all = mechanism.privilege is Privilege.ALL
        pool = PoolPlan(
            name=mechanism.name,
            rights=Rights(self._user, reads, keeps_all),
            # A retired worker may still be leaving when its successor starts.
            limit=options.most_workers + options.workers,
            main=run_worker,
            runs_programs=keeps_all,
            descriptors=files.descriptors,
        )
        settings = options.settings
        return Plan(
            front=FrontPlan(Rights(self._user), functools.partial(front.run, options=options)),
            pools=(pool,),
            mux=self._mux,
            files=files,
            watches=tuple(file.path(settings) for file in mechanism.watches) if options.cache else (),
            drain_limit=settings.queue_timeout + settings.login_timeout + DRAIN_MARGIN,
            summary=f"{mechanism.name}, {f'{options.workers} workers' if options.processes else 'a fresh worker for each'}",
        )
