"""The service's settings: one TOML file, environment variables over it, defaults for all of it.

    port = 9000
    [voices]
    default = "kathleen"
    aliases = { alloy = "kathleen", nova = "lowlands/nathalie" }
    [limits]
    streams = 100

POLYVOX_SERVE__LIMITS__STREAMS=100 in the environment says the same, and goes before the file.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from polyvox.errors import PolyvoxError

PREFIX = "POLYVOX_SERVE__"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Spoken = Annotated[str, Field(min_length=1, max_length=200)]


class SettingsError(PolyvoxError):
    """The service's settings are wrong: one sentence that names the file, or the variable, and the field."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Wyoming(_Model):
    """The Wyoming protocol, which Home Assistant speaks, on a port of its own."""

    enabled: bool = Field(True, description="Whether it is served.")
    host: str | None = Field(
        None,
        description="The address to listen on. Unless given: the service's own, or loopback where keys are needed,"
        " because Wyoming knows none.",
    )
    insecure: bool = Field(False, description="Listen on `host` though anyone may speak who reaches it.")
    port: Port = Field(10200, description="The TCP port; 0 takes a free one.")


class Voices(_Model):
    """Which voices there are, and which of them stay in memory."""

    folders: list[Path] = Field(
        default_factory=list,
        description="Folders with addons, searched before those of POLYVOX_PATH and the shipped ones.",
    )
    default: Spoken | None = Field(
        None, description="Who speaks where nothing is asked for; `kathleen`, or else the first, unless given."
    )
    aliases: dict[str, Spoken] = Field(
        default_factory=dict,
        description='Other names: `alloy = "kathleen"`. An alias stands for a voice, `voice@version`, `voice/speaker`'
        " or `voice@version/speaker`.",
    )
    canaries: dict[str, dict[str, Annotated[float, Field(ge=0, le=1)]]] = Field(
        default_factory=dict,
        description="Shares of a voice's requests that other versions than its usual one get:"
        ' `kathleen = { "0.3.0" = 0.1 }`.',
    )
    pinned: list[Spoken] = Field(
        default_factory=list, description="Voices that are loaded at the start and stay in memory."
    )
    memory: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Megabytes that loaded voices may take; idle ones are unloaded for others. No limit unless given.",
    )
    idle: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Minutes after which a voice that nobody uses is unloaded; never unless given."
    )
    rescan: Seconds = Field(
        10.0, description="Seconds between looks for addons that are new, changed or gone; 0 never looks again."
    )

    @field_validator("canaries")
    @classmethod
    def _shares(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for name, shares in value.items():
            if sum(shares.values()) > 1 + 1e-9:
                raise ValueError(f"the shares of '{name}' add up to {sum(shares.values()):g}, expected at most 1")
        return value


class Keys(_Model):
    """Who may speak."""

    required: bool | None = Field(
        None, description="Whether a key is needed. Unless given: not on a loopback address, and on any other."
    )
    clients: dict[str, Annotated[str, Field(min_length=16, max_length=500)]] = Field(
        default_factory=dict,
        description="Each client's key by its name: the key, or `sha256:` and the 64 hexadecimal digits of its digest.",
    )


class Limits(_Model):
    """What one request, one client and all of them may ask for."""

    text: Annotated[int, Field(ge=1)] = Field(16384, description="Characters of one text.")
    streams: Annotated[int, Field(ge=1)] = Field(256, description="Streams at once, of all clients.")
    streams_per_client: Annotated[int, Field(ge=1)] = Field(
        32, description="Streams at once of one key, or of one address where no keys are needed."
    )
    bulk: Annotated[int, Field(ge=0)] = Field(64, description="Bulk streams at once, of all clients.")
    request_bytes: Annotated[int, Field(ge=1024)] = Field(
        1 << 20, description="Bytes of one request's body or message."
    )
    connections: Annotated[int, Field(ge=1)] = Field(1024, description="Open connections of each protocol.")
    idle_connection: Annotated[float, Field(gt=0)] = Field(
        300.0, description="Seconds after which a connection that neither asks nor is spoken to is closed."
    )


class Streams(_Model):
    """How streams are kept ahead of their listeners."""

    ahead: Annotated[float, Field(ge=0.5, le=600)] = Field(
        10.0, description="Seconds of audio that are made before the client takes them."
    )
    first_audio_target: Seconds = Field(
        0.1, description="Seconds from a request to its first audio that are aimed at: how urgent new streams are."
    )
    first_audio_limit: Annotated[float, Field(gt=0)] = Field(
        0.15, description="Seconds to the first audio above which, by the estimate, a new stream is refused."
    )
    longest: Annotated[float, Field(gt=0)] = Field(
        0.08, description="Seconds of computing that one chunk may take; no stream holds a processor for longer."
    )
    stall: Annotated[float, Field(gt=0)] = Field(
        120.0, description="Seconds after which a stream is cut whose client takes nothing."
    )


class Compute(_Model):
    """Where and how networks run."""

    target: str = Field("cpu", description="The target, as `polyvox say --target` knows them.")
    slots: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        None, description="Runs of networks at once; one a processor unless given."
    )
    workers: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="Threads that pull streams; 2 a slot where calls are batched, else 1, unless given."
    )
    batching: bool = Field(
        True, description="Whether calls of several streams that wait at the same moment run as one."
    )
    order: Literal["deadline", "turn", "arrival"] = Field(
        "deadline",
        description="Whose chunk is made next. `deadline`: of whose listener runs dry first. For comparison: `turn`,"
        " who has waited longest, and `arrival`, who came first, until its stream is made.",
    )
    headroom: Annotated[float, Field(gt=0, le=10)] = Field(
        0.85, description="The share of all slots that real-time streams may need, by the estimate."
    )


