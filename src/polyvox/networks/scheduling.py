"""Scheduling: the runs of all networks that share a device, the most urgent first.

    with deadline(time.monotonic() + 0.4), cancelling(cancel):
        chunk = next(stream)

Every stream runs its blocks in a thread of its own, and these threads are the workers too: there are no others. A
call that finds a free slot runs at once in its caller's thread. Else it waits; whoever ends a run hands its slot to
the most urgent call that waits, whose thread then takes company along (the leader), and wakes those whose work it
did (the followers). An idle device therefore costs two locks a call, and never waits for company.

Whoever ends a run is itself about to have another one, of the next network of the same chunk, and is often the most
urgent of all. It therefore keeps its slot until its chunk is made (until it is out of `deadline`), and a call that
waits gets it earlier only if it is as urgent:

    thread of the first   [encoder] text [decoder][vocoder] signal |           a chunk is made
    thread of bulk work    ------ waits ------------------------- |[vocoder    ]
    without keeping       [encoder][vocoder    ][decoder][vocoder    ][vocoder] ...
"""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from threading import get_ident

from polyvox.networks.calls import DONE, GIVEN_UP, JOINED, LEADING, WAITING, Call, Lane, Usage
from polyvox.networks.sharing import Shared
from polyvox.networks.urgency import Cancelled, cancel_of, keeping, urgency
from polyvox.networks.yielding import let_others_run

SHORTER = 4
"""How many times as long as a call the runs in slots must take for it to run beside them."""

TIE = 10
"""How much shorter a call must be than one that is more urgent to run beside others: bulk work must not take up the
place of what is urgent, but steps would starve if it had to wait."""

KEPT = 0.05
"""Seconds after which a call that waits takes a slot that is kept and not used, however urgent its keeper: that one may
wait for work that it gave to other threads."""


Company = Callable[[Call, Sequence[Call]], Sequence[Call]]
"""Given the call that leads and those of its network that wait, most urgent first: which come along."""


