"""Ingesting in tests: footage whose every frame can be told, and what came of it."""

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from latentseq.commands import ingest as command
from latentseq.configurable import option_names
from latentseq.ingestion.recipe import IngestOptions
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.clip_table import values
from latentseq.storage.frames import ClipFolder

SCALE = (
    "Set the values of black and white with --range, such as --range 0..255 (in commands other than ingest: "
    "--data-set range=0..255)."
)
"""The end of the message about floats that are out of range."""
STRIP = 4
"""Rows at the top of a scene's frames that show their number: too few to look like a cut when it changes."""


class Taken:
    """A folder of clips, and what its manifest says."""

    def __init__(self, out):
        self.out, self.clips = Path(out), ClipFolder(str(out))
        self.manifest = json.loads((self.out / "manifest.json").read_text())
        self.frames = [self.clips.read(i).frames for i in range(len(self.clips.lengths))]
        self.lengths = self.clips.lengths.tolist()
        self.sources = [source["path"] for source in self.manifest["sources"]]
        self.skipped = {each["path"]: each["reason"] for each in self.manifest["skipped"]}

    def of_clips(self, key):
        """What the manifest says of every clip."""
        return values(self.manifest["clips"], key)

    def shards(self):
        """The files that hold frames."""
        return sorted(path.name for path in self.out.glob("*.h5"))


def ingest(sources, out, **options):
    """``latentseq.ingest``, with its options as they are typed: beside one another."""
    kinds = {"preprocessing": Preprocessing, "options": IngestOptions}
    groups = {
        name: kind(**{key: options.pop(key) for key in option_names(kind) if key in options})
        for name, kind in kinds.items()
    }
    return command.ingest(sources, out, **groups, **options)


def take(out, *sources, **options):
    """Ingest, and read it back."""
    assert ingest(sources, out, quiet=True, **options) == Path(out)
    return Taken(out)


def bars(number, height=48, width=96):
    """A picture that says its number, as those of ``write_movie`` do: (h, w) uint8."""
    columns = np.repeat((number >> np.arange(12)) & 1, width // 12) * 255
    return np.broadcast_to(columns.astype(np.uint8), (height, width))


def numbered(count, height=48, width=96, first=0):
    """Gray pictures of bars: (t, h, w) uint8."""
    return np.stack([bars(first + i, height, width) for i in range(count)])


def scenes(lengths, height=64, width=96):
    """A film of clearly different scenes, each frame with its number at the top: (t, h, w, 3) uint8."""
    levels = np.repeat(np.arange(len(lengths)) % 3 * 90 + 30, lengths)
    film = np.broadcast_to(levels[:, None, None].astype(np.uint8), (len(levels), height, width)).copy()
    film[:, :STRIP] = numbered(len(film), STRIP, width)
    return np.repeat(film[..., None], 3, -1)


def write_film(path, frames, *, fps=25, codec="libx264", keyframes=12, times=None, sound=None):
    """Write frames (t, h, w, 3) as a video, so well that each can be told.

    Args:
        times: of each frame in milliseconds, where they are not evenly spaced.
        sound: (n,) float, 16,000 samples a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=fps, options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.gop_size = keyframes
        voice = file.add_stream("aac", rate=16000, layout="mono") if sound is not None else None
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], stream.codec_context.time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
        if voice:
            for at in range(0, len(sound) // 1024 * 1024, 1024):
                part = sound[None, at : at + 1024].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16000, at
                file.mux(voice.encode(frame))
            file.mux(voice.encode())
    return path


def write_images(folder, pictures):
    """Write pictures as frame1.png, frame2.png, …"""
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures, start=1):
        Image.fromarray(picture).save(folder / f"frame{i}.png")
    return folder


def write_array(path, array):
    """Write an array as .npy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path