class Log(_Model):
    """The log, on standard error."""

    format: Literal["text", "json"] = Field("text", description="Lines for people, or one JSON object a line.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    texts: bool = Field(False, description="Whether the texts that are spoken are logged; they may be private.")


class Cors(_Model):
    """Which pages of other origins a browser lets use the service."""

    origins: list[str] = Field(
        default_factory=list, description="Origins such as `https://example.org`; none unless given."
    )


class Settings(_Model):
    """Everything that can be set."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Polyvox service settings")

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: Port = Field(8080, description="The TCP port; 0 takes a free one.")
    insecure: bool = Field(False, description="Serve on an address that is not loopback without keys.")
    page: bool = Field(True, description="Whether there is a page at `/` to try the voices.")
    metrics: bool = Field(True, description="Whether there are metrics at `/metrics`.")
    grace: Seconds = Field(30.0, description="Seconds that running streams have to finish when the service is stopped.")
    voices: Voices = Field(default_factory=lambda: Voices(), description="The voices.")
    keys: Keys = Field(default_factory=lambda: Keys(), description="API keys.")
    limits: Limits = Field(default_factory=lambda: Limits(), description="Limits.")
    streams: Streams = Field(default_factory=lambda: Streams(), description="Streams.")
    compute: Compute = Field(default_factory=lambda: Compute(), description="Computing.")
    wyoming: Wyoming = Field(default_factory=lambda: Wyoming(), description="The Wyoming protocol.")
    log: Log = Field(default_factory=lambda: Log(), description="The log.")
    cors: Cors = Field(default_factory=lambda: Cors(), description="Other origins.")

    @model_validator(mode="after")
    def _safe(self) -> Settings:
        if not loopback(self.host) and self.keys.required is False and not self.insecure:
            raise ValueError(
                f"'{self.host}' can be reached from outside and keys.required is false; say insecure = true to mean it"
            )
        if self.keys_required and not self.keys.clients:
            where = "" if self.keys.required else f" on '{self.host}'"
            raise ValueError(
                f"keys are needed{where}, but keys.clients has none; add one, or say insecure = true to serve without"
            )
        if self.wyoming.enabled and not loopback(self.wyoming_host) and not (self.insecure or self.wyoming.insecure):
            raise ValueError(
                f"'wyoming.host': '{self.wyoming.host}' can be reached from outside and Wyoming knows no keys;"
                " say wyoming.insecure = true to mean it"
            )
        return self

    @property
    def wyoming_host(self) -> str:
        """Where Wyoming listens."""
        if self.wyoming.host is not None:
            return self.wyoming.host
        return "127.0.0.1" if self.keys_required else self.host

    @property
    def keys_required(self) -> bool:
        """Whether a request needs a key."""
        if self.keys.required is not None:
            return self.keys.required
        return not self.insecure and not loopback(self.host)

    @property
    def slots(self) -> int:
        """Runs of networks at once."""
        if self.compute.slots is not None:
            return self.compute.slots
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @property
    def workers(self) -> int:
        """Threads that pull streams."""
        return self.compute.workers or (2 * self.slots if self.compute.batching else self.slots)

    @classmethod
    def load(cls, path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Args:
            path: a TOML file; None has none.
            environ: the environment; the process's own unless given. `POLYVOX_SERVE__LIMITS__TEXT=500` sets
                `limits.text`; lists and tables are written as TOML's inline ones.

        Raises:
            SettingsError: one sentence that names the file, or the variable, and the field.
        """
        data: dict[str, Any] = {} if path is None else _read(Path(path))
        variables: dict[tuple[str, ...], str] = {}
        for name, text in sorted((os.environ if environ is None else environ).items()):
            if name.startswith(PREFIX):
                place = tuple(name[len(PREFIX) :].lower().split("__"))
                variables[place] = name
                _put(data, place, _value(name, text), name)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise SettingsError(_explain(error, path, variables)) from None


def loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"{path}: not TOML: {error}") from None


def _value(name: str, text: str) -> Any:
    """Text as it is, for pydantic to read; lists and tables as TOML writes them within a line."""
    if not text.strip().startswith(("[", "{")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError as error:
        raise SettingsError(f"{name}: not a TOML value: {error}") from None


def _put(data: dict[str, Any], place: tuple[str, ...], value: Any, name: str) -> None:
    for part in place[:-1]:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{name}: field '{part}' is no table")
        data = inner
    data[place[-1]] = value


def _explain(error: ValidationError, path: str | Path | None, variables: Mapping[tuple[str, ...], str]) -> str:
    first = error.errors()[0]
    place = tuple(str(part) for part in first["loc"])
    named = next((name for at, name in variables.items() if place[: len(at)] == at or at[: len(place)] == place), None)
    where = named if named and place else str(path) if path is not None else "settings"
    field = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = list(_fields(place[:-1]))
        near = difflib.get_close_matches(place[-1], known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        return f"{where}: field '{field}' is unknown; {hint}"
    if first["type"] == "value_error":
        return f"{where}: {f'field {field!r}: ' if field else ''}{first['ctx']['error']}"
    came = "a secret" if place[:1] == ("keys",) else repr(first["input"])
    return f"{where}: field '{field}': {first['msg']}, got {came if len(came) <= 60 else came[:57] + '...'}"


def _fields(place: tuple[str, ...]) -> Iterator[str]:
    """The fields of the table at a place."""
    model: Any = Settings
    for part in place:
        model = model.model_fields[part].annotation
        model = next((m for m in (model, *get_args(model)) if isinstance(m, type) and issubclass(m, BaseModel)), None)
        if model is None:
            return
    yield from model.model_fields
