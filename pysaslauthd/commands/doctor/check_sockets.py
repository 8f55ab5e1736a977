"""Sockets and permissions: whether who asks finds one of ours, and is let in. Pure, over a :class:`Scene`."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from pysaslauthd.commands.doctor import cures
from pysaslauthd.commands.doctor.access import SEARCH, WRITE, Obstacle, is_open_to_all, obstacle
from pysaslauthd.commands.doctor.accounts import Person
from pysaslauthd.commands.doctor.findings import Finding, fine, problem, warning
from pysaslauthd.commands.doctor.listeners import Listener
from pysaslauthd.commands.doctor.own import DEFAULT_SOCKETS, USUAL_SOCKETS
from pysaslauthd.commands.doctor.scene import Asked, Scene, Spot
from pysaslauthd.commands.doctor.tree import Place
from pysaslauthd.config.options import DEFAULT_RUN_PATH, SOCKET_NAME

ORIGINAL = "saslauthd"
"""The name of Cyrus' daemon and of its service."""

POWERFUL = {"root", "adm", "disk", "kmem", "shadow", "sudo", "wheel"}
"""Groups whose members may do more than ask for passwords, so nobody is made one for that."""

_SYSTEMS_OWN = {Path("/var"), Path("/usr")}
"""What lies here is the system's, as what lies in the root directory."""

RUN_DIRECTORIES = {each.parent.name for each in USUAL_SOCKETS}
"""As a run directory is called, also one that is not there."""


def check_sockets(scene: Scene) -> Iterator[Finding]:
    """Everything about sockets, in the order in which it wants to be cured."""
    for spot in scene.sockets:
        yield from _our_socket(scene, spot)
    for asked in scene.asked:
        yield from _client(scene, asked)
    for person in scene.people:
        for spot in scene.sockets:
            yield from _entry(scene, spot, person, person.name, "")
    for spot in scene.elsewhere:
        assert spot.listener is not None
        if not spot.listener.is_ours and not spot.listener.is_service_manager:
            yield warning(
                "another-daemon-elsewhere",
                f"{_called(spot.listener)} listens on {spot.path}, a usual place, which no program found here asks",
                *_end(scene, spot, spot.listener),
            )


def _our_socket(scene: Scene, spot: Spot) -> Iterator[Finding]:
    if spot.listener is None:
        if spot.way.hidden is not None:
            yield warning(
                "not-looked-at", f"{spot.way.hidden}: this user may not look at it; run doctor as root"
            )
        else:
            yield from _nobody(scene, spot)
    elif spot.listener.is_service_manager:
        yield fine("listening", f"the service manager holds {spot.path}, and starts the daemon for it")
    elif not spot.listener.is_ours:
        yield problem(
            "another-daemon",
            f"{_called(spot.listener)} listens on {spot.path}, where pysaslauthd is to listen",
            *_end(scene, spot, spot.listener),
            *_start(scene),
        )
    else:
        yield fine("listening", f"pysaslauthd listens on {spot.path}")
    served = spot.served
    if served is not None and served.access is None and is_open_to_all(spot.way):
        group = scene.accounts.sasl_group(None)
        people = [each.person for each in scene.asked if each.person and each.spot.served is served]
        yield warning(
            "open-to-all",
            f"any user of this machine can ask for passwords at {spot.path}: {_look(spot)} let everybody in",
            *(line for person in people if person.uid for line in scene.cures.join(person, group)),
            *_shut(scene, spot.way.directories[-1], group),
        )


def _nobody(scene: Scene, spot: Spot) -> Iterator[Finding]:
    if not scene.own.is_machine or scene.own.options is None:
        return
    held = _held_elsewhere(scene)
    if held is not None:
        yield problem(
            "held-elsewhere",
            f"nobody listens on {spot.path}: the service manager has the daemon listen on {held.path} in its place",
            *_end_socket_unit(scene),
            *scene.cures.restart(scene.own.unit),
        )
        return
    what = "there is no socket" if spot.way.end is None else "a socket was left behind there"
    yield problem("not-running", f"nobody listens on {spot.path}: {what}, and no daemon runs", *_start(scene))


def _held_elsewhere(scene: Scene) -> Spot | None:
    """Where the unit of our socket has it, if that is none of those that the daemon is told of."""
    spots = (*(each.spot for each in scene.asked), *scene.elsewhere)
    return next(
        (each for each in spots if _is_held(each) and scene.own.unit and each.path in DEFAULT_SOCKETS), None
    )


