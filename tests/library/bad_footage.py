"""Footage of which something is wrong or strange, and what is to come of it."""

import os
import socket
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
from bad_films import (
    COUNT,
    FAST,
    FRAGMENTED,
    KINDS,
    again,
    areas,
    film,
    flipped,
    larger_jpeg,
    larger_mpeg,
    larger_vp8,
    later,
    listed_end,
    patched,
    sound_alone,
    turned,
    unchanged,
    zeroed,
)
from bad_pictures import LINKED, NO_ARRAY, NO_PICTURE, OTHERWISE, Case, case, folder_of, image, linked, npy, png
from ingesting import numbered

NO_VIDEO = (
    "{} cannot be read as a video: its content is of no known video format, or its end is missing. Expected a file "
    "such as MP4, MKV, WebM or AVI; copy or export it again, or remove it."
)
NO_PICTURES = "{} has no video stream; expected one. Leave the file out, or export it again."
BROKEN = "{} is damaged at byte %d: expected the next part of the file there. Copy or download the file again."
UNREADABLE = (
    "{} is damaged at frame 0: it lists 24 frames, and this one cannot be decoded. Copy or export the file again."
)
UNKNOWN = (
    "{} has a video codec that is not supported; expected one such as H.264, VP9, AV1 or MPEG-4. Convert it "
    "with another program."
)
ENDLESS = (
    "Its frames are 24 x 805306368 (h x w), and would have to be 24 x 805306368 to cover 24 x 48. Choose --fit pad "
    "or stretch."
)
OPAQUE = (*FAST, ("auto-alt-ref", "0"))
"""Options of VP8 and VP9 for films that say how opaque they are."""
NOT_REGULAR = "It is not a regular file."
NO_TARGET = "It is a link whose target does not exist."


