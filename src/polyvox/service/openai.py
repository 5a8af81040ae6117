"""The endpoints of OpenAI's speech API, as its clients use them, and what the clients of our neighbours ask beside."""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

from polyvox.audio import FORMATS, encoder
from polyvox.choosing import fit
from polyvox.service import problems
from polyvox.service.engine import Engine, Request, VoiceInfo
from polyvox.service.errors import BadRequest, UnknownVoice
from polyvox.service.keys import Keys
from polyvox.service.logs import request_id
from polyvox.service.responses import Form, SpeechResponse
from polyvox.service.settings import Settings
from polyvox.service.shelf import Pick, Shelf

PCM_RATE = 24_000
"""Of `pcm`, whose clients expect it and cannot be told another."""

MODEL = "polyvox"
STOCK_MODELS = (MODEL, "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Models that leave the voice to `voice`, unless one of ours is called so."""

_STOCK_MODEL = re.compile("|".join(STOCK_MODELS) + r"|gpt-4o-mini-tts-[0-9-]{1,20}")

LISTED = 20
"""Names that a message lists."""

STOCK_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip
"""OpenAI's own voices. Where none of ours has the name they are the default voice, or one of the asked language."""

MEDIA_TYPES = (
    "audio/mpeg", "audio/ogg", "audio/aac", "audio/flac", "audio/wav", "audio/pcm", "audio/webm", "text/event-stream",
)  # fmt: skip

Name = Annotated[str, Field(min_length=1, max_length=200)]


class VoiceId(BaseModel):
    """A voice by its id."""

    id: Name = Field(description="The voice's name.")


class SpeechRequest(BaseModel):
    """What to say, who says it and how it is sent. Null is the same as absent; unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    input: Annotated[str, Field(min_length=1)] = Field(description="The text.")
    model: Name | None = Field(None, description="`polyvox`, one of OpenAI's models, or the name of a voice.")
    voice: Name | VoiceId | None = Field(
        None, description="A voice, `voice/speaker`, `voice@version`, an alias, or one of OpenAI's voices."
    )
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm", "webm"] | None = Field(
        "mp3", description="`opus` is Opus in Ogg, `webm` Opus in WebM, `pcm` 16-bit little-endian mono at 24 kHz."
    )
    speed: Annotated[float, Field(ge=0.25, le=4.0, allow_inf_nan=False)] | None = Field(
        1.0, description="Times as fast. Beyond what the voice can do, the nearest that it can is taken."
    )
    stream_format: Literal["audio", "sse"] | None = Field(
        "audio", description="The audio itself, or server-sent events that hold it."
    )
    instructions: Annotated[str, Field(max_length=4096)] | None = Field(None, description="Ignored.")
    language: Name | None = Field(None, description="A BCP 47 tag. Ours, as all that follow.")
    speaker: Name | None = Field(None, description="One of the voice's speakers.")
    realtime: bool | None = Field(
        True, description="Whether somebody listens while it is made; false is bulk work, which uses what is left."
    )
    sample_rate: Annotated[int, Field(ge=8000, le=48000)] | None = Field(
        None,
        description="Of the audio, in Hz; the voice's own (pcm: 24,000) unless given. A codec takes its next one.",
    )


assert set(SpeechRequest.model_json_schema()["properties"]["response_format"]["anyOf"][0]["enum"]) == set(FORMATS)


class Model(BaseModel):
    """A model, as OpenAI's clients know them."""

    id: str = Field(description="The name.")
    object: Literal["model"] = "model"
    created: int = Field(description="When the service started, in seconds since 1970.")
    owned_by: str = Field("polyvox", description="Whose it is.")


class Models(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


class ControlOffer(BaseModel):
    """A number that a caller may set."""

    default: float
    minimum: float
    maximum: float
    unit: str = ""


class VoiceOffer(BaseModel):
    """Somebody who can be asked to speak."""

    id: str = Field(description="What `voice` takes: the voice's name, `voice/speaker` where there are several.")
    name: str = Field(description="The same, for clients that show it.")
    object: Literal["voice"] = "voice"
    voice: str = Field(description="The voice's name.")
    version: str
    speaker: str | None = None
    languages: list[str] = Field(description="BCP 47 tags of what this speaker speaks.")
    aliases: list[str] = Field(description="Other names of the voice.")
    description: str = ""
    license: str
    architecture: str
    sample_rate: int
    controls: dict[str, ControlOffer]
    loaded: bool = Field(description="Whether it is in memory; else the first request loads it.")


class VoiceOffers(BaseModel):
    """All voices."""

    object: Literal["list"] = "list"
    voices: list[VoiceOffer]


class ModelNames(BaseModel):
    """All models, as some web interfaces ask for them."""

    models: list[Model]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI description says of errors."""
    said = {
        400: "The request is wrong",
        401: "A key is missing or wrong",
        404: "There is no such voice or model",
        413: "The request is too large",
        415: "The body is not JSON",
        429: "This client has as many streams as it may have",
        500: "The voice failed",
        503: "No further stream can be kept now; `retry-after` says when to come again",
    }
    return {status: {"model": problems.ErrorAnswer, "description": said[status]} for status in statuses}


def router(engine: Engine, settings: Settings, keys: Keys) -> APIRouter:
    """The endpoints under `/v1`."""
    executors: list[ThreadPoolExecutor] = []

    @asynccontextmanager
    async def threads(_: object) -> AsyncIterator[None]:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1), "polyvox-encode") as executor:
            executors.append(executor)
            executor.submit(_warm)
            try:
                yield
            finally:
                executors.remove(executor)

    routes = APIRouter(prefix="/v1", tags=["openai"], lifespan=threads)
    created = int(time.time())

    @routes.post(
        "/audio/speech",
        operation_id="speech",
        summary="Speak",
        response_class=Response,
        responses={
            200: {
                "description": "The audio, sent as it is made",
                "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES},
            },
            **errors(400, 401, 404, 413, 415, 429, 500, 503),
        },
    )
    async def speech(
        body: SpeechRequest,
        http: HttpRequest,
        x_polyvox_priority: Annotated[
            Literal["realtime", "bulk"] | None, Header(description="`bulk` is `realtime: false`.")
        ] = None,
    ) -> Response:
        """Speak a text. The answer begins with its first audio; whatever can be refused is refused before."""
        voice = who(body, engine.shelf)
        own = request_id.get()
        pick = engine.shelf.choose(voice, speaker=body.speaker, language=body.language, id=own)
        speed, note = nearest_speed(body.speed, pick.revision.entry.info(usual=True))
        notes = ["instructions are ignored"] if body.instructions else []
        if note is not None:
            notes.append(note)
        request = Request(
            body.input,
            voice,
            body.speaker,
            body.language,
            {} if speed is None else {"speed": speed},
            realtime=body.realtime is not False and x_polyvox_priority != "bulk",
            client=http.state.client.name,
            id=own,
        )
        format = body.response_format or "mp3"
        form = Form(
            format,
            body.sample_rate or (PCM_RATE if format == "pcm" else None),
            body.stream_format or "audio",
            {"x-polyvox-note": "; ".join(notes)} if notes else {},
            settings.streams.stall,
            settings.log.texts,
        )
        return SpeechResponse(engine, request, form, lambda: executors[0] if executors else None)

    def models() -> list[Model]:
        names = [v.name for v in engine.voices() if v.usual and v.refused is None]
        aliases = [a for v in engine.voices() for a in v.aliases]
        return [Model(id=n, created=created) for n in dict.fromkeys([*STOCK_MODELS, *names, *aliases])]

    @routes.get("/models", operation_id="models", summary="All models", responses=errors(401))
    async def list_models() -> Models:
        """OpenAI's models, whose names are taken, and every voice by its name."""
        return Models(data=models())

    @routes.get("/models/{model}", operation_id="model", summary="One model", responses=errors(400, 401, 404))
    async def one_model(model: str) -> Model:
        """One of the models."""
        for known in models():
            if known.id == model:
                return known
        raise _no_model(model, engine.voices())

    @routes.get(
        "/audio/models", operation_id="audio_models", summary="All models, in another shape", responses=errors(401)
    )
    async def audio_models() -> ModelNames:
        """As Open WebUI asks for them."""
        return ModelNames(models=models())

    @routes.get("/audio/voices", operation_id="voices", summary="All voices", responses=errors(400, 401, 404))
    async def list_voices(
        language: Annotated[str | None, Query(max_length=200, description="A BCP 47 tag: who speaks it.")] = None,
        model: Annotated[str | None, Query(max_length=200, description="A model: who speaks as it.")] = None,
    ) -> VoiceOffers:
        """Every speaker of every voice, by the name that `voice` takes."""
        of = None if model is None else _choose(engine.shelf, model)
        if model is not None and of is None and not _STOCK_MODEL.fullmatch(model):
            raise _no_model(model, engine.voices())
        return VoiceOffers(
            voices=[
                offer
                for info in engine.voices()
                if info.usual and info.refused is None and (of is None or of.revision.entry.key[0] == info.name)
                for offer in _offers(info)
                if language is None or any(fit(language, tag) is not None for tag in offer.languages)
            ]
        )

    return routes


def _warm() -> None:
    """Load the codecs, which the first request would wait for otherwise."""
    for format in FORMATS:
        encoder(format, 22_050, output_rate=PCM_RATE).close()


def who(body: SpeechRequest, shelf: Shelf) -> str | None:
    """Whom the engine is to let speak: what `voice` and `model` say together; None leaves it to the engine.

    Raises:
        UnknownVoice: there is no such model.
        BadRequest: the voice is another than the model's.
    """
    voice, model = body.voice.id if isinstance(body.voice, VoiceId) else body.voice, body.model
    if voice is not None and voice.lower() in STOCK_VOICES and _choose(shelf, voice) is None:
        voice = None
    of = None if model is None else _choose(shelf, model)
    if of is None:
        if model is not None and not _STOCK_MODEL.fullmatch(model):
            raise _no_model(model, shelf.voices())
        return voice
    if voice is None:
        return model
    pick = _choose(shelf, voice)
    name, version = of.revision.entry.key
    if pick is not None and pick.revision.entry.key[0] == name:
        return voice
    if voice in of.revision.entry.manifest.speakers:
        return f"{name}{f'@{version}' if of.exact else ''}/{voice}"
    raise BadRequest(f"voice '{voice[:64]}' is not one of model '{name}'", param="voice")


def nearest_speed(speed: float | None, info: VoiceInfo) -> tuple[float | None, str | None]:
    """The speed that a voice can do and is nearest to the one asked for, and a note if it is another.

    OpenAI's clients offer 0.25 to 4 and cannot know what a voice can do; one that hears a voice at its slowest is
    better served than one that gets an error.
    """
    control = info.controls.get("speed")
    if speed is None or (speed == 1.0 and control is None):
        return None, None
    if control is None:
        return None, f"voice {info.name} has one speed; speed {speed:g} is ignored"
    taken = min(max(speed, control.minimum), control.maximum)
    if taken == speed:
        return speed, None
    return taken, f"speed {taken:g}, as voice {info.name} has {control.minimum:g} to {control.maximum:g}"


def _choose(shelf: Shelf, voice: str) -> Pick | None:
    try:
        return shelf.choose(voice)
    except UnknownVoice:
        return None


def _no_model(model: str, voices: Sequence[VoiceInfo]) -> UnknownVoice:
    there = ", ".join(dict.fromkeys([*STOCK_MODELS, *(info.name for info in voices)][:LISTED]))
    return UnknownVoice(f"there is no model '{model[:64]}'; there are {there}", code="model_not_found", param="model")


def _offers(info: VoiceInfo) -> list[VoiceOffer]:
    return [
        VoiceOffer(
            id=name,
            name=name,
            voice=info.name,
            version=info.version,
            speaker=speaker.name,
            languages=list(speaker.languages or info.languages),
            aliases=list(info.aliases),
            description=info.description,
            license=info.license,
            architecture=info.architecture,
            sample_rate=info.sample_rate,
            controls={
                name: ControlOffer(default=c.default, minimum=c.minimum, maximum=c.maximum, unit=c.unit)
                for name, c in info.controls.items()
            },
            loaded=info.loaded,
        )
        for speaker in info.speakers
        for name in [info.name if len(info.speakers) < 2 else f"{info.name}/{speaker.name}"]
    ]
