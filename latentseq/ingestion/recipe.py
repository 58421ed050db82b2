"""What is asked of an ingestion."""

from dataclasses import dataclass
from typing import Any

from latentseq.data.crops import CropRecipe
from latentseq.errors import UsageError
from latentseq.media import audio
from latentseq.media.preprocessing import Preprocessing

AUDIO = ("none", *audio.KINDS)


@dataclass(frozen=True)
class Recipe:
    """What is done to all footage alike.

    Attributes:
        preprocessing: size, fit, colour and frame rate. With ``crop`` the size is the crop's own.
        native: leave frames in their own size, for crops to be cut out of.
        cuts: look for scene cuts.
        min_length: shorter scenes are left out, in frames kept.
        clip_length: cut scenes into clips of so many frames; None keeps them whole.
        stride: frames from one such clip's start to the next.
        crop: cut small windows out of the frames.
        count: how many crops.
        audio: none, mel or wave: what is kept of the sound.
        seed: of the crops.
        array: which array is meant in files that hold several.
        axes: of arrays, a letter for each; recognised where None.
        range: the values of black and white of arrays and images that are not of 8 bits.
    """

    preprocessing: Preprocessing
    native: bool = False
    cuts: bool = False
    min_length: int = 20
    clip_length: int | None = None
    stride: int | None = None
    crop: CropRecipe | None = None
    count: int = 0
    audio: str = "none"
    seed: int = 0
    array: str | None = None
    axes: str | None = None
    range: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a value that is out of range, or two that do not go together.
        """
        for name, value in (
            ("min-length", self.min_length),
            ("clip-length", self.clip_length),
            ("stride", self.stride),
        ):
            if value is not None and value < 1:
                raise UsageError(f"--{name} is {value}; expected 1 frame or more.")
        if self.stride is not None and self.clip_length is None:
            raise UsageError("--stride is the distance of clips of --clip-length frames; give both, or neither.")
        if self.audio not in AUDIO:
            raise UsageError(f"--audio is {self.audio!r}; expected 'mel', 'wave' or 'none'.")
        if self.crop and (self.cuts or self.stride is not None):
            raise UsageError("--crop draws clips at random and takes neither --cuts nor --stride. Leave one out.")
        if self.crop and self.count < 1:
            raise UsageError(f"--count is {self.count}; expected 1 crop or more.")

    @property
    def channels(self) -> int:
        """Of a frame."""
        return 1 if self.preprocessing.gray else 3

    @property
    def overlapping(self) -> bool:
        """Whether clips share frames, so that they must not lie on both sides of a split."""
        return self.stride is not None and self.clip_length is not None and self.stride < self.clip_length

    def to_json(self) -> dict[str, Any]:
        """All of it, flat, as JSON types."""
        own = ("cuts", "min_length", "clip_length", "stride", "count", "audio", "seed", "array")
        crop = {"crop": self.crop.side, "still": self.crop.still, "motion": self.crop.motion} if self.crop else {}
        size = {"size": None} if self.native else {}
        # Left out where they are not used, so that a result from before they existed is still that of the same plan.
        arrays = {name: value for name in ("axes", "range") if (value := getattr(self, name)) is not None}
        return {
            **self.preprocessing.to_json(),
            **size,
            **{name: getattr(self, name) for name in own},
            **crop,
            **arrays,
        }

    def of_shards(self) -> dict[str, Any]:
        """What the content of a shard depends on: how scenes are cut into clips is decided later."""
        later = ("min_length", "stride", "count", "array") + (() if self.crop else ("clip_length", "seed"))
        return {key: value for key, value in self.to_json().items() if key not in later}
