"""The same pairs in the layouts that people have, written by hand or by the libraries of those layouts."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Records = list[dict[str, str]]


def records_of(folder: Path) -> Records:
    return [json.loads(line) for line in (folder / "prompt.json").read_text().splitlines()]


def write_tar(file: Path, members: list[tuple[str, bytes]], mode: Any = "w") -> None:
    with tarfile.open(file, mode) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def webdataset(folder: Path, out: Path, per_shard: int = 4) -> Path:
    out.mkdir()
    records = records_of(folder)
    for shard, start in enumerate(range(0, len(records), per_shard)):
        members = []
        for number, record in enumerate(records[start : start + per_shard], start):
            members += [
                (f"{number:06}.png", (folder / record["target"]).read_bytes()),
                (f"{number:06}.cond.png", (folder / record["source"]).read_bytes()),
                (f"{number:06}.txt", record["prompt"].encode()),
            ]
        write_tar(out / f"{shard:05}.tar", members)
    return out


def imagefolder(folder: Path, out: Path) -> Path:
    out.mkdir()
    lines = []
    for number, record in enumerate(records_of(folder)):
        for name in ("target", "source"):
            shutil.copy(folder / record[name], out / f"{number:03}-{name}.png")
        names = {"file_name": f"{number:03}-target.png", "conditioning_image": f"{number:03}-source.png"}
        lines.append(json.dumps({**names, "text": record["prompt"]}))
    (out / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return out


def parquet(folder: Path, out: Path, group: int = 2) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out.mkdir()
    records = records_of(folder)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def cells(name: str) -> list[dict[str, Any]]:
        return [{"bytes": (folder / record[name]).read_bytes(), "path": None} for record in records]

    table = pa.table(
        {
            "image": pa.array(cells("target"), image),
            "conditioning_image": pa.array(cells("source"), image),
            "text": [record["prompt"] for record in records],
        }
    )
    pq.write_table(table, out / "train-00000-of-00001.parquet", row_group_size=group)
    return out


def sidecars(folder: Path, out: Path) -> Path:
    (out / "images").mkdir(parents=True)
    (out / "conditioning").mkdir()
    for number, record in enumerate(records_of(folder)):
        shutil.copy(folder / record["target"], out / f"images/{number:03}.png")
        shutil.copy(folder / record["source"], out / f"conditioning/{number:03}.png")
        (out / f"images/{number:03}.txt").write_text(record["prompt"] + "\n")
    return out


LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "webdataset": webdataset,
    "imagefolder": imagefolder,
    "parquet": parquet,
    "sidecars": sidecars,
}
