"""What the service answers when it cannot speak: an HTTP status, a code for programs, one sentence for people."""

from __future__ import annotations

from polyvox.errors import PolyvoxError, TextError, VoiceError


class ServiceError(PolyvoxError):
    """A request that gets no audio, or no more of it.

    Attributes:
        status: the HTTP status.
        code: a word for programs, `voice_unknown`.
        param: the field of the request that is at fault, if one is: `voice`, `text`, `speed` ...
        retry_after: whole seconds after which the same request may succeed, if it may.
    """

    status = 500
    code = "failed"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status
        if code is not None:
            self.code = code
        self.param = param
        self.retry_after = retry_after


class BadRequest(ServiceError):
    """The request asks for something that cannot be."""

    status, code = 400, "invalid_request"


class TooLong(BadRequest):
    """The text is longer than the service allows."""

    code = "text_too_long"


class Unauthorised(ServiceError):
    """No key, or one that is not known."""

    status, code = 401, "invalid_api_key"


class Forbidden(ServiceError):
    """Something that this client may not do."""

    status, code = 403, "forbidden"


class UnknownVoice(ServiceError):
    """No voice here has that name, version, speaker or language."""

    status, code = 404, "voice_unknown"


class Gone(ServiceError):
    """The client took nothing for so long that the stream was cut."""

    status, code = 408, "client_stalled"


class TooLarge(ServiceError):
    """The request has more bytes than the service allows."""

    status, code = 413, "request_too_large"


class Limited(ServiceError):
    """One client has as many streams as it may have."""

    status, code = 429, "too_many_streams"


class VoiceFailed(ServiceError):
    """The voice cannot be loaded or failed while it spoke: the service's fault, never the caller's."""

    status, code = 500, "voice_failed"


class Busy(ServiceError):
    """No further stream can be kept now."""

    status, code = 503, "busy"


class Stopping(Busy):
    """The service is about to end: running streams finish, new ones are refused."""

    code = "stopping"


def as_service_error(error: BaseException, voice: str = "") -> ServiceError:
    """What a caller is told of any error. Nothing of the host, such as a file's path, is in it.

    What the caller asked for (`TextError`, `VoiceError`) is passed on; anything else is `VoiceFailed`, and its reason
    is for the log.
    """
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, TextError):
        return BadRequest(str(error), code="text_unspeakable", param="text")
    if isinstance(error, VoiceError):
        return BadRequest(str(error), param="voice")
    who = f"voice '{voice}'" if voice else "the voice"
    return VoiceFailed(f"{who} failed; the reason is in the service's log")
