"""A small film, for tests of what is written from one."""

import numpy as np

from latentseq.arrays import Clip
from latentseq.protocols import Dataset


class Film(Dataset):
    """Clips of a bright square that moves over a gradient, with a stream, as films are; and a log of what is read."""

    name = "film"

    def __init__(self, lengths=(7, 4, 7), shape=(32, 48, 3), fps=12.5, split=None):
        self._lengths, self._shape, self.fps = np.array(lengths, np.int64), shape, fps
        self.split = None if split is None else np.array(split)
        self.streams = {"action": 2}
        self.asked = []

    def get_config(self):
        return {}

    lengths = property(lambda self: self._lengths)
    frame_shape = property(lambda self: self._shape)

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        self.asked.append((i, start, stop))
        h, w, c = self._shape
        y, x = np.indices((h, w))
        picture = np.stack([100 + 3 * y, 3 * x, 128 + 10 * i + 0 * x], -1)[..., :c] % 256
        frames = np.stack([picture] * (stop - start)).astype(np.uint8)
        for t in range(start, stop):
            frames[t - start, 6:16, 3 * t : 3 * t + 10] = 235
        return Clip(frames, {"action": np.full((stop - start, 2), i, np.float32)})
