"""Who may open a WebSocket: which pages, by their origin, and which clients, by their key."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.websockets import WebSocket

from polyvox.service.errors import Forbidden
from polyvox.service.keys import Client, Keys, bearer
from polyvox.service.settings import Settings


def welcome(websocket: WebSocket, settings: Settings, keys: Keys) -> Client | None:
    """Whose connection it is; None if its key is still to come.

    Raises:
        Forbidden: a page of another origin opened it.
        Unauthorised: its key is none.
    """
    headers = websocket.headers
    origin = headers.get("origin")
    # Browsers send no preflight for WebSockets: the server alone can keep other pages out. Programs send no origin.
    if origin is not None and not _same_origin(origin, headers.get("host", "")):
        allowed = settings.cors.origins
        if origin not in allowed and "*" not in allowed:
            raise Forbidden("pages of this origin may not use the service; see cors.origins in its settings")
    token = bearer(headers.get("authorization"))
    if keys.required and token is None:
        return None
    return keys.who(token, websocket.client.host if websocket.client else None)


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc.lower() == host.lower()
