"""Networks that several voices hold: loaded once, closed with the last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from polyvox.errors import TensorError
from polyvox.networks.network import Network, Wrapper
from polyvox.networks.stepping import Stepper
from polyvox.tensors import Array, Tensors


class Shared:
    """Loaded networks by what they are. Safe to use from any thread; loading one waits for the one before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._networks: dict[Hashable, Network] = {}
        self._holders: dict[Hashable, int] = {}

    def __len__(self) -> int:
        """How many networks are loaded."""
        return len(self._networks)

    def take(self, key: Hashable, load: Callable[[], Network]) -> Network:
        """The network that `key` says all about, loaded if nobody holds it.

        Closing what is returned gives it back; the last one to do so closes the network.
        """
        with self._lock:
            if key not in self._networks:
                self._networks[key] = load()
                self._holders[key] = 0
            self._holders[key] += 1
            return _Holder(self._networks[key], lambda: self._give_back(key))

    def _give_back(self, key: Hashable) -> None:
        with self._lock:
            self._holders[key] -= 1
            if self._holders[key]:
                return
            del self._holders[key]
            network = self._networks.pop(key)
        network.close()


class _Holder(Wrapper):
    """One voice's hold on a network."""

    def __init__(self, inner: Network, give_back: Callable[[], None]) -> None:
        super().__init__(inner)
        self._give_back: Callable[[], None] | None = give_back

    def run(self, tensors: Tensors) -> dict[str, Array]:
        if self._give_back is None:
            raise TensorError(f"network '{self.spec.name}' is closed")
        return self.inner.run(tensors)

    def stepper(self, tensors: Tensors) -> Stepper:
        if self._give_back is None:
            raise TensorError(f"network '{self.spec.name}' is closed")
        return self.inner.stepper(tensors)

    def close(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()
