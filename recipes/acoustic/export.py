"""Stage 4: a checkpoint -> an addon: four or five ONNX networks, `symbols.txt`, `addon.json`.

    python -m recipes.acoustic.export --checkpoint work/acoustic/kathleen/last.pt --corpus work/kathleen \
        --out work/addons/kathleen --data "The CC0 corpus dataset-voice-kathleen by Rhasspy"

With several speakers, `--corpus` names their corpora in the order of training, and `--speakers` their names and
languages (`--speakers nathalie=nl flemishguy=nl-BE`).

The averaged weights are exported. Every network is compared with torch at several sizes, the decoder's windows
with its whole output, and padded runs with unpadded ones; an addon that fails any of it is not written.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recipes.acoustic.about import FLOW, About, manifest, tag_of
from recipes.acoustic.data import Corpus, Item
from recipes.acoustic.flow import Flowing
from recipes.acoustic.flow import made as made_model
from recipes.acoustic.model import PHONE, Acoustic, Config, upsample
from recipes.acoustic.predictors import VotedDurations, VotedProsody, guess
from recipes.acoustic.train_predictors import load_voters
from recipes.features import HOP, SAMPLE_RATE
from recipes.onnx_tools import as_stored, check_context, check_network, export_network, run_network

# The standard deviation of log F0 within a clip, of the recordings'.
SPREAD = 0.85


AXES: dict[str, tuple[str | int, ...]] = {
    "tokens": ("tokens",),
    "tokens_mask": ("tokens",),
    "hidden": ("tokens", "width"),
    "speed": (),
    "durations": ("tokens",),
    "pitch": (),
    "energy": (),
    "encoded": ("tokens", "width"),
    "token_pitch": ("tokens",),
    "token_energy": ("tokens",),
    "token_position": ("frames",),
    "token_frames": ("frames",),
    "frames_mask": ("frames",),
    "mel": ("frames", "bands"),
    "speaker": (),
    "prior": ("frames", "bands"),
    "spread": ("frames", "bands"),
    "condition": ("frames", "condition"),
    "state": ("frames", "bands"),
    "time": (),
    "velocity": ("frames", "bands"),
}
# network -> (inputs, outputs), in the order of `forward`.
SIGNATURES = {
    "text_encoder": (("tokens", "tokens_mask"), ("hidden",)),
    "duration_predictor": (("hidden", "tokens_mask", "speed"), ("durations",)),
    "prosody_predictor": (
        ("hidden", "tokens_mask", "pitch", "energy"),
        ("encoded", "token_pitch", "token_energy"),
    ),
    "decoder": (("encoded", "token_position", "token_frames", "frames_mask"), ("mel",)),
}
GUESS = ("prior", "spread", "condition")
VELOCITY = (("state", "prior", "condition", "time", "frames_mask"), ("velocity",))
# What a symbol that training never saw sounds like instead. None: like nothing, for marks.
NEIGHBOURS: Mapping[str, str | None] = {
    "!": ".", "?": ".", ":": ",", ";": ",", "\u0303": None, "\u0329": None, "ʲ": None,
    "ɒ": "ɑ", "ɑ": "a", "r": "ɹ", "ɹ": "r", "ʁ": "ɹ", "ɾ": "d", "x": "k", "ɣ": "ɡ", "ç": "ʃ", "ɬ": "l",
    "y": "u", "ø": "ɜ", "œ": "ɜ", "ɲ": "n", "ɜ": "ɛ", "ɚ": "ə", "ɐ": "ə", "ᵻ": "ɪ", "ʌ": "a", "æ": "ɛ",
    "θ": "s", "ð": "z", "w": "v", "v": "f", "ʒ": "ʃ", "ʔ": "t", "ŋ": "n",
}  # fmt: skip


def adopt_unseen(model: Acoustic, symbols: list[str], seen: Tensor) -> None:
    """Give symbols that training never saw the embedding of their neighbour, in place of a random one."""
    ids = {symbol: i for i, symbol in enumerate(symbols)}
    tables = [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Embedding) and module.num_embeddings == len(symbols)
    ]
    with torch.no_grad():
        for i, symbol in enumerate(symbols):
            if seen[i]:
                continue
            found: int | None = None
            neighbour: str | None = symbol
            for _ in range(4):
                neighbour = NEIGHBOURS.get(neighbour) if neighbour else None
                if neighbour in ids and seen[ids[neighbour]]:
                    found = ids[neighbour]
                    break
            for rows in tables:
                rows[i] = 0 if found is None else rows[found]


def set_pace(model: Acoustic, items: list[Item], classes: Tensor) -> None:
    """Make the phones of `items` as long in sum as the recorded ones."""
    natural = predicted = 0.0
    for item in items:
        phone = classes[item.tokens] == PHONE
        natural += float(item.durations[phone].sum())
        predicted += float(torch.expm1(guess(model, item.tokens, item.speaker).log_durations)[phone].sum())
    predictor = model.duration_predictor
    joint = predictor.joint if isinstance(predictor, VotedDurations) else predictor
    joint.pace.fill_(natural / predicted)
    print(f"phones are made {natural / predicted:.3f} times as long")


def measure_gain(model: Acoustic, natural: list[Item], texts: list[Item], spread: float) -> float:
    """What makes the predicted melodies of `texts` (whose recordings are not looked at) as lively as recorded ones.

    Args:
        model: with voters, whose gain is 1.
        natural: clips whose recorded melody shows how lively the speaker is.
        texts: clips whose symbols are predicted; training must not have known them.
        spread: the share of the natural standard deviation within a clip that is wanted.
    """

    def lively(pitch: Tensor, voiced: Tensor) -> float:
        return float(pitch.mean(-1)[voiced].std())

    wanted = np.mean([lively(item.pitch, (item.voiced > 0.5) & (item.durations > 0)) for item in natural])
    guesses = [guess(model, item.tokens, item.speaker) for item in texts]
    found = np.mean([lively(said.pitch, (said.voiced > 0) & (said.durations > 0)) for said in guesses])
    return float(spread * wanted / found)


def add_voters(model: Acoustic, path: Path, corpus: Corpus, spread: float) -> None:
    """Let the voters of `recipes.acoustic.train_predictors` have their say in durations, pitch and energy."""
    voters = load_voters(path, corpus.symbols, corpus.classes)
    prosody = VotedProsody(model.prosody_predictor, voters["pitch"])
    model.duration_predictor = VotedDurations(model.duration_predictor, voters["duration"])  # type: ignore[assignment]
    model.prosody_predictor = prosody  # type: ignore[assignment]
    prosody.gain.fill_(measure_gain(model, corpus.train, corpus.dev, spread))
    print(f"{len(voters['pitch'].members)} voters; melodies widened {float(prosody.gain):.2f} times")


def load(checkpoint: Path) -> tuple[Acoustic, list[str], Tensor, int]:
    """The averaged model of a checkpoint, its symbols, which of them training saw, and its step."""
    if not checkpoint.is_file():
        raise SystemExit(f"{checkpoint}: there is no such checkpoint")
    state = torch.load(checkpoint, weights_only=True)
    config = Config(**state["config"])
    scales = torch.ones(config.speakers, 2, 2) if config.speakers > 1 else torch.ones(2, 2)
    blank = torch.zeros(config.symbols, dtype=torch.int64), scales, torch.ones(2, config.bands)
    model = made_model(config, *blank)
    model.load_state_dict(state["average"])
    if isinstance(model, Flowing):
        model.finish()
    return model.eval(), state["symbols"], state["seen"], state["step"]


@torch.no_grad()
def example(model: Acoustic, rows: list[Tensor]) -> dict[str, Tensor]:
    """Every tensor of the model for token sequences `rows`, padded to one batch, as the framework would make them."""
    width, count = max(len(row) for row in rows), len(rows)
    made = {"tokens": torch.zeros(count, width, dtype=torch.int64), "tokens_mask": torch.zeros(count, width)}
    for i, row in enumerate(rows):
        made["tokens"][i, : len(row)] = row
        made["tokens_mask"][i, : len(row)] = 1
    made |= {"speed": torch.ones(count), "pitch": torch.zeros(count), "energy": torch.zeros(count)}
    made["speaker"] = torch.arange(count) % model.config.speakers
    made["hidden"] = model.text_encoder(*(made[n] for n in signature(model, "text_encoder")[0]))
    made["durations"] = model.duration_predictor(*(made[n] for n in signature(model, "duration_predictor")[0]))
    prosody = model.prosody_predictor(*(made[n] for n in signature(model, "prosody_predictor")[0]))
    made |= dict(zip(("encoded_tokens", "token_pitch", "token_energy"), prosody, strict=True))
    frames = max(1, int(made["durations"].sum(1).max()))
    made["encoded"] = torch.zeros(count, frames, model.config.width)
    for name in ("token_position", "token_frames", "frames_mask"):
        made[name] = torch.zeros(count, frames)
    for i in range(count):
        index, position, length = upsample(made["durations"][i])
        made["encoded"][i, : len(index)] = made["encoded_tokens"][i, index]
        made["token_position"][i, : len(index)] = position
        made["token_frames"][i, : len(index)] = length
        made["frames_mask"][i, : len(index)] = 1
    if isinstance(model, Flowing):
        guessed = model.decoder(*(made[n] for n in signature(model, "decoder")[0]))
        made |= dict(zip(GUESS, guessed, strict=True))
        made["state"] = made["prior"] + torch.randn_like(made["prior"]) * made["spread"]
        made["time"] = torch.linspace(0, 0.9, count)
    return made


def signature(model: Acoustic, network: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs and outputs of a network: predictors with voters read the tokens as well."""
    if network == "velocity":
        return VELOCITY
    inputs, outputs = SIGNATURES[network]
    if network == "decoder" and isinstance(model, Flowing):
        outputs = GUESS
    voted = isinstance(getattr(model, network), VotedDurations | VotedProsody)
    if voted:
        inputs = (inputs[0], "tokens", *inputs[1:])
    if model.config.speakers > 1 and (voted or network in ("text_encoder", "prosody_predictor")):
        inputs = (*inputs, "speaker")
    return inputs, outputs


