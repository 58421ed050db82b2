"""What ingestion costs: its speed against ffmpeg's, its memory on an hour of film, and reading at random from it.

python tests/benchmarks/bench_ingest.py

Needs the program ffmpeg to compare with.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from latentseq.storage.frames import ClipFolder

HEIGHT, WIDTH, FPS = 720, 1280, 25
FRAMES = 250
"""Of the film that is repeated to make longer ones."""
MINUTES = 60
PAIRS = 5
READS = 200


def write_film(path: Path) -> None:
    """Write ten seconds of H.264: a textured ground that pans, with things that move over it."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (HEIGHT // 8, WIDTH // 4, 3), np.uint8)
    ground = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    fine = random.integers(0, 24, ground.shape, np.uint8)
    ground = (ground // 2 + fine).astype(np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "medium"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for i in range(FRAMES):
            frame = ground[:, 2 * i : 2 * i + WIDTH].copy()
            for k in range(8):
                y, x = (40 * k + 3 * i * (k % 3 + 1)) % (HEIGHT - 80), (150 * k + 5 * i) % (WIDTH - 80)
                frame[y : y + 80, x : x + 80] = (30 * k, 255 - 20 * k, 128)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        file.mux(stream.encode(None))


def repeat_film(film: Path, times: int, out: Path) -> None:
    """Write a film that is another one many times over; nothing is encoded again."""
    with av.open(str(out), "w") as target:
        stream = None
        for k in range(times):
            with av.open(str(film)) as source:
                template = source.streams.video[0]
                stream = stream or target.add_stream_from_template(template)
                for packet in source.demux(template):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        shift = round(k * FRAMES / FPS / template.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                        target.mux(packet)


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and megabytes (the largest resident size) of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(told.decode())
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def ingest(film: Path, out: Path, workers: int) -> tuple[float, float]:
    """Seconds and megabytes of ``latentseq ingest``, start included."""
    shutil.rmtree(out, ignore_errors=True)
    options = ["--size", "64", "--workers", str(workers), "--quiet"]
    return run([str(Path(sys.executable).with_name("latentseq")), "ingest", str(film), str(out), *options])


def speed(film: Path, folder: Path) -> None:
    """Frames a second against ffmpeg's, in turns."""
    frames, cores = FRAMES * 12, os.cpu_count() or 1
    repeat_film(film, 12, folder / "two-minutes.mp4")
    peer = ["ffmpeg", "-v", "error", "-i", str(folder / "two-minutes.mp4"), "-vf", "scale=64:64"]
    peer += ["-f", "rawvideo", "-y", os.devnull]
    for workers in sorted({1, cores}):
        pairs = [
            (run(peer)[0], ingest(folder / "two-minutes.mp4", folder / "clips", workers)[0]) for _ in range(PAIRS)
        ]
        theirs, ours = (frames / statistics.median(times) for times in zip(*pairs, strict=True))
        rates = f"ours {ours:.0f} frames/s, ffmpeg {theirs:.0f}"
        print(f"720p to 64x64, {workers} workers: {rates}, ratio {ours / theirs:.2f}")


def memory(film: Path, folder: Path) -> None:
    """The largest resident size while an hour of film is taken."""
    repeat_film(film, MINUTES * 60 * FPS // FRAMES, folder / "hour.mp4")
    for workers in (1, 2, 4):
        seconds, megabytes = ingest(folder / "hour.mp4", folder / "hour", workers)
        limit = 600 + 250 * (workers - 1)
        print(f"{MINUTES} minutes of 720p, {workers} workers: {megabytes:.0f} MB (limit {limit}), {seconds:.0f} s")


def reading(folder: Path) -> None:
    """32 frames at random: one window, and 32 windows of one frame."""
    clips, random = ClipFolder(str(folder / "hour")), np.random.default_rng(0)
    for count, length in ((1, 32), (32, 1)):
        times = []
        for _ in range(READS):
            starts = random.integers(0, int(clips.lengths[0]) - length, count)
            start = time.perf_counter()
            clips.read_windows(np.zeros(count, np.int64), starts, length)
            times.append(time.perf_counter() - start)
        print(f"{count} x {length} frames at random: {1000 * statistics.median(times):.2f} ms")


def main() -> None:
    """Print all three."""
    if not shutil.which("ffmpeg"):
        sys.exit("bench_ingest.py compares with the program ffmpeg, which is not installed. Install it first.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_film(folder / "film.mp4")
        speed(folder / "film.mp4", folder)
        memory(folder / "film.mp4", folder)
        reading(folder)


if __name__ == "__main__":
    main()
