"""An addon's files come from strangers: a folder or an archive is read without trust."""

import os
import random
import shutil
import struct
import warnings
import zipfile

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import polyvox
import tiny
from polyvox.addons import Addon, files
from polyvox.addons.files import check_path, open_files
from polyvox.errors import AddonError, PolyvoxError


@pytest.fixture
def tim(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    return tiny.acoustic(tmp_path / "tim")


def refused(path, words):
    with pytest.raises(AddonError, match=words) as caught:
        Addon.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_an_archive_say_the_same(tim, voice):
    archive = tiny.archive(tim)
    from_folder, from_archive = Addon.open(tim), Addon.open(archive)
    assert from_folder.manifest == from_archive.manifest
    assert from_folder.files.total() == from_archive.files.total() > 1000
    assert from_folder.files.size("decoder.onnx") == from_archive.files.size("decoder.onnx")
    tiny.archive(tim.parent / "tom")
    shutil.rmtree(tim.parent / "tom")
    shutil.rmtree(tim)
    np.testing.assert_array_equal(polyvox.load(archive).say("Hello").samples, voice.say("Hello").samples)


def test_nothing_at_all_is_refused(tmp_path):
    refused(tmp_path / "ghost", "not found; expected an addon, a folder or an .addon file")
    refused(tmp_path, "the file 'addon.json' is missing")
    (tmp_path / "x.addon").write_bytes(b"not a zip")
    refused(tmp_path / "x.addon", "not an .addon file")


@pytest.mark.parametrize(
    "name",
    ["", ".", "/etc/passwd", "../x.txt", "a/../../x.txt", "a/..", "..", "C:\\x.txt", "a\\..\\x.txt", "C:x.txt", "a\0b"],
)
def test_a_path_that_leaves_the_addon_is_refused(name):
    with pytest.raises(AddonError, match="leaves the addon; expected one inside it"):
        check_path(name, "here")


@given(st.text(alphabet="ab./\\:\0 ", max_size=12))
def test_an_accepted_path_stays_inside(name):
    try:
        path = check_path(name, "here")
    except AddonError:
        return
    inside = os.path.normpath(f"/root/{path}")
    assert inside.startswith("/root/")


@pytest.mark.parametrize("graph", ["../secret.onnx", "/etc/passwd", "..", "a/../../tom/vocoder.onnx"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_manifest_cannot_read_outside(tim, graph, packed):
    tiny.edit(tim, lambda m: m["networks"]["decoder"].update(graph=graph))
    refused(tiny.archive(tim) if packed else tim, "leaves the addon")
    tiny.edit(tim, lambda m: m["networks"]["decoder"].update(graph="decoder.onnx"))
    tiny.edit(tim, lambda m: m["text"].update(symbols=graph))
    refused(tiny.archive(tim) if packed else tim, "leaves the addon")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["decoder.onnx", "symbols.txt", "addon.json"])
def test_a_missing_file_is_named(tim, name, packed):
    (tim / name).unlink()
    refused(tiny.archive(tim) if packed else tim, f"the file '{name}' is missing")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["block.py", "lib.so", "weights.pkl", "x.pt", "a/b.PY", "run.sh", "x.onnx.exe"])
def test_files_that_something_might_execute_are_refused(tim, name, packed):
    (tim / name).parent.mkdir(exist_ok=True)
    (tim / name).write_bytes(b"")
    refused(tiny.archive(tim) if packed else tim, f"holds '{name}'; an addon holds only data: ")


@pytest.mark.parametrize("packed", [False, True])
def test_other_data_beside_is_welcome(tim, packed):
    for name in ("LICENSE", "README.md", "sample.wav", "extra/words.csv"):
        (tim / name).parent.mkdir(exist_ok=True)
        (tim / name).write_text("x")
    assert Addon.open(tiny.archive(tim) if packed else tim).manifest.name == "tim"


@pytest.mark.parametrize("name", [".hidden", "a/.DS_Store", "__pycache__/x.txt"])
def test_hidden_files_are_refused(tim, name):
    (tim / name).parent.mkdir(exist_ok=True)
    (tim / name).write_text("x")
    refused(tim, "which is no part of an addon")


def test_links_may_not_leave_the_folder(tim, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (tim / "link.txt").symlink_to(tmp_path / "secret.txt")
    refused(tim, "'link.txt' is a link that leaves the addon")
    (tim / "link.txt").unlink()
    (tim / "up").symlink_to(tmp_path)
    refused(tim, "'up' is a link that leaves the addon")
    (tim / "up").unlink()
    (tim / "loop.txt").symlink_to(tim / "loop.txt")
    refused(tim, "'loop.txt'")
    (tim / "loop.txt").unlink()
    (tim / "dangling.txt").symlink_to(tim / "nowhere.txt")
    refused(tim, "'dangling.txt' is missing")
    (tim / "dangling.txt").unlink()
    (tim / "inside.txt").symlink_to(tim / "symbols.txt")
    assert Addon.open(tim).manifest.name == "tim"


def test_a_folder_of_too_many_or_too_large_files_is_refused(tim, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILES", 5)
    refused(tim, "holds more than 5 files")
    refused(tiny.archive(tim), "holds 6 files, expected at most 5")
    monkeypatch.undo()
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    refused(tim, r"holds \d+ bytes, expected at most 1000")
    refused(tiny.archive(tim), r"unpacks to \d+ bytes, expected at most 1000")


def test_text_that_is_too_large_or_no_text_is_refused(tim, monkeypatch):
    (tim / "symbols.txt").write_bytes(b"\xff\xfe")
    refused(tim, "'symbols.txt' is not UTF-8 text")
    monkeypatch.setattr(files, "MAX_TEXT", 100)
    refused(tim, r"'addon.json' has \d+ bytes, expected at most 100")


# Archives


def entry(name: str, data: bytes = b"x", **attributes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def add(archive, *entries):
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "a") as file:
        warnings.simplefilter("ignore", UserWarning)  # duplicate names
        for info, data in entries:
            file.writestr(info, data)
    return archive


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..", "a\\evil.txt", "C:evil.txt"])
def test_archive_entries_may_not_leave_it(tim, name):
    refused(add(tiny.archive(tim), entry(name)), "leaves the addon")


def test_archive_entries_may_not_be_links(tim):
    link = entry("link.txt", b"/etc/passwd", external_attr=0o120777 << 16)
    refused(add(tiny.archive(tim), link), "'link.txt' is a link; an archive may hold none")


def test_archive_entries_may_not_stand_there_twice(tim):
    refused(add(tiny.archive(tim), entry("symbols.txt")), "holds 'symbols.txt' twice")
    refused(add(tiny.archive(tim), entry("./symbols.txt")), "holds 'symbols.txt' twice")


def test_archives_with_a_password_are_refused(tim):
    data = bytearray(tiny.archive(tim).read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(magic)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(magic, start + 4)
    path = tim.with_name("locked.addon")
    path.write_bytes(bytes(data))
    refused(path, "'addon.json' cannot be read")


def lying(archive, name: str, size: int):
    """Change the unpacked size that the archive's table gives for an entry."""
    data = bytearray(archive.read_bytes())
    at = data.rfind(name.encode())  # the central directory comes last
    assert data[at - 46 : at - 42] == b"PK\x01\x02"
    struct.pack_into("<I", data, at - 46 + 24, size)
    archive.write_bytes(bytes(data))
    return archive


@pytest.mark.parametrize("factor", [0.5, 3])
def test_an_entry_of_another_size_than_the_table_says_is_refused(tim, factor):
    size = (tim / "decoder.onnx").stat().st_size
    refused(lying(tiny.archive(tim), "decoder.onnx", int(size * factor)), "'decoder.onnx'")


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tim):
    archive = tiny.archive(tim)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("notes.txt", b"\0" * 30_000_000)
    opened = open_files(lying(archive, "notes.txt", 1000))
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(AddonError, match=r"'notes.txt'"):
            opened.read("notes.txt")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    # A table that tells the truth about too much is refused before anything is read.
    refused(lying(archive, "notes.txt", 0xFFFFFFF0), "unpacks to")


def test_damaged_archives_open_or_raise_polyvox_errors(tim):
    data = tiny.archive(tim).read_bytes()
    path, dice = tim.with_name("damaged.addon"), random.Random(0)
    outcomes = set()
    for _ in range(250):
        damaged = bytearray(data)
        for _ in range(dice.choice([1, 3, 30])):
            # The table at the end more often than the data.
            place = dice.choice([dice.randrange(len(data)), len(data) - 1 - dice.randrange(600)])
            damaged[place] = dice.randrange(256)
        path.write_bytes(bytes(damaged[: dice.choice([len(data), dice.randrange(len(data))])]))
        try:
            Addon.open(path)
            outcomes.add("fine")
        except PolyvoxError:
            outcomes.add("refused")
    assert outcomes == {"fine", "refused"}


# The graphs against what is declared


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda n: n["inputs"].update(ghost=n["inputs"]["brightness"]),
            "networks.decoder.inputs: 'ghost' is not in decoder.onnx, which has encoded, token_position, brightness",
        ),
        (
            lambda n: n["inputs"].pop("brightness"),
            "networks.decoder.inputs: 'brightness' of decoder.onnx is missing",
        ),
        (
            lambda n: n["outputs"].update(audio=n["outputs"]["mel"]),
            "networks.decoder.outputs: 'audio' is not in decoder.onnx, which has mel",
        ),
        (
            lambda n: n["inputs"]["brightness"].update(dtype="int64"),
            r"networks.decoder.inputs.brightness: declared int64 \[\], but the graph has float32 \[batch\]",
        ),
        (
            lambda n: n["inputs"]["encoded"].update(axes=["frames"]),
            r"networks.decoder.inputs.encoded: declared float32 \[frames\], but the graph has",
        ),
        (
            lambda n: n["outputs"]["mel"].update(axes=["frames", 80]),
            r"networks.decoder.outputs.mel: declared float32 \[frames, 80\], but the graph has 8 for 80",
        ),
    ],
)
def test_a_declaration_that_the_graph_contradicts_is_refused(tim, change, words):
    tiny.edit(tim, lambda m: change(m["networks"]["decoder"]))
    refused(tim, words)


