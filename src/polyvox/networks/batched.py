"""Batched: calls of one network that wait at the same moment, from different utterances, in one run."""

from __future__ import annotations

import logging
import math
import threading
import time
import weakref
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from polyvox.networks.calls import Call
from polyvox.networks.grouping import Group
from polyvox.networks.joint import fill, pads
from polyvox.networks.network import Network, Wrapper
from polyvox.networks.scheduling import Device
from polyvox.networks.stepping import Saved, Stepper, changed_input, starting
from polyvox.networks.urgency import Cancelled, check_cancelled
from polyvox.tensors import Array, Tensors

_log = logging.getLogger("polyvox.networks")

PADDING = 4
"""Steps of padding that cost no more than a run of their own does. Measured on `kathleen`, `universal` and `kerstin`:
what joining a call saves is worth 4 to 11 steps of the same network."""
STEP = 0.0005
"""Seconds that a step is taken to need: they are short, whatever network it is."""


class Batched(Wrapper):
    """A network whose calls share a device with others'.

    A call takes a free slot of the device and runs at once. If there is none it waits; when its turn comes, or that
    of another call of this network, calls that fit together run as one: those of the same size first, then those that
    masks allow to pad by up to `PADDING` steps. What a call returns is what it returns alone, to float rounding: of
    steps, only where texts of unequal length step together, and an autoregressive network feeds it back to itself. A
    call that fails fails alone.
    """

    def __init__(self, network: Network, device: Device, most: int | None = None, name: str | None = None) -> None:
        """Wrap.

        Args:
            network: what runs; its `rows` bound how many calls are joined.
            device: where it runs.
            most: calls in one run at most; the device's unless given.
            name: what the device's `usage` calls it; its own name unless given.
        """
        super().__init__(network)
        self._device, self._most = device, most
        self._lane = device.lane(name or network.spec.name)
        self._rows = network.rows
        self._pads = pads(network.spec) and not network.sizes
        self._groups: weakref.WeakValueDictionary[Hashable, Group] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()
        # Where to read how long a call is, without checking all of it.
        self._axes = [
            (name, i)
            for name, spec in network.spec.wanted().items()
            for i, axis in enumerate(spec.axes)
            if isinstance(axis, str)
        ]
        self.last_step = 0  # whose it was, by id; 0 if it was several's
        self._pace = 0.0  # seconds a step that a call alone took, lately and at best; 0 is unknown

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Run now, or when it is this call's turn, alone or with others.

        Raises:
            TensorError: as the network does.
            Cancelled: the call waited and was given up.
        """
        check_cancelled()
        device, lane = self._device, self._lane
        # Missing or misshapen inputs are found by whoever checks them.
        steps = max([tensors[n].shape[i] for n, i in self._axes if n in tensors and i < tensors[n].ndim], default=1)
        if device.begin(lane, steps * self._pace or math.inf):
            began = time.perf_counter()
            try:
                made = self.inner.run(tensors)
                self._learn(time.perf_counter() - began, steps)
                return made
            finally:
                device.end(lane, began)
        sizes = self.inner.measure(tensors)  # what is wrong is refused before it can meet others
        # What is compiled to the same size fits together as it is.
        _, wide = self.inner.fit(1, sizes)
        steps = max(wide.values(), default=1)
        call = Call(lane, tensors, tuple(sorted(wide.items())), steps * self._pace or math.inf)
        calls = device.wait(call, self._company)
        if calls is not None:
            self._lead(calls)
        return cast("dict[str, Array]", call.taken())

    def stepper(self, tensors: Tensors) -> Stepper:
        """Steps that run together with those of other utterances that wait at the same moment.

        Utterances of different sizes step together where an input says where each one ends: see `pads`.
        """
        return _JointStepper(self, tensors)

    def close(self) -> None:
        """Close the network; what its calls came to stays in the device's `usage`."""
        self._device.close(self._lane)
        super().close()

    def _learn(self, seconds: float, steps: int) -> None:
        pace = seconds / max(1, steps)
        # The best of late: a busy machine makes single runs slow, not the network.
        self._pace = min(pace, self._pace * 1.01) if self._pace else pace

    def _company(self, leader: Call, waiting: Sequence[Call]) -> list[Call]:
        """Which of `waiting`, most urgent first, run together with `leader`."""
        device = self._device
        most = min(self._most or device.most, device.most, self._rows) - 1
        if isinstance(leader.work, _JointStepper):
            return [c for c in waiting if c.key == leader.key][:most]
        if device.longest < math.inf:
            most = min(most, int(device.longest / leader.seconds) - 1)
        if most < 1:
            return []
        runs = [c for c in waiting if not isinstance(c.work, _JointStepper)]
        chosen = [c for c in runs if c.key == leader.key][:most]
        if self._pads and len(chosen) < most:
            low = high = leader.key
            for call in runs:
                if call.key == leader.key or len(chosen) == most:
                    continue
                lower, higher = tuple(map(min, low, call.key)), tuple(map(max, high, call.key))
                if all(b[1] - a[1] <= PADDING for a, b in zip(lower, higher, strict=True)):
                    chosen.append(call)
                    low, high = lower, higher
        return chosen

    def _lead(self, calls: list[Call]) -> None:
        """Run the calls, which hold a slot, and pass it on."""
        device, lane = self._device, self._lane
        began = time.perf_counter()
        try:
            self._run(calls)
        except BaseException:  # an interrupt, for errors belong to their calls: the others did nothing wrong
            device.put_back(calls)
            raise
        device.end(lane, began, calls)

    def _run(self, calls: list[Call]) -> None:
        stepping = isinstance(calls[0].work, _JointStepper)
        if len(calls) > 1:
            try:
                if stepping:
                    _step_together(calls)
                else:
                    made = self.inner.run_many([c.work for c in calls])
                    for call, out in zip(calls, made, strict=True):
                        call.result = out
                return
            except Exception as error:  # one of them, or all together: each finds out for itself
                self._lane.apart += 1  # only ever read beside this
                _log.info("%s: %d calls together failed, and run one by one: %s", self.inner.where, len(calls), error)
        for call in calls:
            began = time.perf_counter()
            try:
                if stepping:
                    call.result = call.work.alone()
                else:
                    call.result = self.inner.run(call.work)
                    self._learn(time.perf_counter() - began, max((n for _, n in call.key), default=1))
            except Exception as error:
                call.error = error

    def _group(self, sizes: Mapping[str, int]) -> Group | None:
        """Where an utterance of `sizes` meets others, if it can."""
        spec = self.spec
        if self._rows == 1 or not spec.state:
            return None
        if any(isinstance(a, str) and a not in sizes for out in spec.outputs.values() for a in out.axes):
            return None
        alike: Hashable = ()
        if self.inner.sizes or not pads(spec, stepping=True):
            alike = tuple(sorted(self.inner.fit(1, sizes)[1].items()))
        with self._lock:
            group = self._groups.get(alike)
            if group is None:
                group = self._groups[alike] = Group(self.inner)
            return group


