"""Who has to leave when there is no room."""

import os
import socket

from pysaslauthd.front.peers import process_of
from pysaslauthd.front.seats import Seats


class Guest:
    def __init__(self, name: str, uid: int = 1) -> None:
        self.name = name
        self.uid = uid

    def __repr__(self) -> str:
        return self.name


def seated(seats: Seats[Guest], *names: str, uid: int = 1) -> list[Guest]:
    guests = [Guest(name, uid) for name in names]
    for guest in guests:
        assert seats.has_room(uid)
        seats.take(guest)
    return guests


def test_one_user_has_three_quarters() -> None:
    seats: Seats[Guest] = Seats(4)
    seated(seats, "a", "b", "c")
    assert not seats.has_room(1)
    assert not seats.is_full
    seated(seats, "d", uid=2)
    assert not seats.has_room(2)
    assert seats.is_full
    assert len(seats) == 4


def test_who_has_been_silent_longest_leaves_first() -> None:
    seats: Seats[Guest] = Seats(8)
    a, b, c = seated(seats, "a", "b", "c")
    for guest in (b, a):
        seats.is_silent(guest)
    seats.is_refused(c)
    assert seats.who_leaves() is b
    seats.has_asked(b)
    assert seats.who_leaves() is a


def test_then_who_was_refused_longest_ago() -> None:
    seats: Seats[Guest] = Seats(8)
    a, b, _ = seated(seats, "a", "b", "c")
    seats.is_refused(b)
    seats.is_refused(a)
    assert seats.who_leaves() is b
    seats.leave(b)
    assert seats.who_leaves() is a
    seats.leave(a)
    assert seats.who_leaves() is None


def test_who_is_over_his_share_makes_room_himself() -> None:
    seats: Seats[Guest] = Seats(4)
    (other,) = seated(seats, "other", uid=2)
    seats.is_silent(other)
    a, b, c = seated(seats, "a", "b", "c")
    assert seats.who_leaves(1) is None
    seats.is_refused(b)
    assert seats.who_leaves(1) is b
    seats.is_silent(c)
    assert seats.who_leaves(1) is c
    assert seats.who_leaves(2) is other
    assert seats.who_leaves(3) is other
    seats.leave(other)
    assert seats.who_leaves(3) is c
    assert seats.idle() == [c]
    assert a not in seats.idle()


def test_who_waits_leaves_some_seats_to_those_who_have_only_come() -> None:
    seats: Seats[Guest] = Seats(12)
    guests = seated(seats, *"abcdefghi")
    for guest in guests[:8]:
        assert seats.has_room_to_wait(1)
        seats.waits(guest)
    assert not seats.has_room_to_wait(1)
    assert seats.who_need_not_wait(1) is None
    seats.is_refused(guests[5])
    assert seats.who_need_not_wait(1) is guests[5]
    seats.leave(guests[5])
    assert seats.has_room_to_wait(1)


def test_all_users_together_leave_some_seats_too() -> None:
    seats: Seats[Guest] = Seats(4)
    (one,) = seated(seats, "one", uid=2)
    for guest in [one, *seated(seats, "a", "b")]:
        seats.waits(guest)
    (late,) = seated(seats, "late", uid=3)
    assert not seats.has_room_to_wait(late.uid)
    assert seats.who_need_not_wait(late.uid) is None
    seats.is_refused(one)
    assert seats.who_need_not_wait(late.uid) is one


def test_nothing_is_kept_of_those_that_left() -> None:
    seats: Seats[Guest] = Seats(4)
    for guest in seated(seats, "a", "b") + seated(seats, "c", uid=2):
        seats.is_silent(guest)
        seats.has_asked(guest)
        seats.waits(guest)
        seats.is_refused(guest)
        seats.leave(guest)
    assert len(seats) == 0
    assert seats.who_leaves() is None
    assert seats._peers == {}  # noqa: SLF001  (what would grow for ever)


def test_the_kernel_says_who_it_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert process_of(ours) == (os.getpid(), os.getuid())