def cut_off() -> dict[str, Case]:
    """Films that end too early."""
    cases = {}
    for name, how in KINDS.items():
        data = film(name, **how)
        cuts = {f"{p} %": len(data) * p // 100 for p in (5, 15, 25, 40, 50, 65, 80, 95, 99)}
        for where, cut in {**cuts, "but 100 bytes": len(data) - 100}.items():
            end = listed_end(data, cut)
            reason = f"{{}} is cut short: it lists {end} bytes, and {cut} are there. Copy or download the file again."
            cases[f"{name} {where}"] = case(name, data[:cut], COUNT if end is None else reason)
    others = {
        "a.flv": (film("a.flv"), "it lists … bytes, and {} are there"),
        "a.wmv": (film("a.wmv", codec="wmv2"), "it lists … bytes, and {} are there"),
        "a.ogv": (film("a.ogv", codec="libvpx", options=FAST), "…"),
        "a.gif": (film("a.gif", codec="gif", pixels="rgb8"), "its last part is missing after {} bytes"),
        "a.ts": (film("a.ts"), "its last part is missing after {} bytes"),
        "fragments.mp4": (film(container=FRAGMENTED), "it lists … bytes, and {} are there"),
        "a.y4m": (film("a.y4m", codec="rawvideo"), "it lists … bytes, and {} are there"),
        "a.m2ts": (film("a.m2ts"), "its last part is missing after {} bytes"),
    }
    for name, (data, why) in others.items():
        for share in (30, 70, 90):
            cut = len(data) * share // 100
            reason = f"{{}} is cut short: {why.format(cut)}. Copy or download the file again."
            cases[f"{name} {share} %"] = case(name, data[:cut], reason)
    return cases


def damaged() -> dict[str, bytes]:
    """Films with a bit or a stretch that is wrong; their names start with the number of the seed."""
    films = {}
    for name, how in KINDS.items():
        data = film(name, **how)
        for area, (start, stop) in areas(name, data).items():
            for seed in range(4):
                films[f"{seed} flipped {area} {name}"] = flipped(data, start, stop, seed)
            for seed in range(2):
                films[f"{seed} zeroed {area} {name}"] = zeroed(data, start, stop, seed)
    return films


def broken() -> dict[str, Case]:
    """Films of which it is known what is wrong where."""
    mkv, avi, mp4 = film("a.mkv"), film("a.avi", codec="mpeg4"), film()
    block = [at for at in range(len(mkv)) if mkv[at : at + 1] == b"\xa3" and mkv[at + 2 : at + 3] == b"\x81"][9]
    chunk = [at for at in range(len(avi)) if avi[at : at + 4] == b"00dc"][9]
    cluster = mkv.index(b"\x1f\x43\xb6\x75")
    key = mp4.index(b"mdat") + 4
    return {
        "a block that is none": case("a.mkv", patched(mkv, block, b"\xab"), BROKEN % block),
        "a cluster that is none": case("a.mkv", patched(mkv, cluster, bytes(4)), BROKEN % cluster),
        "a chunk that is none": case("a.avi", patched(avi, chunk, bytes(4)), BROKEN % chunk),
        "a chunk of another stream": case("a.avi", patched(avi, chunk, b"01"), BROKEN % chunk),
        "a keyframe that is none": case("a.mp4", patched(mp4, key, bytes(800)), UNREADABLE),
    }


def of_other_kinds() -> dict[str, Case]:
    """Files that are not what their name says."""
    good, noise = film(), np.random.default_rng(0).bytes(5000)
    coded = good.replace(b"avc1", b"zzz1")
    subtitles = (
        film("a.mkv").replace(b"\x83\x81\x01", b"\x83\x81\x11").replace(b"V_MPEG4/ISO/AVC", b"S_TEXT/UTF8\0\0\0\0")
    )
    return {
        "empty": case("a.mp4", b"", NO_VIDEO),
        "one byte": case("a.mkv", b"\x1a", NO_VIDEO),
        "text": case("a.mp4", "hello\n" * 100, NO_VIDEO),
        "html": case("a.webm", "<!DOCTYPE html><html><body>404 Not found</body></html>", NO_VIDEO),
        "noise": case("a.avi", noise, NO_VIDEO),
        "zeros": case("a.mp4", bytes(5000), NO_VIDEO),
        "a png called mp4": case("a.mp4", png(30, 20), NO_VIDEO),
        "an mp4 called png": folder_of({"a.png": good}, NO_PICTURE.format("a.png", OTHERWISE)),
        "an array called mp4": case("a.mp4", npy(numbered(4)), NO_VIDEO),
        "an mp4 called npy": case("a.npy", good, NO_ARRAY.format("the magic string is not correct; …")),
        "an mp4 called mkv": case("a.mkv", good, COUNT),
        "an mkv called MP4": case("a.MP4", film("a.mkv"), COUNT),
        "a playlist called m3u8": case(
            "a.m3u8", "#EXTM3U\n", ".m3u8 is not a known type of video, image or array file."
        ),
        "sound in an mp4": case("a.mp4", sound_alone("a.mp4", "aac"), NO_PICTURES),
        "sound with a cover": case("a.mp4", sound_alone("a.mp4", "aac", image("JPEG")), NO_PICTURES),
        "sound in an mkv": case("a.mkv", sound_alone("a.mkv", "aac"), NO_PICTURES),
        "sound in an ogg": case("a.ogv", sound_alone("a.ogg", "libopus"), NO_PICTURES),
        "an mp3 called mp4": case("a.mp4", sound_alone("a.mp3", "libmp3lame"), NO_VIDEO),
        "subtitles alone": case("a.mkv", subtitles, NO_PICTURES),
        "an unknown codec": case("a.mp4", coded, UNKNOWN),
        "a stream without a container": case("a.mp4", film("a.h264"), NO_VIDEO),
        "film and sound": case("a.mp4", film(sound="aac"), COUNT),
        "film and sound in an mkv": case("a.mkv", film("a.mkv", sound="aac"), COUNT),
        "title in another encoding": case("a.mkv", film("a.mkv").replace(b"Lavf", b"L\xe4vf"), COUNT),
    }


def of_other_times() -> dict[str, Case]:
    """Films whose frames do not follow one another evenly, or not from the start."""
    all_keys, keep = film(keyframes=1), [("avoid_negative_ts", "disabled")]

    def repeated(number, packet):
        packet.pts = packet.dts = packet.pts // 1024 * 1024

    def from_fourth(number, packet):
        return number > 3

    return {
        "variable": case("a.mkv", film("a.mkv", times=tuple(40 * i + 7 * (i % 3) for i in range(COUNT))), COUNT),
        "repeated times": case("a.mkv", again(all_keys, "a.mkv", repeated), COUNT),
        "times finer than the clock": case("a.mkv", film("a.mkv", fps=3000), COUNT),
        "before zero": case("a.ts", again(film("a.ts"), "a.ts", later(-180_000), keep), COUNT),
        "5 s late": case("a.mkv", again(film(), "a.mkv", later(5 * 12800)), COUNT),
        "reordered without times": case("a.avi", film("a.avi", options=(("bf", "3"),)), COUNT),
        "reordered in a transport stream": case("a.ts", film("a.ts", options=(("bf", "3"),)), COUNT),
        "one frame": case("a.mp4", film(count=1), 1),
        "two frames": case("a.webm", film("a.webm", 2, codec="libvpx", options=FAST), 2),
        "an edit list": case("a.mp4", again(film(), "a.mp4", later(-512 * 8), keep), 16),
        "no keyframe first": case("a.mkv", again(film(), "a.mkv", from_fourth), COUNT - 8),
        "no keyframe first in a stream": case("a.ts", again(film("a.ts"), "a.ts", from_fourth), COUNT - 8),
        "two streams in one": case("a.ts", film("a.ts") + film("a.ts", 20), COUNT + 20),
        "two streams of different rates": case("a.ts", film("a.ts") + film("a.ts", 20, fps=24), COUNT + 20),
        "raw": case("a.avi", film("a.avi", codec="rawvideo"), COUNT),
        "in fragments": case("a.mp4", film(container=FRAGMENTED), COUNT),
        "a flash film": case("a.flv", film("a.flv"), COUNT),
        "windows media": case("a.wmv", film("a.wmv", codec="wmv2"), COUNT),
        **{
            f"a {suffix}": case(f"a.{suffix}", film(f"a.{suffix}", codec=codec), COUNT)
            for suffix, codec in (
                *(("3gp", "libx264"), ("h264", "libx264"), ("m2ts", "libx264"), ("mts", "libx264")),
                *(("vob", "mpeg2video"), ("y4m", "rawvideo")),
            )
        },
        "an mpeg program": case("a.mpg", film("a.mpg", codec="mpeg2video"), COUNT),
        "nothing new": case("a.avi", unchanged(film("a.avi", codec="mpeg4"), 12), COUNT - 1),
    }


def of_other_shapes() -> dict[str, Case]:
    """Films of strange sizes, colours and directions."""
    sizes = {"1 x 1": (1, 1), "odd": (25, 49), "3 x 5": (3, 5)}
    lossless = {"codec": "ffv1", "pixels": "bgr0"}
    pixels = {"10 bits": "yuv420p10le", "gray": "gray", "16 bits of gray": "gray16le", "transparent": "yuva420p"}
    wide = film(aspect=Fraction(2))
    at = wide.index(b"pasp") + 4
    endless = patched(wide, at, struct.pack(">II", 2**24, 1))
    turns = {"90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0), "flat": (0, 0, 0, 0)}
    return {
        **{name: case("a.mkv", film("a.mkv", size=size, **lossless), COUNT) for name, size in sizes.items()},
        **{name: case("a.mkv", film("a.mkv", codec="ffv1", pixels=how), COUNT) for name, how in pixels.items()},
        **{f"turned {by}": case("a.mp4", turned(film(), matrix), COUNT) for by, matrix in turns.items()},
        "4000 x 2": case("a.mp4", film(size=(2, 4000), count=3), 3),
        "2 x 4000": case("a.mp4", film(size=(4000, 2), count=3), 3),
        "wide pixels": case("a.mp4", wide, COUNT),
        "endless pixels": case("a.mp4", endless, ENDLESS),
        "10 bits of h264": case("a.mp4", film(pixels="yuv420p10le"), COUNT),
        "yuv444": case("a.mp4", film(pixels="yuv444p"), COUNT),
        "rgba": case("a.mov", film("a.mov", codec="png", pixels="rgba"), COUNT),
        "argb": case("a.mov", film("a.mov", codec="qtrle", pixels="argb"), COUNT),
        "vp9 with alpha": case(
            "a.webm",
            film("a.webm", codec="libvpx-vp9", pixels="yuva420p", options=OPAQUE),
            COUNT,
        ),
        "vp8 with alpha": case("a.webm", film("a.webm", codec="libvpx", pixels="yuva420p", options=OPAQUE), COUNT),
        "a palette": case("a.gif", film("a.gif", codec="gif", pixels="rgb8"), COUNT),
        "interlaced": case("a.mp4", film(size=(32, 48), options=(("x264-params", "tff=1"),)), COUNT),
        "another size": case("a.ts", film("a.ts") + film("a.ts", size=(48, 96)), 2 * COUNT),
        "another colour": case("a.ts", film("a.ts") + film("a.ts", pixels="yuv444p"), 2 * COUNT),
    }


def of_the_disk() -> dict[str, Case]:
    """What is no file, or not there, or not to be looked at."""

    def put(folder: Path, name: str, data: bytes = film()) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    def plug(folder: Path) -> None:
        here = os.open(folder, os.O_RDONLY)  # By a short name: a socket's may have 107 bytes only.
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/a.mp4")
        os.close(here)

    def closed(folder: Path) -> None:
        put(folder, "a.mp4")
        put(folder, "dir/b.mp4")
        (folder / "a.mp4").chmod(0)
        (folder / "dir").chmod(0)

    denied = "It cannot be opened; expected permission to read it and its folder. Change its permissions."
    link = Path.symlink_to
    return {
        "a pipe": Case(lambda f: os.mkfifo(f / "a.mp4"), {"a.mp4": NOT_REGULAR}),
        "a pipe among images": Case(
            lambda f: (os.mkfifo(f / "a.png"), put(f, "b.png", png(30, 20))), {"a.png": NOT_REGULAR, "": 1}
        ),
        "a device": Case(lambda f: link(f / "a.mp4", "/dev/zero"), {"a.mp4": NOT_REGULAR}),
        "a device called png": Case(lambda f: link(f / "a.png", "/dev/zero"), {"a.png": NOT_REGULAR}),
        "a socket": Case(plug, {"a.mp4": NOT_REGULAR}),
        "a link to nothing": Case(lambda f: link(f / "a.mp4", f / "b.mp4"), {"a.mp4": NO_TARGET}),
        "a link to itself": Case(lambda f: link(f / "a.mp4", f / "a.mp4"), {"a.mp4": NO_TARGET}),
        "folders in a circle": Case(lambda f: (put(f, "d/a.mp4"), link(f / "d" / "e", f)), {"d/a.mp4": COUNT}),
        "a link to a film": Case(lambda f: (put(f, ".b"), link(f / "a.mp4", f / ".b")), {"a.mp4": COUNT}),
        "hidden": Case(lambda f: (put(f, ".a.mp4"), put(f, ".d/a.mp4")), {}),
        "a folder called mp4": Case(lambda f: put(f, "film.mp4/a.mp4"), {"film.mp4/a.mp4": COUNT}),
        "a pattern and what it stands for": Case(
            lambda f: (put(f, "frame%02d.mp4"), put(f, "frame01.mp4", film(count=20))),
            {"frame%02d.mp4": COUNT, "frame01.mp4": 20},
        ),
        "an empty folder": Case(lambda f: (f / "empty").mkdir(), {}),
        "no right to read": Case(
            closed, {"a.mp4": "{} cannot be read as a video: Permission denied. Check its rights.", "dir": denied}
        ),
    }


NAMES = {
    "a 🎬 film.mp4": "a 🎬 film.mp4",
    "line\nbreak.mp4": "line\\nbreak.mp4",
    "\x1b[31mred.mp4": "\\x1b[31mred.mp4",
    "-i.mp4": "-i.mp4",
    "--help.mp4": "--help.mp4",
    os.fsdecode(b"\xff\xfe.mp4"): "\\xff\\xfe.mp4",
    "frame%02d.mp4": "frame%02d.mp4",
    "%s%n.mp4": "%s%n.mp4",
    "x" * 251 + ".mp4": "x" * 251 + ".mp4",
    "http:example.mp4": "http:example.mp4",
    "concat:a|b.mp4": "concat:a|b.mp4",
    "pipe:0.mp4": "pipe:0.mp4",
    'it\'s "so".mp4': 'it\'s "so".mp4',
    "{0} {}.mp4": "{0} {}.mp4",
    " .mp4": " .mp4",
    "٣.mp4": "٣.mp4",
}
"""Names that somebody could take for something else, and how they are written down."""


def listing(name: str, text: str, reason: str = NO_VIDEO) -> Case:
    """A file that names a film which lies outside of the folder; {} and {near} stand for where."""

    def make(folder: Path) -> None:
        secret = folder.parent / "secret" / "000000.mp4"
        secret.parent.mkdir()
        secret.write_bytes(film())
        near = os.path.relpath(secret, folder)
        (folder / name).write_text(text.format(secret, near=near, folder=secret.parent))

    return Case(make, {name: reason})


def playlists() -> dict[str, Case]:
    """Files that name another one."""
    session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={}\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
    presentation = (
        "<?xml version='1.0'?><MPD type='static'><Period><AdaptationSet><Representation><BaseURL>{}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>"
    )
    return {
        "a concatenation": listing("a.mp4", "ffconcat version 1.0\nfile '{}'\n"),
        "a concatenation nearby": listing("a.mkv", "ffconcat version 1.0\nfile {near}\n"),
        "a list of parts": listing("a.ts", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"),
        "a list of addresses": listing("a.mp4", "#EXTM3U\n#EXTINF:1,\nfile://{}\n"),
        "a session": listing("a.mp4", session),
        "a presentation": listing("a.mp4", presentation),
        "a pattern": listing("a.webm", "{folder}/%06d.mp4"),
        "a link in an array": Case(
            lambda f: (listing("b", "").make(f), (f / "b").unlink(), linked(f)), {"a.h5": LINKED}
        ),
    }


def film_bombs() -> dict[str, Case]:
    """Films that would fill the memory."""
    large = "{} is %s (h x w), %d pixels; expected at most 50000000. Make it smaller with another program first."
    header = film(container=(("movflags", "faststart"),))
    listed, in_fragments = header.index(b"stsz"), film(container=FRAGMENTED)
    run, shown = in_fragments.index(b"trun"), header.index(b"avc1", header.index(b"stsd"))
    screen = film("a.gif", codec="gif", pixels="rgb8")
    count = struct.pack(">II", 1, 1 << 24)
    return {
        "vp8 that lies": case("a.webm", larger_vp8(film("a.webm", codec="libvpx", options=FAST), 16383), UNREADABLE),
        "opacity that lies": case(
            "a.webm",
            larger_vp8(film("a.webm", codec="libvpx", pixels="yuva420p", options=OPAQUE), 16383),
            UNREADABLE,
        ),
        "jpegs that lie": case(
            "a.avi", larger_jpeg(film("a.avi", codec="mjpeg", pixels="yuvj420p"), 16000), UNREADABLE
        ),
        **{
            f"mpeg of 16383 x 16383 in {suffix}": case(
                f"a.{suffix}",
                larger_mpeg(film(f"a.{suffix}", codec="mpeg2video")),
                large % ("16383 x 16383", 16383**2),
            )
            for suffix in ("ts", "mpg", "mkv")
        },
        "8000 x 8000": case(
            "a.avi",
            film("a.avi", codec="mjpeg", pixels="yuvj420p", size=(8000, 8000), count=1),
            large % ("8000 x 8000", 64 * 10**6),
        ),
        "a header of 65535 x 65535": case(
            "a.mp4", patched(header, shown + 28, b"\xff" * 4), large % ("65535 x 65535", 65535**2)
        ),
        "2^24 frames": case(
            "a.mp4",
            patched(header, listed + 8, count),
            BROKEN % (listed - 4),
        ),
        "2^24 frames in a fragment": case(
            "a.mp4",
            patched(in_fragments, run + 4, count),
            BROKEN % (run - 4),
        ),
        "a screen of 65535 x 65535": case(
            "a.gif", patched(screen, 6, b"\xff" * 4), large % ("65535 x 65535", 65535**2)
        ),
    }
