"""What a checkpoint costs: a durable verified save, how long it holds training up, and a verified load.

    python bench/checkpoints.py                          856 MB of weights and moments, peers in the same run
    python bench/checkpoints.py --mb 20 --rounds 1       a quick look

Decisions: one process per sample, peers and ours in turns; every save is synced, renamed and its folder synced, so
all of them mean the same; ours also reads every byte again and compares. The first save of a process is not counted
where memory is reused (copies for a save beside the training). Loads are from a warm page cache.

Bars: a durable verified save at 1.4 times safetensors with fsync, a verified load into place at 2.5 times a
safetensors load that is copied, a save beside the training that holds it up for at most 0.35 of what
`torch.distributed.checkpoint` does. The exit code is 0 when all hold and 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BENCH = Path(__file__).resolve().parent
sys.path.insert(0, str(BENCH))

from alternating import Case, Sample, measure, report, summarise  # noqa: E402 - the folder of this file

MB = 1e6
REPEATS = 3

#: Case, number, peer, factor: ours must be at least so many times the peer's (at most, for times in ms).
BARS = (
    ("codex save", "mb_per_s", "safetensors save", 1.4),
    ("codex load", "mb_per_s", "safetensors load", 2.5),
    ("codex beside", "blocked_ms", "dcp beside", 0.35),
)


def tensors_of(num_bytes: int) -> dict[str, object]:
    """Weights and two moments of matrices of 4 MB, and a few small ones, all of them touched."""
    import torch

    shape = (1024, 1024)
    count = max(1, int(num_bytes / (3 * 4 * shape[0] * shape[1])))
    names = [f"{kind}layers.{n}.weight" for kind in ("", "exp_avg.", "exp_avg_sq.") for n in range(count)]
    made = {name: torch.full(shape, 0.5) for name in names}
    return made | {f"gain.{n}": torch.ones(1024) for n in range(count)}


def timed(act: Callable[[Path], None], folder: Path, num_bytes: int) -> dict[str, float]:
    """Repeat a save and tell the median rate."""
    rates = []
    for number in range(REPEATS):
        target = folder / str(number)
        os.sync()
        began = time.perf_counter()
        act(target)
        rates.append(num_bytes / MB / (time.perf_counter() - began))
        shutil.rmtree(target, ignore_errors=True)
    return {"mb_per_s": sorted(rates)[len(rates) // 2]}


def sync(path: Path) -> None:
    """Make a file or a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def committed(write: Callable[[Path], None], target: Path) -> None:
    """Write one file into a folder beside its place, sync, rename, sync: what peers lack is added to them."""
    beside = target.with_suffix(".tmp")
    beside.mkdir()
    write(beside / "all.bin")
    sync(beside / "all.bin")
    sync(beside)
    beside.rename(target)
    sync(target.parent)


def store_at(folder: Path, *, beside: bool) -> object:
    """A store of checkpoints as a run has it."""
    from codex_core.checkpoints import CheckpointStore, Origin, Rule

    (folder / "tokenizer").mkdir(parents=True)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    (folder / "checkpoints").mkdir()
    origin = Origin(run={}, config_hash="", lock_digest="", components={}, data={}, environment={})
    return CheckpointStore(
        root=folder / "checkpoints",
        origin=origin,
        tokenizer_path=folder / "tokenizer",
        every=1,
        last=99,
        rule=Rule(keep_last=1),
        asynchronous=beside,
    )


def save_ours(tensors: dict[str, object], folder: Path) -> None:
    """One durable verified save of ours."""
    from codex_models.tensor_files import write_tensors

    store = store_at(folder, beside=False)
    files = {"model/model.safetensors": lambda path: write_tensors(path, tensors)}
    store.save(step=1, position=0, tokens=0, state={}, files=files)


