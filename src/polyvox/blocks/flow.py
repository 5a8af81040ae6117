"""FlowDecoder: flow matching over windows, from noise around a first guess to the mel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.build import Parts
from polyvox.blocks.containers import StreamableStack
from polyvox.blocks.registry import block
from polyvox.blocks.streamed import StreamedNetwork, not_finite, time_first
from polyvox.blocks.windowed import WindowedBlock
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Array, Rows, Specs, Tensors, TensorSpec, check, fits
from polyvox.windows import Context, Window

MOST_STEPS = 64
HOTTEST = 10.0
"""Highest temperature."""

TEMPERATURE = "temperature"
"""The scalar tensor that is used instead of the constructor's temperature."""

_STATE = "state of the flow"
"""What the state is called between the steps: no name that an addon or a block could have given."""


@block("FlowDecoder")
class FlowDecoder(StreamableBlock):
    """Draws a mel by flow matching: a network says where to move, and a few steps of Euler's method follow it.

        state = start + temperature * spread * noise
        for k in 0 .. steps - 1:  state += velocity(state, ..., time=k / steps) / steps
        output = state

    This is conditional flow matching (Lipman et al., 2023) on straight paths, as Matcha-TTS (Mehta et al., 2024) uses
    it for speech. The flow may start around a first guess that a decoder made, within what that guess usually errs by
    (as in Grad-TTS, Popov et al., 2021, and PriorGrad, Lee et al., 2022), or at noise alone (`start` and `spread`
    null).

    The network's input `state [frames, bands]` and the scalar `time []` (0 to below 1) are this block's own. Its other
    inputs that have the streamed axis come from the upstream, the rest from the tensors that sequence blocks made. Its
    one output, of any name, is the velocity, shaped as the state. Upstream tensors that are not read pass through, and
    so do those in `keep`.

    A scalar tensor `temperature`, such as a control of the addon, is used instead of the field. Noise is drawn frame
    by frame from the same seed in every utterance: a text sounds the same every time, in chunks of any size.

    Every step runs over windows of its own, and so nothing is computed twice but each step's own context. The chunks
    joined equal the whole output. Each step needs the one before it further ahead: the block reads `steps` times the
    network's right context beyond what is asked for, and more where windows have fixed sizes. That is inherent; few
    steps and little context to the right give early first audio.
    """

    role = "decoder"

    def __init__(
        self,
        parts: Parts,
        network: str | None = None,
        steps: int = 4,
        temperature: float = 0.667,
        seed: int = 0,
        state: str = "state",
        time: str = "time",
        start: str | None = "prior",
        spread: str | None = "spread",
        output: str = "mel",
        keep: list[str] | None = None,
    ) -> None:
        """Set up.

        Args:
            parts: the addon's networks.
            network: which one; not needed if only one has the role `decoder`.
            steps: steps of Euler's method, 1 to 64.
            temperature: how much noise, 0 (none) to 10.
            seed: of the noise.
            state: the network's input that is iterated.
            time: the network's input that says how far the flow is.
            start: the upstream's tensor that the flow starts around, shaped as the state; null is noise alone.
            spread: the upstream's tensor that the noise is multiplied by, shaped as the state; null is 1.
            output: what the result is called.
            keep: tensors to pass through although they are read.
        """
        self.network = parts.only(network, self.role)
        where, spec = parts.where, self.network.spec
        self.streamed = StreamedNetwork(self.network, where, own=(state, time))
        if not 1 <= steps <= MOST_STEPS:
            raise StackError(f"{where}.steps: expected 1 to {MOST_STEPS}, got {steps}")
        if not 0 <= temperature <= HOTTEST:
            raise StackError(f"{where}.temperature: expected 0 to {HOTTEST:g}, got {temperature}")
        if not 0 <= seed < 1 << 64:
            raise StackError(f"{where}.seed: expected 0 to 2^64 - 1, got {seed}")
        self.steps, self.temperature, self.seed = steps, temperature, seed
        self.state, self.time, self.start, self.spread, self.output = state, time, start, spread, output
        own = self.streamed.context
        if own.hop != 1:
            raise StackError(f"{where}: network '{spec.name}' has hop {own.hop}, but a flow's velocity needs hop 1")
        self.context = Context(steps * own.left, steps * own.right)
        self._state_axis, self._shaped = self._own_inputs(where)
        self._velocity(where)
        named = (start, spread, *self.streamed.streamed)
        self.read = list(dict.fromkeys(n for n in named if n is not None))
        if not self.read:
            raise StackError(
                f"{where}: nothing from the stream says how many frames there are; name a tensor in 'start' or"
                f" 'spread', or give network '{spec.name}' an input with axis '{self.streamed.axis}' beside '{state}'"
            )
        self._keep = set(keep or ())
        if output in self._keep:
            raise StackError(f"{where}.keep: '{output}' is what the block makes; another name in 'output' keeps both")

    def _own_inputs(self, where: str) -> tuple[int, TensorSpec]:
        """Which axis of the network's state is time, and the state as a stream carries it."""
        spec, axis = self.network.spec, self.streamed.axis
        for field, name in (("state", self.state), ("time", self.time)):
            if name not in spec.wanted():
                raise StackError(
                    f"{where}.{field}: network '{spec.name}' has no input '{name}'; it has {', '.join(spec.wanted())}"
                )
        state, time = spec.inputs[self.state], spec.inputs[self.time]
        if [a for a in state.axes if isinstance(a, str)] != [axis] or not state.dtype.startswith("float"):
            raise StackError(
                f"{where}.state: input '{self.state}' of network '{spec.name}' is {state}; expected floats with axis"
                f" '{axis}' and besides fixed sizes"
            )
        if time.axes or not time.dtype.startswith("float"):
            raise StackError(
                f"{where}.time: input '{self.time}' of network '{spec.name}' is {time}; expected a float without axes"
            )
        return state.axes.index(axis), time_first(state, state.axes.index(axis))

    def _velocity(self, where: str) -> None:
        """Refuse a network that makes anything but a velocity."""
        name, made = self.network.spec.name, self.streamed.outputs()
        if len(made) != 1:
            raise StackError(
                f"{where}: network '{name}' makes {', '.join(made)}; expected one output,"
                f" the velocity of '{self.state}'"
            )
        for output, spec in made.items():
            if (spec.dtype, spec.axes[1:]) != (self._shaped.dtype, self._shaped.axes[1:]):
                raise StackError(
                    f"{where}: output '{output}' of network '{name}' is {spec}; expected the velocity of"
                    f" '{self.state}', which is {self._shaped}"
                )

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The last step's stream; each step reads the one before, and the first what noise makes of the upstream."""
        stages: list[StreamableBlock] = [_Start(self), *(_Step(self, number) for number in range(self.steps))]
        yield from StreamableStack(stages).stream(tensors, upstream)

    def begun(self, chunk: Tensors, done: int, random: np.random.Generator, heat: float) -> Array:
        """The state at time 0 of a chunk that begins at frame `done`.

        Raises:
            TensorError: a tensor is missing, has another type or shape, or is not a finite number.
        """
        sizes: dict[str, int] = {}
        for name in self.read:
            if name not in chunk:
                raise TensorError(f"{self.where}: the stream carries {sorted(chunk)}, expected '{name}' among them")
        for name in (n for n in (self.start, self.spread) if n is not None):
            check(name, chunk[name], self._shaped, sizes, self.where)
            frame = not_finite(chunk[name])
            if frame is not None:
                raise TensorError(
                    f"{self.where}: '{name}' is not a finite number at {self.streamed.axis.removesuffix('s')}"
                    f" {done + frame}"
                )
        dtype = np.dtype(self._shaped.dtype)
        shape = (len(chunk[self.read[0]]), *(a for a in self._shaped.axes if isinstance(a, int)))
        if not heat:
            return np.zeros(shape, dtype) if self.start is None else chunk[self.start]
        # In float32 whatever the type is, so that a network in another precision draws the same.
        state: Array = random.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
        state *= dtype.type(heat)
        if self.spread is not None:
            state *= chunk[self.spread]
        if self.start is not None:
            state += chunk[self.start]
        return state

    def heat(self, tensors: Tensors) -> float:
        """The temperature of an utterance.

        Raises:
            TensorError: the tensor `temperature` is no scalar or out of range.
        """
        given = tensors.get(TEMPERATURE)
        if given is None:
            return self.temperature
        if np.ndim(given) or not 0 <= float(given) <= HOTTEST:
            came = f"shape {list(np.shape(given))}" if np.ndim(given) else f"{float(given):g}"
            raise TensorError(f"{self.where}: '{TEMPERATURE}' must be a number from 0 to {HOTTEST:g}, not {came}")
        return float(given)

    def moved(self, number: int, window: Window, rows: Rows, tensors: Tensors) -> Tensors:
        """What step `number` makes of a window: the state a step further, and all that comes beside it."""
        spec, last = self.network.spec, number == self.steps - 1
        feed = self.streamed.feed(window, rows, tensors, self.where)
        state = rows.cut(_STATE, window.start, window.stop)
        feed[self.state] = self.streamed.placed(self.state, state, self._state_axis, window.start, self.where)
        feed[self.time] = np.asarray(number / self.steps, dtype=spec.inputs[self.time].dtype)
        (velocity,) = self.streamed.kept(self.network.run(feed), window, self.where).values()
        gone = {_STATE, *(n for n in self.read if n not in self._keep)} if last else {_STATE}
        chunk = {name: rows.cut(name, window.first, window.last) for name in rows.names() if name not in gone}
        state = velocity * velocity.dtype.type(1 / self.steps)
        state += rows.cut(_STATE, window.first, window.last)
        chunk[self.output if last else _STATE] = state
        return chunk

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The output, and what passes through."""
        network = f"network '{self.network.spec.name}'"
        for read, does in ((self.start, "starts from"), (self.spread, "spreads noise by")):
            if read is not None:
                self._streams(read, self._shaped, f"'FlowDecoder' {does}", tensors, upstream)
        inputs = self.network.spec.inputs
        for read, axis in self.streamed.streamed.items():
            self._streams(read, time_first(inputs[read], axis), f"{network} streams over", tensors, upstream)
        for read in self.streamed.static:
            if read not in tensors and not tensors.open:
                there = ", ".join(sorted(tensors)) or "no tensors"
                raise StackError(
                    f"{self.where}: {network} reads '{read}', which no sequence block before it makes;"
                    f" there are {there}"
                )
            self._fits(read, inputs[read], f"{network} reads", tensors)
        hot = tensors.get(TEMPERATURE)
        if hot is not None and (hot.axes or not hot.dtype.startswith("float")):
            raise StackError(
                f"{self.where}: 'FlowDecoder' takes its temperature from the tensor '{TEMPERATURE}',"
                f" a float without axes, but that is {hot}"
            )
        return upstream.without(set(self.read) - self._keep).plus({self.output: self._shaped})

    def _streams(self, name: str, wanted: TensorSpec, does: str, tensors: Specs, upstream: Specs) -> None:
        """Refuse a tensor that does not come in the stream, or comes in another shape."""
        if name not in upstream and not upstream.open:
            what = f"that is {tensors[name]} of a sequence block" if name in tensors else "nobody before it makes that"
            raise StackError(
                f"{self.where}: {does} '{name}', but {what}; a stream of {', '.join(upstream) or 'nothing'} comes"
            )
        self._fits(name, wanted, does, upstream)

    def _fits(self, name: str, wanted: TensorSpec, does: str, source: Specs) -> None:
        wanted = TensorSpec(wanted.dtype, wanted.axes)
        if name in source and not fits(wanted, source[name]):
            raise StackError(f"{self.where}: {does} '{name}' as {wanted}, but it is {source[name]}")


class _Start(StreamableBlock):
    """What the upstream carries, and the state at time 0."""

    def __init__(self, flow: FlowDecoder) -> None:
        self.flow, self.where = flow, flow.where

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The upstream's chunks, with the state beside."""
        heat = self.flow.heat(tensors)
        # Drawn in the order of frames, so that it does not matter in what chunks they come.
        random = np.random.Generator(np.random.PCG64(self.flow.seed))
        done = 0
        for chunk in Upstream.of(upstream):
            state = self.flow.begun(chunk, done, random, heat)
            yield {**chunk, _STATE: state}
            done += len(state)


class _Step(WindowedBlock):
    """One step of the flow: everything that comes, with the state a step further."""

    own_work = False

    def __init__(self, flow: FlowDecoder, number: int) -> None:
        self.flow, self.number, self.where = flow, number, flow.where
        self.context, self.planner = flow.streamed.context, flow.streamed.planner
        self.leader = _STATE

    def transform(self, window: Window, rows: Rows, tensors: Tensors) -> Tensors:
        """The state at the next time."""
        return self.flow.moved(self.number, window, rows, tensors)