def _start(scene: Scene) -> tuple[str, ...]:
    if scene.own.unit:
        return scene.cures.start(scene.own.unit)
    return (cures.command_line(("pysaslauthd", *scene.own.words)),)


def _client(scene: Scene, asked: Asked) -> Iterator[Finding]:
    client, spot = asked.client, asked.spot
    if spot.way.hidden is not None:
        yield warning("not-looked-at", f"{spot.way.hidden}: this user may not look at it; run doctor as root")
        return
    if _lacks_mux(scene, spot):
        yield _mux_missing(scene, asked)
        return
    is_anothers = spot.listener is not None and spot.listener.is_ours
    if spot.served is None and not is_anothers:
        yield _not_served(scene, asked)
        return
    if spot.served is None:
        yield fine("another-of-ours", f"{client.what} asks {spot.path}, where another pysaslauthd listens")
    if asked.person is None and client.users:
        names = " or ".join(client.users)
        yield warning("no-user", f"{client.what} is to run as {names}, and there is no such user")
    if asked.person is not None:
        yield from _entry(scene, spot, asked.person, client.what, client.unit)


def _lacks_mux(scene: Scene, spot: Spot) -> bool:
    """Whether the directory is named in place of the socket in it."""
    if spot.is_directory:
        return True
    directories = {each.path.parent for each in scene.sockets}
    return spot.path in directories or spot.path.name in RUN_DIRECTORIES


def _mux_missing(scene: Scene, asked: Asked) -> Finding:
    client = asked.client
    right = client.socket / SOCKET_NAME
    text = f"{client.what} asks {asked.spot.path}, which is a directory: /{SOCKET_NAME} is missing"
    lines: tuple[str, ...] = ()
    if client.search is not None and client.search.read is not None:
        file = client.search.read
        text = f"{text} in saslauthd_path of {file.path}"
        line = f"{file.prefix}saslauthd_path: {right}"
        lines = cures.replace_line(file.path, file.lines["saslauthd_path"], line)
    return problem("mux-missing", text, *lines, *scene.cures.restart(client.unit))


def _not_served(scene: Scene, asked: Asked) -> Finding:
    client, spot = asked.client, asked.spot
    ours = ", ".join(str(each.path) for each in scene.sockets)
    group = scene.accounts.sasl_group(asked.person)
    person = asked.person
    lines = (
        *(scene.cures.join(person, group) if person and person.uid else ()),
        *scene.cures.make_directory(spot.path.parent, group),
        *scene.own.add_socket(spot.path),
        *(scene.cures.restart(scene.own.unit) if _is_held(spot) and scene.own.unit else scene.own.reload()),
        *scene.cures.restart(client.unit),
    )
    if spot.listener is not None:
        return problem(
            "another-daemon",
            f"{client.what} asks {spot.path}, where {_called(spot.listener)} listens and not pysaslauthd ({ours})",
            *_end(scene, spot, spot.listener),
            *lines,
        )
    if client.jail is not None:
        return problem(
            "chroot-not-served",
            f"{client.what} has its root in {client.jail}, so it asks {spot.path}, where nobody listens;"
            f" pysaslauthd has {ours}",
            *lines,
        )
    return problem(
        "not-served", f"{client.what} asks {spot.path}, where nobody listens; pysaslauthd has {ours}", *lines
    )


def _entry(scene: Scene, spot: Spot, person: Person, what: str, unit: str) -> Iterator[Finding]:
    """Whether a user comes to the socket, by modes and by the list."""
    stop = obstacle(spot.way, person)
    if stop is not None:
        yield _shut_out(scene, stop, person, unit)
        return
    access = spot.served.access if spot.served else None
    if access is not None and not access.admits(person.uid, person.groups):
        yield _not_listed(scene, spot, person, unit)
        return
    if spot.way.missing is None:
        yield fine("let-in", f"{what}: {person.name} can connect to {spot.path}")


