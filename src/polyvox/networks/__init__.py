"""Networks, the runtimes that run them, and targets."""

from polyvox.networks.network import InputSpec, Network, NetworkSpec, StreamSpec, Wrapper
from polyvox.networks.stepping import Stepper
from polyvox.networks.targets import TARGETS, Source, Target, load_network, target

__all__ = [
    "TARGETS",
    "InputSpec",
    "Network",
    "NetworkSpec",
    "Source",
    "Stepper",
    "StreamSpec",
    "Target",
    "Wrapper",
    "load_network",
    "target",
]