class Device:
    """What all networks share that run in one place: so many runs at once, the call with the earliest deadline first.

    `most` and `by_deadline` may be changed at any time, to compare.
    """

    def __init__(
        self,
        slots: int | None = None,
        *,
        most: int = 8,
        longest: float = 0.002,
        express: float = 0.01,
        by_deadline: bool = True,
        keep: bool = True,
    ) -> None:
        """Set up.

        Args:
            slots: runs at once; one a processor unless given.
            most: calls that one run takes at most; 1 never joins any.
            longest: seconds that a joint run may take, judged by the network's runs so far; `math.inf` joins
                whatever waits. On a processor a run of several costs nearly what they cost one by one, but for a
                fixed 0.03 to 0.1 ms a call, and all of it is time that the most urgent of them waits: so only short
                calls are joined. Steps of a decoder, which read all its weights for one row, always are.
            express: seconds of a call that does not wait for long runs: where all runs in slots take several times as
                long as it does, and one of them is less urgent (or as urgent, and the call takes a tenth of
                `express`), it runs beside them, one such run at a time. A
                decoder takes hundreds of steps, and would wait for somebody's long run at each; this is as near as
                runs that cannot be interrupted come to giving way. On a processor the system shares out the time; 0
                is for devices that do not, and keeps to `slots`.
            by_deadline: False starts calls in the order of their arrival.
            keep: whether a thread with a deadline keeps its slot from one call to the next (only `by_deadline`). Where
                slots are processors, it computes between them too.
        """
        if slots is None:
            slots = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if slots < 1 or most < 1 or not longest >= 0 or not express >= 0:
            raise ValueError(
                "a device needs slots >= 1, most >= 1, longest >= 0 and express >= 0,"
                f" not {slots}, {most}, {longest} and {express}"
            )
        self.slots = slots
        self.most, self.longest, self.express = most, longest, express
        self.by_deadline, self.keep = by_deadline, keep
        self.networks = Shared()
        """The networks that are loaded on it, each once: calls of several voices with one vocoder run together."""
        self._lock = threading.Lock()
        self._free = slots
        # The runs in slots, by the call that leads or the thread: their deadlines, and seconds that they take.
        self._held: dict[Call | int, tuple[float, float]] = {}
        self._kept: dict[
            int, tuple[float, float]
        ] = {}  # slots between two runs, by thread: their deadlines, since when
        self._beside = False  # whether a run without a slot is on its way
        self._queue: list[tuple[float, int, int, Call]] = []
        self._numbers, self._entries = count(1), count()
        self._lanes: list[Lane] = []
        self._closed: dict[str, Usage] = {}

    def lane(self, name: str) -> Lane:
        """A place for a network's calls. Several may have the same name; `usage` adds them."""
        lane = Lane(self, name)
        with self._lock:
            self._lanes.append(lane)
        return lane

    def close(self, lane: Lane) -> None:
        """The network is gone; what its calls came to stays in `usage`."""
        with self._lock:
            if lane in self._lanes:
                self._lanes.remove(lane)
                self._closed[lane.name] = self._closed.get(lane.name, Usage()) + lane.usage()

    def usage(self) -> dict[str, Usage]:
        """What each network's calls came to, by its name."""
        with self._lock:
            found = dict(self._closed)
            for lane in self._lanes:
                found[lane.name] = found.get(lane.name, Usage()) + lane.usage()
        return found

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        with self._lock:
            return sum(len(lane.waiting) for lane in self._lanes)

    @property
    def running(self) -> int:
        """Runs on their way now."""
        return len(self._held) + self._beside

    # --- for networks: `begin`, or `wait`; then run; then `end` ---------------------------------------------------

    def begin(self, lane: Lane, seconds: float) -> bool:
        """Take a slot if one is free or kept, for a run of so many seconds, unless others wait who may come along."""
        thread = get_ident()
        with self._lock:
            if thread in self._kept:
                if lane.waiting:
                    return False
                del self._kept[thread]
            elif self._free:
                self._free -= 1
            else:
                return False
            self._held[thread] = (urgency(), seconds)
            return True

    def wait(self, call: Call, company: Company, *, after_you: bool = False) -> list[Call] | None:
        """Wait for a slot, or until another thread has done the work.

        Args:
            call: what waits.
            company: chooses who comes along if it leads.
            after_you: let other threads that are ready to run go first, once, even if a slot is free. Not a wait: on
                a machine with a processor left it takes a microsecond.

        Returns:
            The calls to run now, `call` first, with a slot taken; None if `call.taken()` has the result.

        Raises:
            Cancelled: the call was given up.
        """
        cancel = cancel_of()
        if cancel is not None:
            cancel.add(call)
        try:
            if after_you:
                self._announce(call)
                let_others_run()
            self._enqueue(call)
            while not call.wake.acquire(timeout=KEPT):
                self._take_unused(call)
            if call.state == DONE:
                return None
            if call.state == GIVEN_UP or (cancel is not None and cancel.is_set):
                raise Cancelled
            return self._lead(call, company)
        except BaseException:  # an interrupt among them
            self._leave(call)
            raise
        finally:
            if cancel is not None:
                cancel.remove(call)

    def end(self, lane: Lane, began: float, calls: Sequence[Call] = ()) -> None:
        """A run that began at `began` (`time.perf_counter`) is over: pass its slot on, wake those who came along.

        `calls` are those that `wait` returned, their results set; none after `begin`.
        """
        followers: list[Call] = []
        with self._lock:
            lane.busy += time.perf_counter() - began
            lane.sizes[len(calls) or 1] += 1
            self._release(calls[0] if calls else None, keep=self.keep and self.by_deadline)
            if len(calls) > 1:
                followers = [c for c in calls[1:] if c.state == JOINED]
                for call in followers:
                    call.state = DONE
        for call in followers:
            call.wake.release()

    def put_back(self, calls: Sequence[Call]) -> None:
        """The leader was interrupted: pass its slot on, and let those who came along wait again."""
        done = []
        with self._lock:
            for call in calls[1:]:
                if call.state == JOINED and call.result is None and call.error is None:
                    self._push(call)
                elif call.state == JOINED:
                    call.state = DONE
                    done.append(call)
            self._release(calls[0])
        for call in done:
            call.wake.release()

    def give_up(self, call: Call) -> None:
        """A call is not wanted any more: wake its thread, if it waits."""
        with self._lock:
            if call.state not in (WAITING, JOINED):
                return
            call.lane.cancelled += 1
            if call in call.lane.waiting:
                self._unlist(call)
            call.state = GIVEN_UP
        call.wake.release()

    def give_back(self, thread: int) -> None:
        """A thread keeps its slot no longer; again does nothing."""
        with self._lock:
            if self._kept.pop(thread, None) is not None:
                self._free += 1
                self._hand_on()

    # --- within ---------------------------------------------------------------------------------------------------

    def _announce(self, call: Call) -> None:
        """Let others who lead a run take the call along, although it does not wait for a slot yet."""
        call.since = time.perf_counter()
        call.number = next(self._numbers)
        with self._lock:
            if call.state == WAITING:
                self._push(call)

    def _enqueue(self, call: Call) -> None:
        with self._lock:
            if call.state != WAITING:  # led away, or given up, before it came here
                return
            if not call.number:
                call.since = time.perf_counter()
                call.number = next(self._numbers)
                self._push(call)
            if self._kept:
                self._take_kept(call)
            if self._free or self._may_run_beside(call):
                self._unlist(call)
                self._start(call)
            else:
                call.lane.queued += 1

    def _take_kept(self, call: Call) -> None:
        """Free the slot that the caller's thread keeps, or else the least urgent one that is kept, if the call may."""
        own = get_ident()
        if own not in self._kept and not self._free:
            last, thread = max((at, thread) for thread, (at, _) in self._kept.items())
            # One that is as urgent may be the keeper's own, in another thread.
            own = thread if call.deadline <= last else own
        if self._kept.pop(own, None) is not None:
            self._free += 1

    def _take_unused(self, call: Call) -> None:
        """The call has waited for long: is there a slot that nobody uses?"""
        with self._lock:
            if call.state != WAITING or not self._kept:
                return
            since, thread = min((since, thread) for thread, (_, since) in self._kept.items())
            if time.perf_counter() - since >= KEPT:
                del self._kept[thread]
                self._free += 1
                self._hand_on()

    def _push(self, call: Call) -> None:
        call.state = WAITING
        call.lane.waiting.append(call)
        if len(self._queue) > 64 and len(self._queue) > 4 * sum(len(lane.waiting) for lane in self._lanes):
            # Calls that came along or were given up are left where they lie until they are on top.
            self._queue = [entry for entry in self._queue if entry[3].state == WAITING]
            heapq.heapify(self._queue)
        heapq.heappush(self._queue, (*self._order(call), next(self._entries), call))

    def _order(self, call: Call) -> tuple[float, int]:
        return (call.deadline if self.by_deadline else 0.0, call.number)

    def _start(self, call: Call) -> None:
        """Let a call lead a run, in a free slot or beside those in slots."""
        if self._free:
            self._free -= 1
            self._held[call] = (call.deadline, call.seconds)
        else:
            self._beside = call.beside = True
        call.state = LEADING
        call.wake.release()

    def _may_run_beside(self, call: Call) -> bool:
        if self._beside or call.seconds >= self.express or not self._held:
            return False
        if call.seconds * SHORTER > min(seconds for _, seconds in self._held.values()):
            return False
        latest = max(at for at, _ in self._held.values())
        if self.by_deadline and call.deadline != latest:
            return call.deadline < latest
        return call.seconds * TIE < self.express

    def _release(self, call: Call | None, *, keep: bool = False) -> None:
        """A run is over that `call` led, or that took a slot with `begin`: the most urgent calls are next."""
        if call is not None and call.beside:
            self._beside = False
        else:
            at, _ = self._held.pop(get_ident() if call is None else call)
            if not (keep and self._keeps(at)):
                self._free += 1
        self._hand_on()

    def _keeps(self, at: float) -> bool:
        """Whether this thread, whose run was for `at`, keeps its slot: it is the most urgent that wants one."""
        if at == math.inf:
            return False
        while self._queue and self._queue[0][3].state != WAITING:
            heapq.heappop(self._queue)
        thread = get_ident()
        # It may keep one already: where the call was given another one before it asked.
        if thread in self._kept or (self._queue and self._queue[0][3].deadline <= at) or not keeping(self, thread):
            return False
        self._kept[thread] = (at, time.perf_counter())
        return True

    def _hand_on(self) -> None:
        """Give what is free to the most urgent calls that wait."""
        while self._free and self._queue:
            following = heapq.heappop(self._queue)[3]
            if following.state == WAITING:
                self._unlist(following)
                self._start(following)
        if self._queue and not self._beside:
            short = [c for lane in self._lanes for c in lane.waiting if c.seconds < self.express]
            first = min(short, key=self._order, default=None)
            if first is not None and self._may_run_beside(first):
                self._unlist(first)
                self._start(first)

    def _unlist(self, call: Call) -> None:
        lane = call.lane
        lane.waiting.remove(call)
        waited = time.perf_counter() - call.since
        lane.waited += waited
        lane.longest = max(lane.longest, waited)

    def _lead(self, call: Call, company: Company) -> list[Call]:
        lane = call.lane
        with self._lock:
            calls = [call]
            if lane.waiting and self.most > 1:
                calls += company(call, sorted(lane.waiting, key=self._order))
                for other in calls[1:]:
                    self._unlist(other)
                    other.state = JOINED
                lane.sizes += [0] * (len(calls) + 1 - len(lane.sizes))
            return calls

    def _leave(self, call: Call) -> None:
        """The caller does not wait any more; whatever it had been given goes on."""
        with self._lock:
            if call.state == LEADING:
                call.lane.cancelled += 1
                self._release(call)
            elif call in call.lane.waiting:
                self._unlist(call)
                call.state = GIVEN_UP
            elif call.state == JOINED:
                call.state = GIVEN_UP
