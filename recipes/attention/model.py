"""The networks: encoder, attention decoder (one step), postnet.

All tensors have a leading batch axis here (B); T counts tokens, F frames, S decoder steps of R frames each. Masks
are float32, 1 where real and 0 where padded.

    tokens -> encoder -> memory, keys -> attention_decoder, step by step -> coarse, features -> postnet -> mel
                                           ^ state: what was said last, what was attended, two recurrent cells

The family is that of Tacotron 2 (Shen et al., 2018): a pre-net for the last frame, an attention that sees its own
past alignments (location-sensitive; Chorowski et al., 2015), a recurrent decoder and a postnet.

Training is told the frames before (`told`), and may be told where to look as well (`led`): then nothing depends on
what a step before made, and a clip is one call of each layer instead of a loop. Where the model finds its own way,
only the cell that attends needs the loop.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.acoustic.model import ConvNeXt


@dataclass(frozen=True, slots=True)
class Config:
    """Sizes of the networks."""

    symbols: int
    bands: int = 80
    reduction: int = 3  # R: frames a decoder step makes
    width: int = 192  # of the encoding
    encoder_blocks: int = 4
    prenet: int = 128
    attention_cell: int = 256
    attention: int = 96  # width in which tokens are compared
    location_filters: int = 16  # over the last alignment and the sum of all
    location_kernel: int = 31
    cell: int = 384
    features: int = 96  # what the decoder tells the postnet beside the mel
    postnet: int = 192
    postnet_kernels: tuple[int, ...] = (7, 7, 5, 5)
    dropout: float = 0.1
    prenet_dropout: float = 0.5

    @property
    def context(self) -> int:
        """Frames on each side that the postnet looks at."""
        return sum(kernel // 2 for kernel in self.postnet_kernels)

    def to_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        return asdict(self)


class Encoder(nn.Module):
    """tokens [B, T], tokens_mask [B, T] -> memory [B, T, C], keys [B, T, A]: once for every clause."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.symbols, config.width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.blocks = nn.ModuleList(ConvNeXt(config.width, 5, 2, config.dropout) for _ in range(config.encoder_blocks))
        # What kind of sentence it is, told to every token: convolutions do not see a question mark from afar.
        self.sentence = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.keys = nn.Linear(config.width, config.attention)

    def forward(self, tokens: Tensor, tokens_mask: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        mask = tokens_mask.unsqueeze(-1)
        x = self.embedding(tokens)
        for i, block in enumerate(self.blocks):
            x = block(x, mask)
            if i == 1:
                mean = (x * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True)
                x = x + self.sentence(mean)
        memory = self.norm(x) * mask
        return memory, self.keys(memory)


class Prenet(nn.Module):
    """The last frame (normalised mel) [..., bands] -> [..., P], through a bottleneck with much dropout in training."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.first = nn.Linear(config.bands, config.prenet)
        self.second = nn.Linear(config.prenet, config.prenet)
        self.dropout = nn.Dropout(config.prenet_dropout)

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        return self.dropout(functional.relu(self.second(self.dropout(functional.relu(self.first(frame))))))


def lstm_step(lstm: nn.LSTM, gates: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step of `lstm` as plain matrix products, which quantise in any runtime.

    Args:
        lstm: its weights are used.
        gates: the input through `weight_ih_l0` and both biases, [B, 4 * size].
        hidden, cell: the state [B, size].

    Returns:
        The next hidden and cell.
    """
    enter, keep, new, leave = (gates + functional.linear(hidden, lstm.weight_hh_l0)).chunk(4, dim=-1)
    cell = torch.sigmoid(keep) * cell + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


class Attention(nn.Module):
    """Which tokens to speak now, from what is to be said and from where the attention was and has been."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.query = nn.Linear(config.attention_cell, config.attention, bias=False)
        self.location = nn.Conv1d(
            2, config.location_filters, config.location_kernel, padding=config.location_kernel // 2, bias=False
        )
        self.where = nn.Linear(config.location_filters, config.attention, bias=False)
        self.score = nn.Linear(config.attention, 1, bias=False)

    def forward(self, hidden: Tensor, keys: Tensor, mask: Tensor, last: Tensor, total: Tensor) -> Tensor:
        """hidden [..., H], keys [..., T, A], and mask, last, total [..., T] -> alignment [..., T], which sums to 1."""
        seen = torch.stack([last, total], dim=-2)
        found = self.location(seen if seen.dim() == 3 else seen.flatten(0, 1)).transpose(1, 2)
        where = self.where(found if seen.dim() == 3 else found.unflatten(0, last.shape[:2]))
        scores = self.score(torch.tanh(self.query(hidden).unsqueeze(-2) + where + keys)).squeeze(-1)
        # Far below any score, yet finite: with everything masked there is still a softmax.
        return torch.softmax(scores.float() - (1 - mask) * 1e4, dim=-1)


class AttentionDecoder(nn.Module):
    """One step: R frames. Every state comes in as one tensor and goes out as another."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.prenet = Prenet(config)
        self.attention_cell = nn.LSTM(config.prenet + config.width, config.attention_cell, batch_first=True)
        self.attention = Attention(config)
        self.cell = nn.LSTM(config.attention_cell + config.width, config.cell, batch_first=True)
        told = config.cell + config.width
        self.coarse = nn.Linear(told, config.reduction * config.bands)
        self.features = nn.Linear(told, config.reduction * config.features)
        self.stop = nn.Linear(told, 1)

    def outputs(self, hidden: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """coarse [..., R, bands], features [..., R, E], logit of stop [...]."""
        told = torch.cat([hidden, context], dim=-1)
        r = self.config.reduction
        return (
            self.coarse(told).unflatten(-1, (r, self.config.bands)),
            self.features(told).unflatten(-1, (r, self.config.features)),
            self.stop(told).squeeze(-1),
        )

    def forward(
        self,
        memory: Tensor,
        keys: Tensor,
        attention_mask: Tensor,
        frame: Tensor,
        attended: Tensor,
        attended_cell: Tensor,
        context: Tensor,
        last_alignment: Tensor,
        total: Tensor,
        hidden: Tensor,
        cell: Tensor,
    ) -> tuple[Tensor, ...]:
        """One step of speaking.

        Args:
            memory, keys: the encoder's [B, T, C], [B, T, A].
            attention_mask: [B, T], 0 where the attention must not be.
            frame: the last frame [B, bands], normalised; zeros at the start, as all states.
            attended, attended_cell: state of the cell that attends [B, H].
            context: what was attended last [B, C].
            last_alignment, total: where the attention was, and the sum of where it has been [B, T].
            hidden, cell: state of the cell that speaks [B, D].

        Returns:
            coarse [B, R, bands], features [B, R, E], stop [B] (a probability), and the states after this step in the
            order of the arguments.
        """
        lstm = self.attention_cell
        gates = functional.linear(
            torch.cat([self.prenet(frame), context], dim=-1), lstm.weight_ih_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0
        )
        attended, attended_cell = lstm_step(lstm, gates, attended, attended_cell)
        alignment = self.attention(attended, keys, attention_mask, last_alignment, total)
        context = (alignment.unsqueeze(1) @ memory).squeeze(1)
        lstm = self.cell
        gates = functional.linear(
            torch.cat([attended, context], dim=-1), lstm.weight_ih_l0, lstm.bias_ih_l0 + lstm.bias_hh_l0
        )
        hidden, cell = lstm_step(lstm, gates, hidden, cell)
        coarse, features, stop = self.outputs(hidden, context)
        return (
            coarse, features, torch.sigmoid(stop),
            coarse[:, -1], attended, attended_cell, context, alignment, total + alignment, hidden, cell,
        )  # fmt: skip

    def start(self, tokens: int) -> list[Tensor]:
        """The states before the first step of one utterance of `tokens` tokens: zeros [1, size]."""
        config = self.config
        sizes = (
            config.bands, config.attention_cell, config.attention_cell, config.width, tokens, tokens,
            config.cell, config.cell,
        )  # fmt: skip
        return [torch.zeros(1, size) for size in sizes]

    def led(
        self, memory: Tensor, keys: Tensor, mask: Tensor, told: Tensor, lead: Tensor, blurred: Tensor, asked: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All steps at once, told the frames before each and where to look.

        Args:
            memory, keys: the encoder's.
            mask: of the tokens [B, T].
            told: the last frame before each step [B, S, bands]; the first one is zeros.
            lead: the true alignment [B, S, T].
            blurred: what the attention is told it was, a little beside the truth [B, S, T].
            asked: the steps [N] in which the attention is asked where it would look.

        Returns:
            coarse [B, S, R, bands], features [B, S, R, E], logit of stop [B, S], and the alignment [B, N, T] that it
            would have chosen itself in the steps `asked`.
        """
        contexts = torch.bmm(lead, memory)
        before = torch.cat([torch.zeros_like(contexts[:, :1]), contexts[:, :-1]], dim=1)
        attended, _ = self.attention_cell(torch.cat([self.prenet(told), before], dim=-1))
        last = torch.cat([torch.zeros_like(blurred[:, :1]), blurred[:, :-1]], dim=1)
        total = last.cumsum(1)
        alignment = self.attention(
            attended[:, asked], keys.unsqueeze(1), mask.unsqueeze(1), last[:, asked], total[:, asked]
        )
        hidden, _ = self.cell(torch.cat([attended, contexts], dim=-1))
        return *self.outputs(hidden, contexts), alignment

    def taught(self, memory: Tensor, keys: Tensor, mask: Tensor, told: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All steps, told the frames before each; the attention finds its own way. As `led` otherwise."""
        batch, tokens, width = memory.shape
        lstm, known = self.attention_cell, self.config.prenet
        heard = functional.linear(
            self.prenet(told), lstm.weight_ih_l0[:, :known], lstm.bias_ih_l0 + lstm.bias_hh_l0
        ).unbind(1)
        context_weight = lstm.weight_ih_l0[:, known:]
        attended = cell = memory.new_zeros(batch, self.config.attention_cell)
        context = memory.new_zeros(batch, width)
        alignment = total = memory.new_zeros(batch, tokens)
        cells, contexts, alignments = [], [], []
        for step in heard:
            attended, cell = lstm_step(lstm, step + functional.linear(context, context_weight), attended, cell)
            alignment = self.attention(attended, keys, mask, alignment, total)
            total = total + alignment
            context = torch.bmm(alignment.unsqueeze(1), memory).squeeze(1)
            cells.append(attended)
            contexts.append(context)
            alignments.append(alignment)
        contexts_all = torch.stack(contexts, dim=1)
        hidden, _ = self.cell(torch.cat([torch.stack(cells, dim=1).to(contexts_all.dtype), contexts_all], dim=-1))
        return *self.outputs(hidden, contexts_all), torch.stack(alignments, dim=1)


class Postnet(nn.Module):
    """coarse [B, F, bands], features [B, F, E], frames_mask [B, F] -> mel [B, F, bands] in natural-log units.

    Looks `Config.context` frames to each side.
    """

    mel_scale: Tensor

    def __init__(self, config: Config, mel_scale: Tensor) -> None:
        super().__init__()
        self.enter = nn.Linear(config.bands + config.features, config.postnet)
        self.blocks = nn.ModuleList(ConvNeXt(config.postnet, k, 3) for k in config.postnet_kernels)
        self.norm = nn.LayerNorm(config.postnet)
        self.leave = nn.Linear(config.postnet, config.bands)
        nn.init.normal_(self.leave.weight, std=0.01)
        # [mean, deviation] of every band: [2, bands].
        self.register_buffer("mel_scale", mel_scale)

    def normalised(self, coarse: Tensor, features: Tensor, frames_mask: Tensor) -> Tensor:
        """The mel in units of its bands' deviations: what is trained."""
        mask = frames_mask.unsqueeze(-1)
        x = self.enter(torch.cat([coarse, features], dim=-1))
        for block in self.blocks:
            x = block(x, mask)
        return coarse + self.leave(self.norm(x))

    def forward(self, coarse: Tensor, features: Tensor, frames_mask: Tensor) -> Tensor:
        """See the class."""
        mel = self.normalised(coarse, features, frames_mask)
        return (mel * self.mel_scale[1] + self.mel_scale[0]) * frames_mask.unsqueeze(-1)


class Attentive(nn.Module):
    """All three networks: a container for training."""

    def __init__(self, config: Config, mel_scale: Tensor) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.attention_decoder = AttentionDecoder(config)
        self.postnet = Postnet(config, mel_scale)

    @torch.no_grad()
    def speak(self, tokens: Tensor, most: int, threshold: float = 0.5) -> tuple[Tensor, Tensor, bool]:
        """Speak one utterance without a teacher.

        Args:
            tokens: [T].
            most: steps after which it is over in any case.
            threshold: of the stop probability.

        Returns:
            mel [F, bands] normalised, alignment [S, T], and whether it stopped by itself.
        """
        mask = torch.ones(1, len(tokens))
        memory, keys = self.encoder(tokens.unsqueeze(0), mask)
        state = self.attention_decoder.start(len(tokens))
        coarse, features, alignments, stopped = [], [], [], False
        for _ in range(most):
            some, more, stop, *state = self.attention_decoder(memory, keys, mask, *state)
            coarse.append(some[0])
            features.append(more[0])
            alignments.append(state[4][0])
            if float(stop) > threshold:
                stopped = True
                break
        frames = torch.cat(coarse).unsqueeze(0)
        mel = self.postnet.normalised(frames, torch.cat(features).unsqueeze(0), torch.ones(frames.shape[:2]))
        return mel[0], torch.stack(alignments), stopped
