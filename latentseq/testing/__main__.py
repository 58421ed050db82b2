"""``python -m latentseq.testing [KIND…]`` prints the promises of the named kinds, or of all kinds."""

import sys

from latentseq.errors import did_you_mean, join_names
from latentseq.testing import KINDS, promises


def main(kinds: list[str]) -> int:
    """Print the promises of the kinds.

    Returns:
        The exit code.
    """
    for kind in kinds:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            print(f"error: There are no promises of {kind!r}. {hint}Kinds are {join_names(KINDS)}.", file=sys.stderr)
            return 2
    for kind in kinds or KINDS:
        print(kind)
        for sentence in promises(KINDS[kind]).values():
            print(f"  {sentence}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