def test_outputs_that_nobody_declares_are_fine(tim):
    tiny.edit(tim, lambda m: m["networks"]["text_encoder"]["outputs"].pop("encoded"))
    assert "encoded" not in Addon.open(tim).source("text_encoder").spec.outputs


def test_a_graph_that_is_none_is_refused(tim):
    (tim / "decoder.onnx").write_bytes(b"not a model")
    refused(tim, "decoder.onnx: not an ONNX model")


@pytest.mark.parametrize("field", ["start", "end", "between"])
def test_a_symbol_that_the_table_lacks_is_refused(tim, field):
    tiny.edit(tim, lambda m: m["text"].update({field: "§"}))
    refused(tim, f"field 'text.{field}': '§' is not in symbols.txt")
    tiny.edit(tim, lambda m: m["text"].update({field: "_"}))
    Addon.open(tim)


def externalise(folder, location):
    """Move the decoder's large weights to a file beside its graph, written down as `location`."""
    graph = folder / "decoder.onnx"
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        tensor.raw_data = onnx.numpy_helper.to_array(tensor).tobytes()
    onnx.save(model, graph, save_as_external_data=True, location="w.bin", size_threshold=100)
    model = onnx.load(graph, load_external_data=False)
    for tensor in model.graph.initializer:
        for item in tensor.external_data:
            if item.key == "location":
                item.value = location
    graph.write_bytes(model.SerializeToString())


