"""addon.json: its model. The JSON Schema in the package and the reference in docs/ are generated from here."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from polyvox.errors import AddonError
from polyvox.networks import InputSpec, NetworkSpec, StreamSpec
from polyvox.tensors import TensorSpec
from polyvox.windows import Context

FORMAT = 1

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")]
File = Annotated[str, Field(min_length=1, max_length=200)]
AxisName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Axes = Annotated[list[AxisName | Annotated[int, Field(ge=1, le=1 << 20)]], Field(max_length=6)]
Dtype = Literal["float32", "float16", "float64", "int64", "int32", "bool"]
Frames = Annotated[int, Field(ge=0, le=100_000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Tensor(_Model):
    """An output of a network."""

    dtype: Dtype = Field(description="Element type.")
    axes: Axes = Field(description="One entry an axis, without the batch: a name (any size) or a number (that size).")

    def spec(self) -> TensorSpec:
        """As the framework's own type."""
        return TensorSpec(self.dtype, tuple(self.axes))


class Input(Tensor):
    """An input of a network."""

    fill: Literal["mask", "length"] | None = Field(
        None,
        description="Who provides it. Absent: the blocks. `mask`: the runtime, 1 for data and 0 for padding along the"
        " tensor's only axis. `length`: the runtime, the size of axis `of` before padding.",
    )
    of: AxisName | None = Field(None, description="For `length`: which axis.")

    @model_validator(mode="after")
    def _fill_fits(self) -> Input:
        if self.fill == "mask" and not (len(self.axes) == 1 and isinstance(self.axes[0], str)):
            raise ValueError("a mask has exactly one named axis")
        if (self.fill == "length") != (self.of is not None):
            raise ValueError("'of' belongs to 'fill': 'length', and to nothing else")
        return self

    def input_spec(self) -> InputSpec:
        """As the framework's own type."""
        return InputSpec(self.dtype, tuple(self.axes), self.fill, self.of)


class Streaming(_Model):
    """How a network may be run over windows of a stream."""

    mode: Literal["window"] = Field("window", description="`window`: with context around the frames asked for.")
    axis: AxisName = Field("frames", description="The axis that is streamed.")
    left: Frames = Field(description="Steps of context to the left that an output depends on.")
    right: Frames = Field(description="Steps of context to the right that an output depends on.")
    hop: Annotated[int, Field(ge=1, le=65536)] = Field(1, description="Output steps that one input step makes.")

    def spec(self) -> StreamSpec:
        """As the framework's own type."""
        return StreamSpec(self.axis, Context(self.left, self.right, self.hop))


class Network(_Model):
    """One exported graph with its parameters."""

    role: Identifier = Field(description="What blocks find it by: `encoder`, `decoder`, `vocoder`, or your own word.")
    graph: File = Field(description="The ONNX file, relative to addon.json.")
    inputs: Annotated[dict[Identifier, Input], Field(min_length=1, max_length=64)] = Field(
        description="The graph's inputs by name."
    )
    outputs: Annotated[dict[Identifier, Tensor], Field(min_length=1, max_length=64)] = Field(
        description="The graph's outputs by name."
    )
    stream: Streaming | None = Field(None, description="How it may be streamed; absent: whole tensors only.")
    sizes: dict[AxisName, Annotated[list[Annotated[int, Field(ge=1, le=1 << 16)]], Field(min_length=1)]] = Field(
        default_factory=dict, description="Sizes to compile an axis to, in place of a fixed-shape target's own."
    )
    state: Annotated[dict[Identifier, Identifier], Field(max_length=64)] = Field(
        default_factory=dict,
        description="For networks that run step by step: the inputs that carry state, and for each the output that it"
        " is in the next step. State begins as the tensor of the input's name if a block made one, else as zeros.",
    )

    @model_validator(mode="after")
    def _axes_known(self) -> Network:
        known = {axis for i in self.inputs.values() if i.fill is None for axis in i.axes if isinstance(axis, str)}
        there = f"the inputs that blocks provide have {', '.join(sorted(known)) or 'no named axis'}"
        for name, wanted in self.inputs.items():
            axis = wanted.of if wanted.fill == "length" else wanted.axes[0] if wanted.fill == "mask" else None
            if axis is not None and axis not in known:
                raise ValueError(f"'{name}' is filled for axis '{axis}'; {there}")
        if self.stream is not None and self.stream.axis not in known:
            raise ValueError(f"it streams over axis '{self.stream.axis}'; {there}")
        for name, made in self.outputs.items():
            strange = [a for a in made.axes if isinstance(a, str) and a not in known]
            if strange and self.stream is None:
                raise ValueError(f"output '{name}' has axis '{strange[0]}'; without 'stream', {there}")
        return self

    @model_validator(mode="after")
    def _state_fits(self) -> Network:
        for name, output in self.state.items():
            if name not in self.inputs or self.inputs[name].fill is not None:
                raise ValueError(f"state '{name}' is no input that blocks provide; there are {', '.join(self.inputs)}")
            if output not in self.outputs:
                raise ValueError(f"state '{name}' is next '{output}'; the outputs are {', '.join(self.outputs)}")
            here, there = self.inputs[name].spec(), self.outputs[output].spec()
            if here != there:
                raise ValueError(f"state '{name}' is {here}, but '{output}', which it is next, is {there}")
            if list(self.state.values()).count(output) > 1:
                raise ValueError(f"output '{output}' is the next value of two states")
        return self

    def spec(self, name: str) -> NetworkSpec:
        """As the framework's own type."""
        return NetworkSpec(
            name,
            self.role,
            {n: i.input_spec() for n, i in self.inputs.items()},
            {n: o.spec() for n, o in self.outputs.items()},
            self.stream.spec() if self.stream else None,
            dict(self.state),
        )