def beside_ours(tensors: dict[str, object], folder: Path) -> dict[str, float]:
    """How long a save beside the training holds it up, once the memory of the copies is there."""
    from codex_models.staging import HostCopies
    from codex_models.tensor_files import write_tensors

    store, copies, blocked = store_at(folder, beside=True), HostCopies(), []
    for step in range(1, REPEATS + 2):
        store.finish()
        began = time.perf_counter()
        held = copies.take(tensors, "all")
        files = {"model/model.safetensors": lambda path, held=held: write_tensors(path, held)}
        store.save(step=step, position=0, tokens=0, state={}, files=files, detached=True)
        blocked.append(1e3 * (time.perf_counter() - began))
    store.finish()
    return {"blocked_ms": sorted(blocked[1:])[REPEATS // 2]}


def beside_dcp(tensors: dict[str, object], folder: Path) -> dict[str, float]:
    """The same for `torch.distributed.checkpoint.async_save`, in one process."""
    import torch.distributed
    import torch.distributed.checkpoint as dcp

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    blocked = []
    for number in range(REPEATS + 1):
        began = time.perf_counter()
        future = dcp.async_save(tensors, checkpoint_id=folder / str(number))
        blocked.append(1e3 * (time.perf_counter() - began))
        future.result()
    torch.distributed.destroy_process_group()
    return {"blocked_ms": sorted(blocked[1:])[REPEATS // 2]}


def load_ours(tensors: dict[str, object], folder: Path, num_bytes: int) -> dict[str, float]:
    """Verify every file and read it into tensors that are there."""
    from codex_core.checkpoints import verify
    from codex_models.tensor_files import read_into

    save_ours(tensors, folder)
    (path,) = (folder / "checkpoints").glob("step-*")

    def load(_: Path) -> None:
        verify(path)
        read_into(path / "model/model.safetensors", tensors)

    return timed(load, folder, num_bytes)


def load_peer(tensors: dict[str, object], folder: Path, num_bytes: int) -> dict[str, float]:
    """A safetensors load that is copied into tensors that are there, without any check."""
    from safetensors.torch import load_file, save_file

    save_file(tensors, folder / "all.safetensors")

    def load(_: Path) -> None:
        for name, tensor in load_file(folder / "all.safetensors").items():
            tensors[name].copy_(tensor)

    return timed(load, folder, num_bytes)


def save_raw(tensors: dict[str, object], path: Path) -> None:
    """Bytes into reserved room: the ceiling."""
    from codex_models.tensor_files import bytes_of

    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, sum(tensor.nbytes for tensor in tensors.values()))
        for tensor in tensors.values():
            file.write(bytes_of(tensor))


def run_case(name: str, num_bytes: int, folder: Path) -> dict[str, float]:
    """One sample of a case."""
    from safetensors.torch import save_file

    tensors = tensors_of(num_bytes)
    num_bytes = sum(tensor.nbytes for tensor in tensors.values())
    if name == "codex save":
        return timed(lambda target: save_ours(tensors, target), folder, num_bytes)
    if name == "safetensors save":
        write = lambda path: save_file(tensors, path)  # noqa: E731 - named as what it stands for
        return timed(lambda target: committed(write, target), folder, num_bytes)
    if name == "raw save":
        return timed(
            lambda target: committed(lambda path: save_raw(tensors, path), target), folder, num_bytes
        )
    if name == "codex load":
        return load_ours(tensors, folder / "load", num_bytes)
    if name == "safetensors load":
        return load_peer(tensors, folder, num_bytes)
    return beside_ours(tensors, folder / "beside") if name == "codex beside" else beside_dcp(tensors, folder)


NAMES = (
    "safetensors save",
    "codex save",
    "raw save",
    "safetensors load",
    "codex load",
    "dcp beside",
    "codex beside",
)


def table(found: dict[str, list[Sample]]) -> tuple[list[str], bool]:
    """The lines of the result, and whether every bar holds."""
    lines, holds = ["| case | number |", "|---|---|"], True
    for name in NAMES:
        key = "blocked_ms" if name.endswith("beside") else "mb_per_s"
        lines.append(f"| {name} | {summarise(found[name], key, higher_is_better=key == 'mb_per_s')} {key} |")
    lines += ["", "| bar | wanted | found | holds |", "|---|---|---|---|"]
    for ours, key, peer, factor in BARS:
        is_rate = key == "mb_per_s"
        numbers = [summarise(found[name], key, higher_is_better=is_rate).median for name in (ours, peer)]
        ratio = numbers[0] / numbers[1]
        is_kept = ratio >= factor if is_rate else ratio <= factor
        holds = holds and is_kept
        sign, verdict = (">=" if is_rate else "<="), ("yes" if is_kept else "NO")
        lines.append(f"| {ours} to {peer} | {sign} {factor} | {ratio:.2f} | {verdict} |")
    return lines, holds


def main() -> int:
    """Measure all cases, print the table, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mb", type=float, default=856.0, help="size of a checkpoint")
    parser.add_argument("--rounds", type=int, default=5, help="samples per case")
    parser.add_argument("--folder", type=Path, help="where to write; by default the temporary folder")
    parser.add_argument("--output", type=Path, help="write the table there, too")
    parser.add_argument("--case", choices=NAMES, help="one sample of one case, as JSON")
    asked = parser.parse_args()
    if asked.case is not None:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            print(json.dumps(run_case(asked.case, int(asked.mb * MB), Path(folder))))
        return 0
    command = [sys.executable, str(Path(__file__).resolve()), "--mb", str(asked.mb)]
    command += ["--folder", str(asked.folder)] if asked.folder else []
    found = measure([Case(name, [*command, "--case", name]) for name in NAMES], rounds=asked.rounds)
    lines, holds = table(found)
    facts = {"checkpoint": f"{asked.mb:g} MB", "rounds": asked.rounds}
    argv = ["bench/checkpoints.py", *sys.argv[1:]]
    text = report("What a checkpoint costs", argv=argv, lines=lines, facts=facts)
    print(text)
    if asked.output:
        asked.output.write_text(text, encoding="utf-8")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
