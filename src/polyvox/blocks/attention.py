"""AttentionDecoder: an autoregressive network, run step by step until it says that it is done."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.build import Parts
from polyvox.blocks.encoder import check_inputs
from polyvox.blocks.registry import block
from polyvox.errors import StackError, TensorError
from polyvox.networks import Network
from polyvox.networks.stepping import Saved
from polyvox.tensors import Array, Specs, Tensors, TensorSpec

SPARE_FRAMES = 60
"""Frames that an utterance may have beyond those that its tokens account for: for texts of one short word."""


class Decoding:
    """One utterance on its way through an attention decoder: what was made so far, and how to make more.

    What every step made stays here, by step, until it is cut; so steps can be taken back (`back_to`).
    """

    def __init__(self, decoder: AttentionDecoder, tensors: Tensors, tokens: int) -> None:
        """`tokens` is how many the attention chooses between."""
        self._decoder = decoder
        self._stepper = decoder.network.stepper(tensors)
        self.tokens = tokens
        self.per_step = decoder.per_step
        self.most = -(-(round(decoder.longest * tokens) + SPARE_FRAMES) // self.per_step)
        """Steps after which it is over whatever the network says: nothing generates without end."""
        self.count = 0
        """Steps made."""
        self.over = False
        """Whether nothing comes any more."""
        self.alignment: Array = np.empty((self.most, tokens), dtype=np.float32)
        """What each step attended to: [steps, tokens], rows that sum to 1; valid up to `count`."""
        self._made: dict[str, Array] = {
            name: np.empty((self.most * self.per_step, *shape), dtype=decoder.network.spec.outputs[name].dtype)
            for name, shape in decoder.made.items()
        }
        self._furthest = 0

    @property
    def frames(self) -> int:
        """Frames made."""
        return self.count * self.per_step

    def step(self, changed: Tensors | None = None) -> float:
        """Make one step, with some inputs changed; returns the stop output. The caller decides whether it is over."""
        decoder, step = self._decoder, self.count
        out = self._stepper.step(changed)
        self.alignment[step] = out[decoder.alignment]
        first = step * self.per_step
        for name, array in self._made.items():
            array[first : first + self.per_step] = out[name]
        self.count = step + 1
        return float(out[decoder.stop])

    def until(self, wanted: int) -> int:
        """Make steps until there are `wanted` frames or no more; returns how many of them there are."""
        threshold = self._decoder.threshold
        while self.frames < wanted and not self.over:
            self.over = self.step() > threshold or self.count == self.most
        return min(wanted, self.frames)

    def save(self) -> tuple[int, Saved]:
        """Where it is now, to come back to."""
        return self.count, self._stepper.save()

    def back_to(self, saved: tuple[int, Saved]) -> None:
        """Take back the steps since `save`."""
        self.count = saved[0]
        self._stepper.restore(saved[1])
        self.over = False

    def cut(self, first: int, last: int) -> dict[str, Array]:
        """Frames `first` to `last` as a chunk, the next one after the chunk before.

        Returns:
            The network's outputs, `attention`, and `token_index`, which never goes back: a glance at what was said
            already does not say it again.
        """
        chunk = {name: array[first:last].copy() for name, array in self._made.items()}
        chunk["attention"] = self.alignment[np.arange(first, last) // self.per_step]
        most = np.maximum(chunk["attention"].argmax(axis=1), self._furthest)
        chunk["token_index"] = np.maximum.accumulate(most).astype(np.int64)
        if last > first:
            self._furthest = int(chunk["token_index"][-1])
        return chunk


@block("AttentionDecoder")
class AttentionDecoder(StreamableBlock):
    """Steps an autoregressive network, one call a step, until its stop output fires.

    The network's `state` (in addon.json) goes in and comes out as named tensors; a state begins as the tensor of its
    name if a sequence block made one, else as zeros. Its other inputs come from sequence blocks, once. An output that
    is neither state nor one of those named below is passed on: [n, ...], with the same n for all, the frames that one
    step makes. Added are `attention [frames, tokens]` (what each frame attended to) and `token_index [frames]` (to
    which token most).

    Steps are made when they are asked for. The family of models is Tacotron 2's (Shen et al., 2018).
    """

    role = "attention_decoder"

    def __init__(
        self,
        parts: Parts,
        network: str | None = None,
        stop: str = "stop",
        threshold: float = 0.5,
        alignment: str = "alignment",
        mask: str | None = "attention_mask",
        longest: float = 15.0,
    ) -> None:
        """Set up.

        Args:
            parts: the addon's networks.
            network: which one; not needed if only one has the role `attention_decoder`.
            stop: the output [] that rises above `threshold` in the last step.
            threshold: see `stop`.
            alignment: the output [tokens] that says what the step attended to; it sums to 1.
            mask: the input [tokens] that is 1 where the attention may be and 0 where not; None if it has none.
            longest: frames a token, on average, after which the utterance is ended in any case.
        """
        self.network: Network = parts.only(network, self.role)
        self.stop, self.threshold, self.alignment, self.longest = stop, threshold, alignment, longest
        spec, place = self.network.spec, f"{parts.where}: network '{self.network.spec.name}'"
        if not spec.state:
            raise StackError(f"{place} lacks the field 'state', which says what goes back into it after each step")
        for field, name, rank in (("stop", stop, 0), ("alignment", alignment, 1)):
            if name not in spec.outputs:
                raise StackError(f"{place} has no output '{name}' (field '{field}'); it has {', '.join(spec.outputs)}")
            axes = spec.outputs[name].axes
            if len(axes) != rank or (rank and not isinstance(axes[0], str)):
                wanted = "float32 [tokens]" if rank else "float32 []"
                raise StackError(f"{place}: output '{name}' is {spec.outputs[name]}, expected {wanted}")
        self.axis = spec.outputs[alignment].axes[0]
        if mask is not None and mask not in spec.inputs:
            raise StackError(
                f"{place} has no input '{mask}' (field 'mask', which may be null); it has {', '.join(spec.inputs)}"
            )
        self.mask = mask
        self.static = [n for n in spec.wanted() if n not in spec.state and n != mask]
        self._counted = next((n for n in self.static if self.axis in spec.inputs[n].axes), None)
        if self._counted is None:
            raise StackError(f"{place}: no input that blocks provide has the axis '{self.axis}' of '{alignment}'")
        special = {stop, alignment, *spec.state.values()}
        passed = {n: out.axes for n, out in spec.outputs.items() if n not in special}
        shapes = {n: tuple(a for a in axes if isinstance(a, int)) for n, axes in passed.items()}
        sizes = {shape[0] if shape and shape == passed[n] else 0 for n, shape in shapes.items()}
        if len(sizes) != 1 or 0 in sizes:
            shown = "; ".join(f"'{n}' is {spec.outputs[n]}" for n in passed) or "there are none"
            raise StackError(
                f"{place}: outputs that are passed on need numbers as axes, and the same number first, that of the"
                f" frames a step makes: {shown}"
            )
        self.per_step = sizes.pop()
        """Frames that one step makes."""
        self.made = {n: shape[1:] for n, shape in shapes.items()}
        """The outputs that are passed on, and the shape of a frame of each."""

    def begin(self, tensors: Tensors) -> Decoding | None:
        """Start an utterance; None if it has no tokens.

        Raises:
            TensorError: a tensor is missing or does not fit.
        """
        spec = self.network.spec
        assert self._counted is not None
        for name in self.static:
            if name not in tensors:
                raise TensorError(f"{self.where}: tensor '{name}' is missing; there are {sorted(tensors)}")
        tokens = tensors[self._counted].shape[spec.inputs[self._counted].axes.index(self.axis)]
        if not tokens:
            return None
        feed = {name: tensors[name] for name in (*self.static, *spec.state) if name in tensors}
        if self.mask is not None:
            feed[self.mask] = np.ones(tokens, dtype=spec.inputs[self.mask].dtype)
        return Decoding(self, feed, tokens)

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Chunks of as many frames as are asked for."""
        port = Upstream.of(upstream)
        decoding = self.begin(tensors)
        if decoding is None:
            return
        done = 0
        while True:
            last = decoding.until(done + max(1, port.wanted))
            if last == done:
                return
            yield decoding.cut(done, last)
            done = last

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The outputs that are passed on, and the attention."""
        spec = self.network.spec
        own = {n: TensorSpec(s.dtype, s.axes) for n, s in spec.wanted().items() if n not in self.static}
        check_inputs(self.network, self.where, tensors, Specs(own))
        frames = {n: TensorSpec(spec.outputs[n].dtype, ("frames", *shape)) for n, shape in self.made.items()}
        frames["attention"] = TensorSpec("float32", ("frames", self.axis))
        frames["token_index"] = TensorSpec("int64", ("frames",))
        return Specs(frames)
