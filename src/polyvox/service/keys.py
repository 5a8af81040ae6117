"""API keys: who may speak, and whose limits count."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from polyvox.service.errors import Unauthorised
from polyvox.service.settings import Settings, SettingsError

DIGEST = "sha256:"
"""A key that begins so is kept as the SHA-256 of its UTF-8 bytes, in hexadecimal, and cannot be read from a file."""

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        name: of the key; where keys are off the address, or `anonymous`.
    """

    name: str = ANONYMOUS


class Keys:
    """The keys of a service.

    A token is compared with all of them, each in constant time, so that the answer's delay tells nothing about how
    near it was.
    """

    def __init__(self, keys: Mapping[str, str], *, required: bool | None = None) -> None:
        """Take the keys.

        Args:
            keys: client name -> key, plain or `sha256:<64 hexadecimal digits>`.
            required: whether everybody needs one; if there are any unless given.

        Raises:
            SettingsError: a key is empty, or its digest is none.
        """
        self.required = bool(keys) if required is None else required
        self._digests = {name: _digest(name, key) for name, key in keys.items()}

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """The keys that the settings name; errors as `Keys`."""
        return cls(settings.keys.clients, required=settings.keys_required)

    def who(self, token: str | None, address: str | None = None) -> Client:
        """Whose token that is.

        Args:
            token: what was sent, if anything was.
            address: where it came from; it names the client where keys are off.

        Raises:
            Unauthorised: keys are required, and it is missing or none of them.
        """
        if not self.required:
            return Client(address or ANONYMOUS)
        if not token:
            raise Unauthorised("a key is needed: send the header 'authorization: Bearer <key>'")
        sent = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found: str | None = None
        for name, digest in self._digests.items():
            if hmac.compare_digest(sent, digest):
                found = name
        if found is None:
            raise Unauthorised("the key is not one of this service's")
        return Client(found)


def bearer(header: str | None) -> str | None:
    """The token of an `Authorization` header; None if there is none of the scheme Bearer."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def digest(key: str) -> str:
    """What stands in a configuration instead of the key itself."""
    return DIGEST + hashlib.sha256(key.encode("utf-8")).hexdigest()


def _digest(name: str, key: str) -> bytes:
    if not key.startswith(DIGEST):
        if not key:
            raise SettingsError(f"settings: field 'keys.clients.{name}' is empty")
        return hashlib.sha256(key.encode("utf-8")).digest()
    text = key.removeprefix(DIGEST)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise SettingsError(f"settings: field 'keys.clients.{name}': expected 'sha256:' and 64 hexadecimal digits")
    return bytes.fromhex(text)