class _JointStepper(Stepper):
    """One utterance's steps: alone by the network's own stepper while nobody else waits, else as a row of a group.

    The state is in one of the two at a time, and moves when the next step needs it in the other.
    """

    def __init__(self, batched: Batched, tensors: Tensors) -> None:
        self._batched = batched
        self._alone = batched.inner.stepper(tensors)
        feed, self._sizes = starting(batched.spec, tensors, batched.inner.where)
        self.group = batched._group(self._sizes)
        self.row: int | None = None
        self._in_group = False
        self._changed: Tensors | None = None
        self._lost = False
        if self.group is None:
            return
        feed.update({n: tensors[n] for n, s in batched.spec.inputs.items() if s.fill is not None and n in tensors})
        self._fixed = {
            name: np.array(fill(spec, feed, name, self._sizes, self._sizes))
            for name, spec in batched.spec.inputs.items()
            if name not in batched.spec.state
        }
        # Inputs that changed and are not in both places yet.
        self._new_alone: set[str] = set()
        self._new_in_group: set[str] = set()
        self._shapes = {name: array.shape for name, array in self._alone.save().items()}
        self._cuts = {
            name: tuple(slice(self._sizes[a]) if isinstance(a, str) else slice(None) for a in out.axes)
            for name, out in batched.spec.outputs.items()
        }

    def step(self, changed: Tensors | None = None) -> Tensors:
        check_cancelled()
        if self._lost:
            raise Cancelled
        batched = self._batched
        device, lane = batched._device, batched._lane
        if changed and self.group is not None:
            for name, value in changed.items():
                changed_input(self._fixed[name], name, value, batched.inner.where)
                self._new_alone.add(name)
                self._new_in_group.add(name)
        else:
            self._changed = changed
        # Where others step too, they are ready to and cannot: on the processors of a device that is one, threads that
        # wait for a processor have no way to wait for the device. They go first, for steps cost the less the more go.
        others = self.group is not None and batched.last_step != id(self) and device.most > 1
        if not others and device.begin(lane, STEP):
            began = time.perf_counter()
            try:
                return self.alone()
            finally:
                device.end(lane, began)
        call = Call(lane, self, self.group or self, STEP)
        try:
            calls = device.wait(call, batched._company, after_you=others)
        except BaseException:
            self._lost = True  # whether the step was made, nobody knows
            raise
        if calls is not None:
            batched._lead(calls)
        made = call.taken()
        if isinstance(made, _Row):
            return {name: made.of[name][(made.index, *cut)] for name, cut in self._cuts.items()}
        return cast("Tensors", made)

    def alone(self) -> Tensors:
        """Make a step by the network's own stepper."""
        self._batched.last_step = id(self)
        if self.group is None:
            return self._alone.step(self._changed)
        if self._in_group:
            assert self.row is not None
            self._alone.restore(self.group.read(self.row, self._shapes))
            self._in_group = False
        if not self._new_alone:
            return self._alone.step()
        changed = {name: self._fixed[name] for name in self._new_alone}
        self._new_alone.clear()
        return self._alone.step(changed)

    def enter(self) -> int:
        """Bring everything that the next step reads into the group, and return the row."""
        assert self.group is not None
        if self.row is None:
            self.row = self.group.join(self._sizes, self._fixed)
        elif self._new_in_group:
            self.group.write(self.row, {name: self._fixed[name] for name in self._new_in_group})
        self._new_in_group.clear()
        if not self._in_group:
            self.group.write(self.row, self._alone.save())
            self._in_group = True
        return self.row

    def save(self) -> Saved:
        if self._in_group and self.group is not None and self.row is not None:
            return self.group.read(self.row, self._shapes)
        return self._alone.save()

    def restore(self, saved: Saved) -> None:
        self._alone.restore(saved)
        self._in_group = False

    def __del__(self) -> None:
        row: int | None = getattr(self, "row", None)  # a stepper that failed to be made has none
        if row is not None and self.group is not None:
            self.group.leave(row)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of what a run made."""

    of: Tensors
    index: int


def _step_together(calls: Sequence[Call]) -> None:
    calls = sorted(calls, key=lambda call: call.work.enter())
    group: Group = calls[0].work.group
    made = group.run([call.work.row for call in calls])
    calls[0].work._batched.last_step = 0
    for index, call in enumerate(calls):
        call.result = _Row(made, index)
