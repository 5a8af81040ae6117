"""Write docs/images/page.png: the page of `polyvox serve` while kathleen speaks, in Debian's Chromium.

python scripts/screenshot_page.py [--dark] [--width 1200] [-o docs/images/page.png]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 200_000
"""Bytes of the picture at most."""
HEARD = 3.0
"""Seconds of speech that are to be heard before the picture is taken."""


def show(page: Page, url: str) -> None:
    """Have the page speak, up to somewhere in its first sentence."""
    page.goto(url)
    button = page.get_by_role("button", name="Speak", exact=True)
    expect(button).to_be_enabled()
    # Twice: the first time, everything is opened.
    for heard in (0.5, HEARD):
        button.press("Enter")
        expect(page.locator("body")).to_have_attribute("data-state", "speaking")
        while float(page.locator("#heard").get_attribute("value") or 0) < heard:
            page.wait_for_timeout(20)


def main() -> None:
    """Serve, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dark", action="store_true", help="As it is where dark colours are preferred.")
    parser.add_argument("--width", type=int, default=1200, help="The window's, in pixels; 1200 unless given.")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "images" / "page.png")
    given = parser.parse_args()
    command = [sys.executable, "-m", "polyvox", "serve", "--port", "0", "--wyoming-port", "0", "--voice", "kathleen"]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert service.stdout is not None
        url = re.search(r"http://\S+?(?=,|\s|$)", service.stdout.readline())
        if url is None:
            sys.exit("the service does not start; `polyvox serve` says why")
        with sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            page = browser.new_page(
                viewport={"width": given.width, "height": 900}, color_scheme="dark" if given.dark else "light"
            )
            show(page, url[0])
            blocks = page.locator(".blocks").bounding_box()
            assert blocks is not None
            page.screenshot(
                path=given.output,
                full_page=True,
                clip={"x": 0, "y": 0, "width": given.width, "height": blocks["y"] - 4},
            )
            browser.close()
        # The spectrogram's shades alone would take twice the limit.
        with Image.open(given.output) as picture:
            few = picture.convert("RGB").quantize(160, dither=Image.Dither.NONE)
        few.save(given.output, optimize=True)
    finally:
        service.terminate()
        service.wait(30)
    size = given.output.stat().st_size
    print(f"{given.output}: {size / 1000:.0f} kB")
    if size > LIMIT:
        sys.exit(f"more than {LIMIT / 1000:.0f} kB")


if __name__ == "__main__":
    main()
