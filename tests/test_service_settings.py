"""The service's settings: a file, the environment over it, and one sentence for every mistake."""

from __future__ import annotations

import pytest

from polyvox.service.settings import Settings, SettingsError, loopback


def load(tmp_path, text: str = "", **environ: str) -> Settings:
    path = tmp_path / "serve.toml"
    path.write_text(text, encoding="utf-8")
    return Settings.load(path, {f"POLYVOX_SERVE__{name}": value for name, value in environ.items()})


def refused(tmp_path, text: str = "", **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text, **environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_there_is_a_default_for_everything():
    settings = Settings.load(None, {})
    assert (settings.host, settings.keys_required, settings.compute.order) == ("127.0.0.1", False, "deadline")
    assert settings.slots >= 1
    assert settings.workers > settings.slots


def test_a_file_sets_fields_in_tables(tmp_path):
    settings = load(
        tmp_path, 'port = 9000\n[voices]\naliases = {alloy = "kathleen"}\n[compute]\nbatching = false\nslots = 3'
    )
    assert settings.port == 9000
    assert settings.voices.aliases == {"alloy": "kathleen"}
    assert settings.workers == settings.slots == 3


def test_the_environment_goes_before_the_file(tmp_path):
    settings = load(
        tmp_path,
        "port = 9000\n[limits]\ntext = 100\nstreams = 7",
        LIMITS__TEXT="200",
        VOICES__PINNED='["a", "b"]',
        VOICES__CANARIES='{tim = {"2.0.0" = 0.5}}',
        METRICS="false",
        VOICES__ALIASES__ALLOY="kathleen",
    )
    assert (settings.port, settings.limits.text, settings.limits.streams) == (9000, 200, 7)
    assert settings.voices.pinned == ["a", "b"]
    assert settings.voices.canaries == {"tim": {"2.0.0": 0.5}}
    assert settings.voices.aliases == {"alloy": "kathleen"}
    assert settings.metrics is False


def test_other_variables_are_none_of_ours():
    assert Settings.load(None, {"POLYVOX_PATH": "/x", "POLYVOX_SERVER": "y"}) == Settings.load(None, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prot = 1", ("'prot'", "did you mean 'port'?")),
        ("[limits]\ntxet = 1", ("'limits.txet'", "did you mean 'text'?")),
        ("[limits]\nzzz = 1", ("'limits.zzz'", "there are text, streams")),
        ("port = 70000", ("'port'", "65535", "70000")),
        ('[limits]\ntext = "many"', ("'limits.text'", "'many'")),
        ("[voices.canaries.tim]\n'2.0.0' = 0.7\n'3.0.0' = 0.7", ("'voices.canaries'", "add up to 1.4")),
        ("port = ", ("not TOML",)),
        ('[compute]\norder = "random"', ("'compute.order'", "'deadline'")),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence_with_file_and_field(tmp_path, text, expected):
    message = refused(tmp_path, text)
    assert "serve.toml" in message
    for part in expected:
        assert part in message


def test_a_mistake_in_the_environment_names_the_variable(tmp_path):
    assert refused(tmp_path, LIMITS__TXT="3").startswith("POLYVOX_SERVE__LIMITS__TXT: field 'limits.txt' is unknown")
    assert refused(tmp_path, PORT="x").startswith("POLYVOX_SERVE__PORT: field 'port'")
    assert refused(tmp_path, VOICES__PINNED="[").startswith("POLYVOX_SERVE__VOICES__PINNED: not a TOML value")
    assert "POLYVOX_SERVE__PORT__X" in refused(tmp_path, "port = 1", PORT__X="1")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.toml: cannot be read"):
        Settings.load(tmp_path / "gone.toml", {})


def test_a_key_is_never_shown(tmp_path):
    assert "hunter2" not in refused(tmp_path, "[keys.clients]\nbob = 'hunter2'")
    assert "hunter2" not in refused(tmp_path, KEYS__CLIENTS__BOB="hunter2")


def test_keys_are_needed_where_others_can_reach_the_service(tmp_path):
    key = "[keys.clients]\nbob = 'a key of enough length'\n"
    assert load(tmp_path, key, HOST="0.0.0.0").keys_required
    assert not load(tmp_path, key).keys_required
    assert load(tmp_path, key, KEYS__REQUIRED="true").keys_required
    assert not load(tmp_path, HOST="0.0.0.0", INSECURE="true").keys_required
    assert "keys.clients has none" in refused(tmp_path, HOST="0.0.0.0")
    assert "insecure = true" in refused(tmp_path, HOST="0.0.0.0", KEYS__REQUIRED="false")
    assert "keys.clients has none" in refused(tmp_path, KEYS__REQUIRED="true")


def test_wyoming_which_knows_no_keys_stays_on_loopback_unless_told_otherwise(tmp_path):
    key = "[keys.clients]\nbob = 'a key of enough length'\n"
    assert load(tmp_path, key, HOST="0.0.0.0").wyoming_host == "127.0.0.1"
    assert load(tmp_path, HOST="0.0.0.0", INSECURE="true").wyoming_host == "0.0.0.0"
    assert "wyoming.insecure" in refused(tmp_path, key, WYOMING__HOST="0.0.0.0")
    assert load(tmp_path, WYOMING__HOST="0.0.0.0", WYOMING__INSECURE="true").wyoming_host == "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
        ("192.168.1.2", False),
    ],
)
def test_what_is_loopback(host, expected):
    assert loopback(host) is expected
