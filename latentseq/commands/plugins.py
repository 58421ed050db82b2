"""List the installed plugins."""

from latentseq.registry import Listing, installed


def plugins(group: str | None = None) -> list[Listing]:
    """List the installed plugins of one group or of all groups, without importing them.

    Args:
        group: datasets, encoders, decoders, dynamics or predictors; None for all groups.

    Raises:
        UsageError: the group does not exist.
    """
    return installed(group)
