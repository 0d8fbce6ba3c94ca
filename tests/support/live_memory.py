"""How much memory is alive while something runs on torch's meta device, where nothing is allocated."""

import weakref
from collections import Counter

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of tensors made within it that are still alive, and the most there ever were: ``peak``."""

    def __init__(self):
        super().__init__()
        self.alive = self.peak = 0
        self._tensors = Counter()  # of each storage

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.count(tensor)
        return result

    def count(self, tensor):
        """Take a tensor into account, also one made before."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self._tensors[key] += 1
        if self._tensors[key] == 1:
            self.alive += size
            self.peak = max(self.peak, self.alive)
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key, size):
        self._tensors[key] -= 1
        if self._tensors[key] == 0:
            del self._tensors[key]
            self.alive -= size