class Text(_Model):
    """How text becomes tokens."""

    frontend: Identifier = Field("espeak", description="The front end that makes phonemes: `espeak`, `characters`.")
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")] = Field(
        description="The front end's name of the language, `en-us`."
    )
    symbols: File = Field(description="The symbol table: one symbol a line, the line's number from 0 is its token.")
    start: str | None = Field(None, description="A symbol put before every utterance.")
    end: str | None = Field(None, description="A symbol put after every utterance.")
    between: str | None = Field(None, description="A symbol put between all others.")
    max_tokens: Annotated[int, Field(ge=8, le=10_000)] = Field(
        256, description="Longer sentences are split at clause marks, else at words, before the encoders."
    )
    pause: Annotated[float, Field(ge=0, le=5)] = Field(0.25, description="Seconds of silence between sentences.")


class Control(_Model):
    """A scalar input that the caller may set, such as `speed`."""

    default: float = Field(description="Its value unless the caller sets one.")
    minimum: float = Field(description="The least it may be.")
    maximum: float = Field(description="The most it may be.")
    unit: str = Field("", description="For people: `times`, `semitones`, `dB`.")

    @model_validator(mode="after")
    def _ordered(self) -> Control:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError("expected minimum <= default <= maximum")
        return self


class Features(_Model):
    """The contract between acoustic models and vocoders. Two addons join only if all fields are equal."""

    kind: Literal["mel"] = Field("mel", description="The kind of features.")
    sample_rate: Annotated[int, Field(ge=4000, le=192_000)] = Field(22050, description="Samples a second.")
    hop_length: Annotated[int, Field(ge=16, le=8192)] = Field(256, description="Samples a frame.")
    bands: Annotated[int, Field(ge=8, le=512)] = Field(80, description="Mel bands.")
    fft: int = Field(1024, description="Samples of one FFT.")
    window: int = Field(1024, description="Samples of the Hann window.")
    f_min: float = Field(0.0, description="Lowest frequency of the filters, Hz.")
    f_max: float = Field(8000.0, description="Highest frequency of the filters, Hz.")
    mel_scale: Literal["slaney", "htk"] = Field("slaney", description="The mel scale.")
    norm: Literal["slaney", "none"] = Field("slaney", description="The filters' norm.")
    power: float = Field(1.0, description="1: magnitude, 2: energy.")
    log: Literal["natural", "log10", "none"] = Field("natural", description="The logarithm taken.")
    floor: float = Field(1e-5, description="Values are clipped to at least this before the logarithm.")
    centered: bool = Field(False, description="Whether frame t is centred on sample t * hop_length.")

    def differing(self, other: Features) -> list[str]:
        """The names of the fields that differ."""
        return [n for n in type(self).model_fields if getattr(self, n) != getattr(other, n)]


