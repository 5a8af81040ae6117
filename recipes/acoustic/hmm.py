"""A hidden Markov model of phones with Gaussian mixtures, trained on its own best paths (Viterbi training)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from tqdm import tqdm

from recipes.acoustic.symbols import PAD
from recipes.features import StoredClip

STATES = 3  # of a phone and of a silence; also its shortest length in fine frames (17 ms)


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of a clip with three states: a phone, or an optional silence. `symbol` is where its time goes."""

    name: str
    symbol: int
    penalty: float = 0.0


@dataclass(slots=True)
class Utterance:
    """One clip to align: `path` is the state, counted along the clip, of every fine frame."""

    clip: StoredClip
    symbols: list[str]
    units: list[Unit]
    features: np.ndarray
    states: np.ndarray  # [units * STATES]: which of the model's states
    path: np.ndarray
    score: float = 0.0


def flat_start(utterance: Utterance, quiet: float) -> np.ndarray:
    """A first path: frames below `quiet` are left to silences, the rest is shared equally among the phones."""
    loud = np.flatnonzero(utterance.features[:, 0] > quiet)
    phones = [i for i, unit in enumerate(utterance.units) if unit.name != PAD]
    chain = np.concatenate([np.arange(STATES) + STATES * i for i in phones])
    path = np.full(len(utterance.features), -1)
    path[loud] = chain[np.arange(len(loud)) * len(chain) // max(1, len(loud))]
    return path


class Mixtures:
    """Diagonal Gaussian mixtures, one for every state: means and variances [states, mixtures, dims]."""

    def __init__(self, means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> None:
        self.means, self.variances, self.weights = means, variances, weights

    def components(self, rows: np.ndarray) -> np.ndarray:
        """Log of weight times density of every component: [frames, states, mixtures]."""
        precision = 1 / self.variances
        constant = np.log(self.weights) - 0.5 * (np.log(2 * np.pi * self.variances) + self.means**2 * precision).sum(-1)
        dims = rows.shape[1]
        linear = np.concatenate([-0.5 * precision, self.means * precision], axis=-1).reshape(-1, 2 * dims)
        values = np.concatenate([rows**2, rows], axis=1) @ linear.T.astype(np.float32)
        return values.reshape(len(rows), *self.weights.shape) + constant

    def log_likelihood(self, rows: np.ndarray) -> np.ndarray:
        """[frames, states]."""
        values = self.components(rows)
        top = values.max(-1)
        return top if values.shape[-1] == 1 else top + np.log(np.exp(values - top[..., None]).sum(-1))

    def split(self) -> Mixtures:
        """Twice as many components, each pair a little apart."""
        step = 0.2 * np.sqrt(self.variances)
        return Mixtures(
            np.concatenate([self.means - step, self.means + step], axis=1),
            np.repeat(self.variances, 2, axis=1),
            np.concatenate([self.weights, self.weights], axis=1) / 2,
        )

    def updated(self, rows: np.ndarray, states: np.ndarray, floor: np.ndarray) -> Mixtures:
        """New parameters from frames [frames, dims] and their states [frames]."""
        count, mixtures, dims = self.means.shape
        picked = np.empty((len(rows), mixtures), np.float32)
        for first in range(0, len(rows), 16384):
            part = slice(first, first + 16384)
            values = self.components(rows[part])
            values = values[np.arange(len(values)), states[part]]
            values = np.exp(values - values.max(-1, keepdims=True))
            picked[part] = values / values.sum(-1, keepdims=True)
        both = np.concatenate([rows, rows**2, np.ones((len(rows), 1), np.float32)], axis=1)
        index = (states, np.arange(len(rows)))
        sums = np.stack(
            [scipy.sparse.csr_array((picked[:, m], index), shape=(count, len(rows))) @ both for m in range(mixtures)],
            axis=1,
        )
        weight = sums[..., -1:]
        mean = sums[..., :dims] / np.maximum(weight, 1e-3)
        variance = np.maximum(sums[..., dims:-1] / np.maximum(weight, 1e-3) - mean**2, floor)
        # A component that hardly any frame chose keeps what it was: rare phones must not collapse.
        alive = weight > 10
        return Mixtures(
            np.where(alive, mean, self.means),
            np.where(alive, variance, self.variances),
            (weight[..., 0] + 1) / (weight[..., 0] + 1).sum(-1, keepdims=True),
        )


def viterbi(batch: list[Utterance], model: Mixtures) -> None:
    """Set the best path and the score of every utterance of a batch; all their states advance in one array.

    A state is reached from itself, from the one before, or, over an optional silence, from the one before that:

        ... k3 | _1 _2 _3 | ae1 ...
             \\_____________/
    """
    longest = max(len(u.features) for u in batch)
    widest = max(len(u.states) for u in batch)
    emission = np.full((longest, len(batch), widest), -1e9, np.float32)
    entry = np.zeros((len(batch), widest), np.float32)
    skip = np.full((len(batch), widest), -1e9, np.float32)
    score = np.full((len(batch), widest), -1e9, np.float32)
    for b, u in enumerate(batch):
        emission[: len(u.features), b, : len(u.states)] = model.log_likelihood(u.features)[:, u.states]
        for i, unit in enumerate(u.units):
            entry[b, i * STATES] = -unit.penalty
            if i and u.units[i - 1].name == PAD:
                skip[b, i * STATES] = 0
        score[b, 0] = emission[0, b, 0]
        if u.units[0].name == PAD:
            score[b, STATES] = emission[0, b, STATES]
    steps = np.zeros((longest, len(batch), widest), np.int8)
    kept = np.empty((longest, *score.shape), np.float32)
    kept[0] = score
    over = STATES + 1
    for t in range(1, longest):
        best, step = score.copy(), steps[t]
        move = score[:, :-1] + entry[:, 1:]
        better = move > best[:, 1:]
        best[:, 1:][better], step[:, 1:][better] = move[better], 1
        jump = score[:, :-over] + skip[:, over:]
        better = jump > best[:, over:]
        best[:, over:][better], step[:, over:][better] = jump[better], over
        score = best + emission[t]
        kept[t] = score
    for b, u in enumerate(batch):
        last = len(u.features) - 1
        ends = [len(u.states) - 1]
        if u.units[-1].name == PAD:
            ends.append(len(u.states) - 1 - STATES)
        state = max(ends, key=lambda s: kept[last, b, s])
        u.score = float(kept[last, b, state]) / (last + 1)
        for t in range(last, -1, -1):
            u.path[t] = state
            state -= int(steps[t, b, state])


def train(utterances: list[Utterance], states: int, iterations: tuple[int, ...]) -> Mixtures:
    """Train the model and leave every utterance with its best path.

    Args:
        utterances: all clips.
        states: how many states the model has; the first `STATES` are silence.
        iterations: how many rounds with 1, 2, 4, ... mixtures.
    """
    rows = np.concatenate([u.features for u in utterances])
    quiet = float(np.quantile(rows[:, 0], 0.08))
    mean, variance = rows.mean(0), rows.var(0)
    floor = 0.02 * variance
    model = Mixtures(
        np.broadcast_to(mean, (states, 1, len(mean))).copy(),
        np.broadcast_to(variance, (states, 1, len(mean))).copy(),
        np.ones((states, 1)),
    )
    for u in utterances:
        u.path = flat_start(u, quiet)
    by_length = sorted(utterances, key=lambda u: len(u.features))
    batches = [by_length[i : i + 32] for i in range(0, len(by_length), 32)]
    for stage, rounds in enumerate(iterations):
        if stage:
            model = model.split()
        progress = tqdm(range(rounds), desc=f"{2**stage} mixtures")
        for _ in progress:
            model = model.updated(rows, _states_of(utterances), floor)
            for batch in batches:
                viterbi(batch, model)
            progress.set_postfix(score=f"{np.mean([u.score for u in utterances]):.3f}")
    return model


def _states_of(utterances: list[Utterance]) -> np.ndarray:
    """The model's state of every frame of all utterances; frames without a path are silence, all three alike."""
    parts = []
    for u in utterances:
        states = u.states[u.path]
        free = np.flatnonzero(u.path < 0)
        states[free] = free % STATES
        parts.append(states)
    return np.concatenate(parts)
