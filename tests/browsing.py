"""A real browser for tests: Chromium, driven by Playwright, and what a page must never do.

with chromium() as browser, visiting(browser, "http://127.0.0.1:8080") as page:
    page.get_by_role("button", name="Speak").click()
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

LISTEN = """
// An ear at the loudspeaker, and the order in which words light up.
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to instanceof AudioDestinationNode) {
    const ear = (window.ear = new AnalyserNode(to.context, { fftSize: 2048 }));
    connect.call(this, ear);
  }
  return connect.call(this, to, ...rest);
};
window.loudness = () => {
  const samples = new Float32Array(window.ear?.fftSize ?? 1);
  window.ear?.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
};
window.lit = [];
new MutationObserver((changes) => {
  for (const { target } of changes) {
    // One that is spoken between two pictures is never seen as the one that is spoken now.
    if (/\\b(now|said)\\b/.test(target.className) && !window.lit.includes(target)) window.lit.push(target);
  }
}).observe(document, { subtree: true, attributes: true, attributeFilter: ["class"] });
"""


def executable() -> str | None:
    """The browser of this machine; `POLYVOX_BROWSER` names another one."""
    return os.environ.get("POLYVOX_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)


def need() -> None:
    """Skip where there is no browser."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    if executable() is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed", allow_module_level=True)


@contextlib.contextmanager
def chromium() -> Iterator:
    """The browser, without a window, a sandbox or a gesture before it plays."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def visiting(browser, url: str, *, errors: tuple[str, ...] = (), before: str = "", **options) -> Iterator:
    """A page of a visitor of its own; afterwards, nothing went wrong in it and nothing came from elsewhere.

    `errors`: what may stand in an error on the console; `before`: a script that runs before those of the page.
    """
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
    said, asked = [], []
    try:
        page = context.new_page()
        page.add_init_script(f"{LISTEN};\n{before}")
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url.replace("ws", "http", 1)))
        page.goto(url)
        yield page
    finally:
        context.close()
    assert [line for line in said if not any(known in line for known in errors)] == []
    assert [address for address in asked if not address.removeprefix("blob:").startswith(f"{url}/")] == []
