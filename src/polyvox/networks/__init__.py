"""Networks, the runtimes that run them, and targets."""

from polyvox.networks.batched import Batched
from polyvox.networks.calls import Usage
from polyvox.networks.network import InputSpec, Network, NetworkSpec, StreamSpec, Wrapper
from polyvox.networks.scheduling import Device
from polyvox.networks.stepping import Stepper
from polyvox.networks.targets import TARGETS, Source, Target, load_network, on_device, target
from polyvox.networks.urgency import Cancel, Cancelled, cancelling, deadline

__all__ = [
    "TARGETS",
    "Batched",
    "Cancel",
    "Cancelled",
    "Device",
    "InputSpec",
    "Network",
    "NetworkSpec",
    "Source",
    "Stepper",
    "StreamSpec",
    "Target",
    "Usage",
    "Wrapper",
    "cancelling",
    "deadline",
    "load_network",
    "on_device",
    "target",
]