def test_weights_may_lie_beside_the_graph(tim, voice):
    externalise(tim, "w.bin")
    np.testing.assert_array_equal(polyvox.load(tim).say("Hello").samples, voice.say("Hello").samples)
    refused(tiny.archive(tim), "keeps data in 'w.bin'; in an .addon file, data stands inside the graph")
    (tim / "w.bin").unlink()
    refused(tim, "the file 'w.bin' is missing")


def test_weights_may_lie_beside_a_graph_in_a_folder_of_its_own(tim, voice):
    externalise(tim, "w.bin")
    (tim / "nets").mkdir()
    for name in ("decoder.onnx", "w.bin"):
        (tim / name).rename(tim / "nets" / name)
    tiny.edit(tim, lambda m: m["networks"]["decoder"].update(graph="nets/decoder.onnx"))
    np.testing.assert_array_equal(polyvox.load(tim).say("Hello").samples, voice.say("Hello").samples)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", ""])
def test_weights_outside_the_addon_are_refused(tim, location):
    externalise(tim, location)
    (tim / "w.bin").rename(tim.parent / "w.bin")
    refused(tim, "leaves the addon")


def test_weights_through_a_link_are_refused(tim):
    externalise(tim, "w.bin")
    (tim / "w.bin").rename(tim.parent / "w.bin")
    (tim / "w.bin").symlink_to(tim.parent / "w.bin")
    refused(tim, "'w.bin' is a link that leaves the addon")