class Manifest(_Model):
    """The whole of addon.json."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, title="Polyvox addon.json")

    format: Literal[1] = Field(description="The version of this format.")
    name: Name = Field(description="What the addon is called.")
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?$")] = Field(
        description="The addon's version, as in semantic versioning."
    )
    kind: Literal["acoustic", "vocoder", "speech"] = Field(
        description="`acoustic`: text to mel. `vocoder`: mel to audio. `speech`: text to audio, end to end."
    )
    license: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="SPDX licence of the weights.")
    description: str = Field("", description="One line for people.")
    data: str = Field("", description="What the weights were trained on, and how.")
    languages: list[str] = Field(default_factory=list, description="BCP 47 tags of what it speaks.")
    speakers: list[Name] = Field(default_factory=list, description="The speakers' names.")
    speaker_languages: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Which of `languages` a speaker speaks, the usual one first; a speaker not named here speaks all.",
    )
    styles: list[Name] = Field(default_factory=list, description="The styles' names.")
    text: Text | None = Field(None, description="How text becomes tokens; not in a vocoder.")
    features: Features = Field(default_factory=lambda: Features(), description="The feature contract.")
    vocoder: Name | None = Field(
        None, description="The vocoder addon to speak through, unless the caller names another: a name."
    )
    controls: dict[Identifier, Control] = Field(
        default_factory=dict, description="Scalar inputs that the caller may set, by name."
    )
    networks: Annotated[dict[Name, Network], Field(max_length=64)] = Field(description="The networks by name.")
    stack: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=256)] = Field(
        description="The blocks and how they nest; each is an object with `type` and that block's fields."
    )

    @model_validator(mode="after")
    def _kind_fits(self) -> Manifest:
        if self.kind == "vocoder":
            if self.text is not None or self.vocoder is not None:
                raise ValueError("a vocoder has neither 'text' nor 'vocoder'")
        elif self.text is None:
            raise ValueError(f"an addon of kind '{self.kind}' needs the field 'text'")
        if self.kind == "speech" and self.vocoder is not None:
            raise ValueError("an addon of kind 'speech' has no 'vocoder'")
        return self

    @model_validator(mode="after")
    def _speakers_speak(self) -> Manifest:
        for speaker, spoken in self.speaker_languages.items():
            if speaker not in self.speakers:
                there = ", ".join(self.speakers) or "none"
                raise ValueError(f"field 'speaker_languages': '{speaker}' is no speaker; there are {there}")
            for tag in spoken:
                if tag not in self.languages:
                    there = ", ".join(self.languages) or "none"
                    raise ValueError(
                        f"field 'speaker_languages.{speaker}': '{tag}' is none of the languages; there are {there}"
                    )
        return self

    def languages_of(self, speaker: str | None) -> list[str]:
        """What a speaker speaks, as BCP 47 tags; of an addon whose speakers have no names, None speaks all."""
        return list(self.speaker_languages.get(speaker, self.languages) if speaker else self.languages)


def parse(text: str, where: str) -> Manifest:
    """Check the text of an addon.json.

    Raises:
        AddonError: one sentence that names the file, the field, what was expected and what came.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also numbers of thousands of digits
        raise AddonError(f"{where}: not JSON: {error}") from None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise AddonError(f"{where}: {_explain(error, data)}") from None


def _explain(error: ValidationError, data: object) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "extra_forbidden":
        *parents, unknown = first["loc"]
        model = _model_at(parents)
        valid = f"; valid are {', '.join(model.model_fields)}" if model else ""
        return f"field '{place}' is unknown{valid}" if unknown else f"field '{place}' is unknown"
    if first["type"] == "missing":
        return f"field '{place}' is missing"
    if first["type"] == "value_error":
        return f"field '{place}': {first['ctx']['error']}" if first["loc"] else str(first["ctx"]["error"])
    came = repr(first["input"])
    return f"field '{place}': {first['msg']}, got {came if len(came) <= 60 else came[:57] + '...'}"


def _model_at(place: list[int | str]) -> type[BaseModel] | None:
    """The model that describes the object at a place in the JSON."""
    match place:
        case []:
            return Manifest
        case ["text"]:
            return Text
        case ["features"]:
            return Features
        case ["controls", _]:
            return Control
        case ["networks", _]:
            return Network
        case ["networks", _, "inputs", _]:
            return Input
        case ["networks", _, "outputs", _]:
            return Tensor
        case ["networks", _, "stream"]:
            return Streaming
    return None


def schema() -> dict[str, Any]:
    """The JSON Schema of addon.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema()}
