"""The options of an ingestion."""

from dataclasses import dataclass
from typing import Any

from latentseq.data.crops import CropRecipe
from latentseq.data.open import check_seed
from latentseq.data.splits import check_hold_out
from latentseq.errors import UsageError
from latentseq.media import audio
from latentseq.media.layout import parse_axes
from latentseq.media.levels import parse_range
from latentseq.media.preprocessing import Preprocessing

AUDIO = ("none", *audio.KINDS)
CROP_LENGTH = 10
"""Default number of frames of a crop."""


@dataclass(frozen=True)
class IngestOptions:
    """How arrays are read and how footage is cut into clips. ``Preprocessing`` holds the options of single frames.

    Attributes:
        array: name of the array to read from ``.npz`` and ``.h5`` files that hold several.
        axes: axes of the arrays, one letter each: T for time, N for clips, H for height, W for width, C for channels,
            such as ``TNHW``. None recognises them from the shape, unless the shape is ambiguous.
        range: values of black and white in arrays and images that do not have 8 bits, such as ``0..4095``. None
            stands for 0..65535 for integers and 0..1 for floats.
        cuts: end a clip where a scene ends.
        min_length: minimum length of a scene, in frames, with ``cuts``. Shorter scenes are left out.
        clip_length: length of a clip, in frames. None keeps scenes whole. With ``crop`` it is the length of a crop,
            and None stands for 10.
        stride: number of frames from the start of one clip to the start of the next. None stands for ``clip_length``.
        crop: side of small windows that are cut out of the frames where something moves, in pixels. None keeps whole
            frames.
        count: number of crops.
        still: share of the crops that may be without motion, from 0 to 1.
        motion: minimum motion of the other crops: the mean absolute difference of successive frames, from 0 to 1.
        audio: features of the sound to keep, one row per frame: mel, wave or none.
        seed: random seed for the crops.
        hold_out: what to hold out for validation and test: ``clips``, or the ``ends`` of all clips. None stands for
            ``ends`` below 20 clips, and ``clips`` otherwise. Files in folders named after a split belong to it.
    """

    array: str | None = None
    axes: str | None = None
    range: str | None = None
    cuts: bool = False
    min_length: int = 20
    clip_length: int | None = None
    stride: int | None = None
    crop: int | None = None
    count: int = 10_000
    still: float = 0.05
    motion: float = 0.02
    audio: str = "mel"
    seed: int = 0
    hold_out: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a value is out of range, or two values exclude each other.
        """
        check_seed(self.seed)
        for name, value in (
            ("min-length", self.min_length),
            ("clip-length", self.clip_length),
            ("stride", self.stride),
        ):
            if value is not None and value < 1:
                raise UsageError(f"--{name} is {value}; expected 1 frame or more.")
        if self.stride is not None and self.clip_length is None:
            raise UsageError(
                "--stride is the distance between clips of --clip-length frames. Give both options, or neither."
            )
        if self.audio not in AUDIO:
            raise UsageError(f"--audio is {self.audio!r}; expected 'mel', 'wave' or 'none'.")
        if self.crops and (self.cuts or self.stride is not None):
            raise UsageError("--crop draws clips at random and takes neither --cuts nor --stride. Leave one out.")
        if self.crops and self.count < 1:
            raise UsageError(f"--count is {self.count}; expected 1 crop or more.")
        check_hold_out(self.hold_out)
        if self.hold_out is not None and (self.crops or self.overlapping):
            raise UsageError(
                "--hold-out does not apply to crops, nor to clips that share frames: parts of the footage are held "
                "out, so that no frame is on both sides. Leave it out."
            )
        if self.axes is not None:
            parse_axes(self.axes)
        if self.range is not None:
            parse_range(self.range)

    @property
    def crops(self) -> CropRecipe | None:
        """How crops are drawn, or None if frames are kept whole."""
        if self.crop is None:
            return None
        length = CROP_LENGTH if self.clip_length is None else self.clip_length
        return CropRecipe(self.crop, length, float(self.still), float(self.motion))

    @property
    def overlapping(self) -> bool:
        """Whether clips share frames. Such clips must not be on both sides of a split."""
        return self.stride is not None and self.clip_length is not None and self.stride < self.clip_length


@dataclass(frozen=True)
class Recipe:
    """What is done to all footage alike.

    Attributes:
        preprocessing: options of the frames, settled for this footage. With crops, the size is that of the crop.
        options: the other options.
        native: keep frames in their own size, so that crops are cut out of them.
    """

    preprocessing: Preprocessing
    options: IngestOptions
    native: bool = False

    @property
    def crop(self) -> CropRecipe | None:
        """How crops are drawn, or None if frames are kept whole."""
        return self.options.crops

    @property
    def channels(self) -> int:
        """Number of channels of a frame."""
        return 1 if self.preprocessing.gray else 3

    def to_json(self) -> dict[str, Any]:
        """All options in one flat mapping of JSON types. A manifest keeps it."""
        options, crop = self.options, self.crop
        own = ("cuts", "min_length", "clip_length", "stride", "count", "audio", "seed", "array")
        size = {"size": None} if self.native else {}
        crops = {"crop": crop.side, "still": crop.still, "motion": crop.motion} if crop else {}
        # Left out if they are not used, so that the plan of a result from before they existed stays the same.
        axes = {} if options.axes is None else {"axes": parse_axes(options.axes)}
        range = {} if options.range is None else {"range": str(parse_range(options.range))}
        hold_out = {} if options.hold_out is None else {"hold_out": options.hold_out}
        return {
            **self.preprocessing.to_json(),
            **size,
            **{name: getattr(options, name) for name in own},
            **crops,
            **axes,
            **range,
            **hold_out,
        }

    def of_shards(self) -> dict[str, Any]:
        """The options that the content of a shard depends on. Clips and splits are decided later."""
        later = ("min_length", "stride", "count", "array", "hold_out") + (
            () if self.crop else ("clip_length", "seed")
        )
        return {key: value for key, value in self.to_json().items() if key not in later}
