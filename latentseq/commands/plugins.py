"""List the plugins that are installed."""

from latentseq.registry import Listing, installed


def plugins(group: str | None = None) -> list[Listing]:
    """Every installed plugin of a group, or of all groups; none of them is imported.

    Args:
        group: datasets, encoders, decoders, dynamics or predictors; all where None.

    Raises:
        UsageError: no such group.
    """
    return installed(group)