def _axes(name: str, network: str, config: Config) -> tuple[str | int, ...]:
    """The axes of a tensor without its batch axis. What the Upsampler repeated, a decoder reads by frames."""
    sizes = {"width": config.width, "bands": config.bands, "condition": config.condition}
    axes = ("frames", "width") if network in CONTEXTS and name == "encoded" else AXES[name]
    return tuple(sizes.get(axis, axis) if isinstance(axis, str) else axis for axis in axes)


def _dtype(name: str) -> str:
    return "int64" if name in ("tokens", "durations", "speaker") else "float32"


# Networks that are streamed, and the frames that each looks to either side.
CONTEXTS: Mapping[str, Callable[[Config], int]] = {
    "decoder": lambda config: config.context,
    "velocity": lambda config: config.flow_context,
}


def export_networks(model: Acoustic, rows: list[Tensor], out: Path) -> dict[str, dict[str, object]]:
    """Write and check the networks; returns their entries of `addon.json`."""
    config, entries = model.config, {}
    made = example(model, rows)
    alone = [example(model, [row]) for row in (rows[0], rows[0][:1], torch.cat(rows * 20)[:600])]
    for name in (*SIGNATURES, "velocity") if isinstance(model, Flowing) else SIGNATURES:
        inputs, outputs = signature(model, name)
        module: nn.Module = getattr(model, name)
        axes = {tensor: ("batch", *_axes(tensor, name, config)) for tensor in (*inputs, *outputs)}
        path = out / f"{name}.onnx"
        export_network(module, {tensor: made[tensor] for tensor in inputs}, axes, path)
        rounded = as_stored(module)
        for sizes in alone:
            check_network(rounded, {tensor: sizes[tensor] for tensor in inputs}, axes, path)
        entry: dict[str, object] = {
            "role": "decoder" if name in CONTEXTS else "encoder",
            "graph": path.name,
            "inputs": {tensor: _spec(tensor, name, config) for tensor in inputs},
            "outputs": {tensor: _spec(tensor, name, config) for tensor in outputs},
        }
        if name in CONTEXTS:
            context = CONTEXTS[name](config)
            long = {tensor: alone[2][tensor].numpy() for tensor in inputs}
            error = check_context(path, long, axes, axis="frames", left=context, right=context)
            print(f"{name}: windows with {context} frames on each side differ from the whole by {error:.1e}")
            entry["stream"] = {"axis": "frames", "left": context, "right": context, "hop": 1}
        _check_padding(path, {tensor: made[tensor].numpy() for tensor in inputs}, axes)
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
        entries[name] = entry
    return entries


