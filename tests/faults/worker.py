"""Does cases, one for each line ``kind number``, and answers each with a line of JSON.

``keras`` as its argument has it import the networks' framework; without it nothing of a framework is ever imported,
neither here nor in a child.
"""

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[name] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
WITH_KERAS = sys.argv[1:] == ["keras"]

import numpy as np  # noqa: E402
from cases import CASES  # noqa: E402
from harness import FRAMEWORKS, Failed  # noqa: E402
from stock import Stock  # noqa: E402

MODULES = (
    "latentseq.commands.export",
    "latentseq.ingestion.run",
    "latentseq.commands.sample",
    "latentseq.commands.train_lstm",
    "latentseq_cli.main",
    "latentseq_plugins.datasets.files",
    "latentseq_plugins.datasets.moving_squares",
)
NETWORKS = ("keras", "latentseq_plugins.dynamics.lstm", "latentseq_plugins.encoders.vae")


def load() -> None:
    """Import what the children need, so that they need not."""
    for module in [*MODULES, *(NETWORKS if WITH_KERAS else ())]:
        importlib.import_module(module)


def do(stock: Stock, kind: str, number: int) -> dict[str, object]:
    """A case: how many things it has tried, and what failed."""
    where = stock.folder / f"{kind}-{number}"
    where.mkdir()
    random = np.random.default_rng([zlib.crc32(kind.encode()), number])
    began, count, failed = time.monotonic(), 0, ""
    try:
        count = CASES[kind].do(stock, where, number, random)
    except Failed as error:
        failed = str(error)
    except Exception:
        failed = traceback.format_exc()
    if not failed:
        shutil.rmtree(where, ignore_errors=True)
    seconds = round(time.monotonic() - began, 2)
    return {"kind": kind, "number": number, "count": count, "failed": failed, "seconds": seconds}


def main() -> None:
    """Take cases until there are no more."""
    load()
    if not WITH_KERAS and FRAMEWORKS & set(sys.modules):
        sys.exit("A framework was imported.")
    # In memory where there is such a place: tens of thousands of flushes to disk take longer than all the rest.
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="latentseq-faults-", dir=memory if os.access(memory, os.W_OK) else None))
    try:
        stock = Stock(folder)
        print("ready", flush=True)
        for line in sys.stdin:
            kind, number = line.split()
            print(json.dumps(do(stock, kind, int(number))), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # A framework takes seconds to take its leave.


if __name__ == "__main__":
    main()