def _shut_out(scene: Scene, stop: Obstacle, person: Person, unit: str) -> Finding:
    place, name = stop.place, scene.accounts.group_name(stop.place.gid)
    what = "enter" if stop.needed == SEARCH else "connect to"
    text = f"{person.name} cannot {what} {place.path} ({_owned(scene, stop)})"
    restart = scene.cures.restart(unit)
    if stop.would_group_help and place.gid not in person.groups and name not in POWERFUL:
        return problem(
            "not-in-group", f"{text}: not in group {name}", *scene.cures.join(person, name), *restart
        )
    group = scene.accounts.sasl_group(person)
    join = scene.cures.join(person, group)
    text = f"{text}: its mode lets neither him nor a group of his in"
    if stop.needed == WRITE:
        return problem("socket-shut", text, *_open_socket(scene, stop, group), *join, *restart)
    spots = (*scene.sockets, *(each.spot for each in scene.asked))
    if any(each.way.directories[-1:] == (place,) for each in spots):
        return problem("directory-shut", text, *_shut(scene, place, group), *join, *restart)
    return problem(
        "directory-shut",
        text,
        cures.comment(
            f"a run path that does not lead through {place.path} is better than to have everybody pass it:"
        ),
        f"chmod a+x {cures.quoted(place.path)}",
        *restart,
    )


def _shut(scene: Scene, directory: Place, group: str) -> tuple[str, ...]:
    """Have the group alone pass a run directory, where it is nobody else's as well."""
    path = directory.path
    if directory.mode & stat.S_ISVTX or len(path.parts) < 3 or path.parent in _SYSTEMS_OWN:
        return (
            cures.comment(
                f"{path} is others' too: give the daemon a run path of its own by -m, such as {DEFAULT_RUN_PATH}"
            ),
        )
    return scene.cures.give_to_group(path, group)


def _open_socket(scene: Scene, stop: Obstacle, group: str) -> tuple[str, ...]:
    """Have the group connect; the daemon gives the socket the mode that its table says."""
    path = stop.place.path
    served = next((each.served for each in scene.sockets if each.path == path and each.served), None)
    if served is None or not served.table.origins:
        return (f"chgrp {shlex.quote(group)} {cures.quoted(path)}", f"chmod 0660 {cures.quoted(path)}")
    replaced: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    table, _, header = served.table.origin.rpartition(":")
    for key, value in (("mode", "0660"), ("group", group)):
        line = f'{key} = "{value}"'
        place, _, number = served.table.origins.get(key, "").rpartition(":")
        if place:
            replaced += cures.replace_line(Path(place), int(number), line)
        else:
            added += cures.insert_behind(Path(table), int(header), line)
    # What is added moves the lines behind it.
    return (*replaced, *added, *scene.own.reload())


def _not_listed(scene: Scene, spot: Spot, person: Person, unit: str) -> Finding:
    assert spot.served is not None
    table = spot.served.table
    key = "allow_groups" if table.allow_groups else "allow_users"
    names = sorted(table.allow_groups or table.allow_users)
    text = f"{person.name} is on no list of the socket {spot.path}: {key} ({table.origin_of(key)}) has {', '.join(names)}"
    if table.allow_groups:
        return problem("not-listed", text, *scene.cures.join(person, names[0]), *scene.cures.restart(unit))
    lines = scene.own.extend_list(table.origin_of(key), key, (*names, person.name))
    return problem("not-listed", text, *lines, *scene.own.reload())


def _owned(scene: Scene, stop: Obstacle) -> str:
    place = stop.place
    owner, group = scene.accounts.user_name(place.uid), scene.accounts.group_name(place.gid)
    return f"{owner}:{group}, mode {stat.S_IMODE(place.mode):04o}"


def _look(spot: Spot) -> str:
    assert spot.way.end is not None
    directory = spot.way.directories[-1]
    return (
        f"{directory.path} with mode {stat.S_IMODE(directory.mode):04o}"
        f" and the socket with mode {stat.S_IMODE(spot.way.end.mode):04o}"
    )


def _called(listener: Listener) -> str:
    return f"{listener.program} (pid {listener.pid})" if listener.pid else listener.program


def _is_held(spot: Spot) -> bool:
    return spot.listener is not None and spot.listener.is_service_manager


def _end(scene: Scene, spot: Spot, listener: Listener) -> tuple[str, ...]:
    if os.path.basename(listener.program) == ORIGINAL:  # noqa: PTH119  (a text, not a path: it may end with " (deleted)")
        return scene.cures.stop_for_good(ORIGINAL)
    if _is_held(spot) and scene.own.unit and spot.path in DEFAULT_SOCKETS:
        return _end_socket_unit(scene)
    if listener.pid == 1:
        # Nobody ends the first process for a socket.
        return (
            cures.comment(
                f"find out for whom process 1 listens on {spot.path} (systemctl list-sockets), and end that"
            ),
        )
    return (f"kill {listener.pid}",) if listener.pid else ()


def _end_socket_unit(scene: Scene) -> tuple[str, ...]:
    return scene.cures.stop_for_good(f"{scene.own.unit}.socket")
