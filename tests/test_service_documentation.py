"""docs/serving.md against the service: its table is the settings', its commands and Python run as they stand there.

Run as a program, it writes the table anew.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

import tiny

pytest.importorskip("fastapi")

from polyvox.service.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs/serving.md"
URL = "http://127.0.0.1:8080"
TABLE = re.compile(r"\| setting \|.*?\n(?=\n|\Z)", re.DOTALL)


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def rows(model: type[BaseModel], before: str = ""):
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from rows(field.annotation, f"{before}{name}.")
        else:
            default = field.get_default(call_default_factory=True)
            said = "" if default in (None, [], {}) else f"`{json.dumps(default)}`"
            yield f"| `{before}{name}` | {said} | {field.description} |"


def table():
    return "\n".join(["| setting | unless given | what it is |", "| --- | --- | --- |", *rows(Settings)]) + "\n"


def test_the_table_is_the_settings():
    assert TABLE.search(PAGE.read_text("utf-8"))[0] == table(), f"python {__file__} writes it anew"


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_of_the_page_are_right(text, tmp_path):
    (tmp_path / "polyvox.toml").write_text(text, "utf-8")
    assert Settings.load(tmp_path / "polyvox.toml", {}) != Settings()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pytest.importorskip("httpx2")
    from serving import serving, settings

    folder = tmp_path_factory.mktemp("voices")
    tiny.acoustic(folder / "tim")
    tiny.vocoder(folder / "tom")
    with serving(settings(folder)) as running:
        yield running


@pytest.mark.parametrize("commands", [b for b in blocks("bash") if "curl" in b])
def test_commands(served, commands, tmp_path):
    # --fail, so that an error is one here too.
    script = commands.replace(URL, served.url).replace("curl -", "curl --fail -")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr.decode()
    written = [p.read_bytes() for p in tmp_path.iterdir()]
    assert all(data[:4] == b"RIFF" and len(data) > 1000 for data in written)
    assert written or len(done.stdout) > 50
    assert "sse" not in commands or b"speech.audio.done" in done.stdout


@pytest.mark.parametrize("code", blocks("python"))
def test_python(served, code, capsys):
    pytest.importorskip("openai")
    exec(compile(code.replace(URL, served.url), "serving.md", "exec"), {})
    assert re.match(r"\d+ bytes\n", capsys.readouterr().out)


def test_codes_and_addresses_of_the_page_are_there(served):
    import httpx2 as httpx

    text = PAGE.read_text("utf-8")
    described = httpx.get(f"{served.url}/openapi.json").json()
    missing = [path for path in described["paths"] if path.partition("{")[0].rstrip("/") not in text]
    assert not missing
    fields = described["components"]["schemas"]["SpeechRequest"]["properties"]
    assert not [name for name in fields if f"| `{name}` |" not in text]


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parent.parent / "src"))
    found = PAGE.read_text("utf-8")
    PAGE.write_text(TABLE.sub(lambda _: table(), found), "utf-8")
