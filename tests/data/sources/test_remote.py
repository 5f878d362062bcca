"""Sources in object storage: the same layouts give the same samples from an S3 server (moto's)."""

import json
from pathlib import Path

import pytest

from cn import storage
from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record
from cn.errors import InputError
from tests.data.sources.test_same_samples import NUMBER, WRITERS, digest, expected, given

__all__ = ["given"]

pytestmark = pytest.mark.slow

LAYOUTS = (
    *("folder", "fill50k", "imagefolder_jsonl", "imagefolder_csv", "imagefolder_parquet", "csv_list", "json_array"),
    *("parquet_of_datasets", "saved_to_disk", "shards_of_webdataset", "compressed_shard", "kohya_metadata"),
)


@pytest.fixture(scope="module")
def bucket():
    """The URL of an empty bucket on a server of its own."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        storage._file_system.cache_clear()
        system, _ = storage._system("s3://bucket")
        system.mkdir("bucket")
        yield "s3://bucket"
    storage._file_system.cache_clear()
    server.stop()


def uploaded(folder: Path, url: str) -> str:
    for name in storage.files_below(folder):
        storage.write(f"{url}/{name}", (folder / name).read_bytes())
    return url


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_samples(name, given, tmp_path, bucket):
    layout = WRITERS[name](given, tmp_path / "set")["layout"]
    source = open_source(uploaded(tmp_path / "set", f"{bucket}/{name}"))
    assert source.layout == layout
    found = list(source.samples())
    got = [(digest(s.image.read()), s.read_caption(), digest(s.maps[""].read())) for s in found]
    assert sorted(got) == expected(given)
    assert not source.left_out
    names = [sample.name for sample in open_source(str(tmp_path / "set")).samples()]
    assert [sample.name for sample in found] == names
    stored = [json.loads(json.dumps(part.record(1, None))) for part in source.parts]
    rest = [sample.name for record in stored for sample in from_record(record).samples()]
    assert rest == [s.name for part in source.parts for s in list(part.samples())[1:]]


@pytest.mark.parametrize("pattern", ["0000{0..2}.tar", "*.tar", "0000[0-2].tar", "**"])
def test_patterns(pattern, given, tmp_path, bucket):
    WRITERS["shards_of_webdataset"](given, tmp_path / "set")
    url = uploaded(tmp_path / "set", f"{bucket}/patterns")
    assert len(list(open_source(f"{url}/{pattern}").samples())) == NUMBER


def test_one_object_and_its_caption(bucket):
    for name, data in {"a.jpg": b"x", "a.txt": b"one", "b.jpg": b"y"}.items():
        storage.write(f"{bucket}/one/{name}", data)
    [sample] = open_source(f"{bucket}/one/a.jpg").samples()
    assert (sample.name, sample.image.read(), sample.read_caption()) == ("a.jpg", b"x", "one")


def test_urls_in_lists(tmp_path, bucket):
    storage.write(f"{bucket}/urls/a.jpg", b"x")
    (tmp_path / "l.csv").write_text(f"path,text\n{bucket}/urls/a.jpg,one\n")
    [sample] = open_source(str(tmp_path / "l.csv")).samples()
    assert (sample.image.read(), sample.caption) == (b"x", "one")
    [sample] = open_source("-", stdin_paths=[f"{bucket}/urls/a.jpg"]).samples()
    assert sample.image.read() == b"x"


def test_results_and_hidden_objects_are_left_out(bucket):
    for name in ("a.jpg", ".cache/b.jpg", "set/c.jpg", "sub/d.jpg"):
        storage.write(f"{bucket}/more/{name}", b"x")
    source = open_source(f"{bucket}/more", results=[f"{bucket}/more/set"])
    assert [sample.name for sample in source.samples()] == ["a.jpg", "sub/d.jpg"]
    source = open_source(f"{bucket}/more/", recursive=False)
    assert [sample.name for sample in source.samples()] == ["a.jpg"]


def test_what_is_not_there(bucket):
    with pytest.raises(InputError, match=r"s3://bucket/nothing: there is no such file or folder"):
        open_source(f"{bucket}/nothing")
    with pytest.raises(InputError, match="nothing matches this pattern"):
        open_source(f"{bucket}/none/*.tar")
    storage.write(f"{bucket}/v/a.mp4", b"x")
    samples = open_source(f"{bucket}/v").samples()
    with pytest.raises(InputError, match="videos are read from this machine only"):
        next(samples)
