"""addon.json's model and schema, opening and checking addons, the library."""

from polyvox.addons.addon import Addon, Stack
from polyvox.addons.library import available, find, manifests, open_addon, read_manifest, survey
from polyvox.addons.manifest import Features, Manifest, parse, schema

__all__ = [
    "Addon",
    "Features",
    "Manifest",
    "Stack",
    "available",
    "find",
    "manifests",
    "open_addon",
    "parse",
    "read_manifest",
    "schema",
    "survey",
]
