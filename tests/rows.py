"""Windows of arrays that are in memory."""

from latentseq.arrays import Windows


class Rows(Windows):
    """Rows of the arrays it is given by name."""

    def __init__(self, **arrays):
        self.arrays = arrays

    def __len__(self):
        return len(next(iter(self.arrays.values())))

    def take(self, indices):
        return {k: v[indices] for k, v in self.arrays.items()}