def _check_padding(path: Path, inputs: Mapping[str, np.ndarray], axes: Mapping[str, tuple[str | int, ...]]) -> None:
    """Each row of a padded batch must give what it gives alone."""
    together = run_network(path, inputs)
    mask = next(name for name in inputs if name.endswith("_mask"))
    axis = axes[mask][1]
    for i, length in enumerate(inputs[mask].sum(1).astype(int)):
        cut = {n: v[i : i + 1, :length] if axis in axes[n] else v[i : i + 1] for n, v in inputs.items()}
        for name, found in run_network(path, cut).items():
            error = np.abs(found[0] - together[name][i, :length]).max(initial=0)
            assert error < 1e-3, f"{path.name}: {name} changes by {error:.2g} with padding"


def _spec(name: str, network: str, config: Config) -> dict[str, object]:
    spec: dict[str, object] = {"dtype": _dtype(name), "axes": list(_axes(name, network, config))}
    return spec | ({"fill": "mask"} if name.endswith("_mask") else {})


def decoder_cost(folder: Path, model: Acoustic, frames: int = 172, runs: int = 20) -> float:
    """Milliseconds that one thread spends on decoding one second of audio, in calls of two seconds."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    total = 0.0
    for name in CONTEXTS:
        if not hasattr(model, name):
            continue
        path = folder / f"{name}.onnx"
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {}
        for tensor in signature(model, name)[0]:
            shape = [1, *(frames if size == "frames" else int(size) for size in _axes(tensor, name, model.config))]
            feed[tensor] = np.full(shape, 0.5, np.float32)
        times = []
        for _ in range(runs):
            begun = time.perf_counter()
            session.run(None, feed)
            times.append(time.perf_counter() - begun)
        total += sorted(times)[runs // 2] * (FLOW["steps"] if name == "velocity" else 1)
    return total * 1000 / (frames * HOP / SAMPLE_RATE)


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of recipes.acoustic.train")
    parser.add_argument(
        "--corpus", type=Path, nargs="+", required=True, help="its corpora's work folders, to measure the pace"
    )
    parser.add_argument("--predictors", type=Path, help="what recipes.acoustic.train_predictors wrote")
    parser.add_argument(
        "--spread", type=float, default=SPREAD, help=f"of melodies, of the recordings' (default: {SPREAD})"
    )
    parser.add_argument("--out", type=Path, required=True, help="the addon's folder")
    parser.add_argument("--name", help="the voice's name (default: the addon folder's name)")
    parser.add_argument("--language", default="en-us", help="espeak's name of the language (default: en-us)")
    parser.add_argument(
        "--speakers", nargs="+", metavar="NAME[=LANGUAGE]", help="in the order of training (default: the voice's name)"
    )
    parser.add_argument("--license", default="CC0-1.0", help="SPDX licence of the weights (default: CC0-1.0)")
    parser.add_argument("--data", default="", help="what the recordings are, for people")
    args = parser.parse_args()
    name = args.name or args.out.name
    torch.set_num_threads(1)
    model, symbols, seen, step = load(args.checkpoint)
    corpus = Corpus.load(*args.corpus)
    pairs = (entry.partition("=") for entry in args.speakers or [name])
    speakers = {who: tag or tag_of(args.language) for who, _, tag in pairs}
    if not len(speakers) == corpus.speakers == model.config.speakers:
        raise SystemExit(
            f"{args.checkpoint} has {model.config.speakers} speakers, --corpus {corpus.speakers},"
            f" --speakers {len(speakers)}"
        )
    if args.predictors is not None:
        add_voters(model, args.predictors, corpus, args.spread)
    adopt_unseen(model, symbols, seen)
    set_pace(model, corpus.train[:: max(1, len(corpus.train) // 300)], corpus.classes)
    networks = export_networks(model, [item.tokens for item in corpus.dev[:3]], args.out)
    (args.out / "symbols.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), "utf-8")
    longest = max(len(item.tokens) for item in corpus.train)
    about = About(
        name=name,
        language=args.language,
        speakers=speakers,
        license=args.license,
        data=args.data or f"The corpus {', '.join(folder.name for folder in args.corpus)}",
        # Sentences half as long again as any that was heard are split, at clauses where they have any.
        max_tokens=min(256, -(-longest * 3 // 64) * 32),
    )
    written = json.dumps(manifest(about, step, networks), ensure_ascii=False, indent=2)
    (args.out / "addon.json").write_text(written + "\n", "utf-8")
    cost = decoder_cost(args.out, model)
    print(f"{args.out}: decoder {cost:.1f} ms per second of audio on one thread")


if __name__ == "__main__":
    main()
