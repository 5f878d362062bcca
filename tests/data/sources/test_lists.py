"""Lists of images in files: what people's CSV, JSONL and metadata files are like."""

import json

import pytest

from cn.data.sources.open import open_source
from cn.errors import InputError, UsageError
from tests.data.sources.test_folder import captions, files, made


def test_csv_with_what_spreadsheets_write(tmp_path):
    text = 'file_name;text;score\r\na.jpg;"two\r\nlines; quoted";1\r\n\r\n.\\b.jpg;;2\r\nc.jpg;x;y;z\r\n'
    made(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    source = open_source(str(tmp_path))
    found = list(source.samples())
    assert [(s.name, s.read_caption(), dict(s.extra)) for s in found[:2]] == [
        ("a.jpg", "two lines; quoted", {"score": "1"}),
        ("b.jpg", None, {"score": "2"}),
    ]
    assert [s.where.rpartition(":")[2] for s in found] == ["2", "5", "6"]
    assert found[2].problem.startswith("4 values for 3 columns")
    [part] = source.parts
    assert [list(part.samples(n, n + 1)) for n in range(3)] == [[s] for s in found]


def test_csv_without_header(tmp_path):
    files(tmp_path, **{"mine.csv": 'a.jpg,"a, b"\nb.jpg,c\n', "a.jpg": "x", "b.jpg": "x"})
    assert captions(open_source(str(tmp_path))) == {"a.jpg": "a, b", "b.jpg": "c"}


def test_csv_in_another_encoding(tmp_path):
    made(tmp_path, "a.jpg")
    (tmp_path / "metadata.csv").write_bytes("file_name,text\na.jpg,Bäume\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"metadata\.csv: line 2 is not UTF-8"):
        open_source(str(tmp_path))


def test_two_metadata_files_of_the_same_images(tmp_path):
    lines = {"metadata.csv": "file_name,text\na.jpg,csv\n", "metadata.jsonl": '{"file_name": "a.jpg", "text": "jsonl"}'}
    files(tmp_path, **lines, **{"a.jpg": "x"})
    source = open_source(str(tmp_path))
    assert captions(source) == {"a.jpg": "jsonl"}
    assert source.warnings == ("metadata.csv: lists the images that metadata.jsonl lists, and is left out",)
    assert dict(source.left_out.suffixes) == {".csv": 1}


def test_metadata_in_folders_of_sets(tmp_path):
    for name in ("train", "test"):
        files(tmp_path / name, **{"metadata.jsonl": json.dumps({"file_name": "a.jpg", "text": name}), "a.jpg": "x"})
    source = open_source(str(tmp_path))
    assert captions(source) == {"test/a.jpg": "test", "train/a.jpg": "train"}
    assert source.about.startswith(
        "Hugging Face's imagefolder: test/metadata.jsonl 1, train/metadata.jsonl 1: 2 images"
    )


def test_a_list_of_another_name_whose_images_are_there(tmp_path):
    rows = [{"caption": f"c{n}", "image": f"images/{n}.png", "padded": f"p/{n}.png"} for n in range(2)]
    files(tmp_path, **{"metadata1000.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows), "images/0.png": "x"})
    made(tmp_path, "images/1.png", "images/2.png", "metadata.json1")
    source = open_source(str(tmp_path))
    assert source.layout == "list"
    assert captions(source) == {"images/0.png": "c0", "images/1.png": "c1"}
    assert source.about.endswith("; not used: 1 image")
    assert dict(source.left_out.suffixes) == {".png": 1, ".json1": 1}


def test_a_table_that_names_no_image_of_the_folder_is_left_out(tmp_path):
    files(tmp_path, **{"a.jpg": "x", "prices.csv": "file,price\nother.jpg,3\n", "notes.jsonl": "nothing"})
    source = open_source(str(tmp_path))
    assert source.layout == "folder"
    assert dict(source.left_out.suffixes) == {".csv": 1, ".jsonl": 1}


def test_urls_are_to_be_downloaded_first(tmp_path):
    (tmp_path / "laion.csv").write_text("URL,TEXT\nhttps://example.org/a.jpg,a cat\n")
    source = open_source(str(tmp_path / "laion.csv"))
    [sample] = source.samples()
    assert sample.problem == "https://example.org/a.jpg is a URL: download first, with img2dataset"
    assert source.warnings == ("laion.csv: 1 image to be downloaded first, with img2dataset: the list has URLs",)


def test_lists_of_several_captions(tmp_path):
    row = {"file_name": "a.jpg", "captions": ["", "first", "second"]}
    files(tmp_path, **{"metadata.jsonl": json.dumps(row), "a.jpg": "x"})
    source = open_source(str(tmp_path))
    assert captions(source) == {"a.jpg": "first"}
    assert source.warnings == ("metadata.jsonl: 1 image with several captions; the first of each is used",)


def test_a_list_of_paths_with_captions_beside_the_images(tmp_path, monkeypatch):
    files(
        tmp_path, **{"photos/a b.jpg": "x", "photos/a b.txt": "one", "lists/l.txt": "photos/a b.jpg\n\nphotos/c.jpg\n"}
    )
    monkeypatch.chdir(tmp_path)
    source = open_source("lists/l.txt")
    assert captions(source) == {"photos/a b.jpg": "one", "photos/c.jpg": None}
    assert [str(s.image) for s in source.samples()] == ["photos/a b.jpg", "photos/c.jpg"]


def test_captions_of_text_lists(tmp_path):
    lines = ["a.jpg\tone\ttwo", "b.JPG#0 a text", "c.png|x|y", "d.webp, z"]
    (tmp_path / "l.txt").write_text("\n".join(lines))
    found = open_source(str(tmp_path / "l.txt")).samples()
    assert [(s.name, s.caption) for s in found] == [
        *(("a.jpg", "one\ttwo"), ("b.JPG", "a text"), ("c.png", "x|y"), ("d.webp", "z")),
    ]


def test_columns_of_kinds(tmp_path):
    row = {"bild": "a.jpg", "file_name": "no.jpg", "tiefe": "d.png", "canny": "c.png", "wort": "x"}
    files(tmp_path, **{"metadata.jsonl": json.dumps(row)}, **dict.fromkeys(["a.jpg", "d.png", "c.png"], "x"))
    columns = {"image": "bild", "depth": "tiefe", "caption": "wort"}
    [sample] = open_source(str(tmp_path), columns=columns).samples()
    assert (sample.name, sample.caption, sorted(sample.maps)) == ("a.jpg", "x", ["canny", "depth"])
    with pytest.raises(InputError, match=r'no column "foto" \(--column image=foto\); there are bild, file_name'):
        open_source(str(tmp_path), columns={"image": "foto"})


def test_a_named_file_without_images_says_what_it_has(tmp_path):
    (tmp_path / "t.csv").write_text("name,price\nx,1\n")
    with pytest.raises(InputError, match=r"t\.csv: no column with images, only name, price; --column image=NAME"):
        open_source(str(tmp_path / "t.csv"))


def test_parquet_that_is_cut_off(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"image": [b"x"], "text": ["t"]}), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"a\.parquet: is broken or cut off"):
        open_source(str(tmp_path))


def test_one_broken_table_of_several_is_a_sample_with_that_problem(tmp_path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"image": [b"x"], "text": ["t"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    found = list(open_source(str(tmp_path)).samples())
    assert [(s.name, s.problem is None) for s in found] == [("a.parquet/000000", True), ("b.parquet", False)]
    assert found[1].problem.startswith("is broken or cut off")
    made(tmp_path / "images", "a.jpg", "b.parquet")
    assert open_source(str(tmp_path / "images")).layout == "folder"


def test_an_archive_is_to_be_unpacked(tmp_path):
    made(tmp_path, "fill50k.zip")
    for src in (tmp_path, tmp_path / "fill50k.zip"):
        with pytest.raises(InputError, match=r"no images in it: 1 file of other kinds: 1 \.zip; unpack it first"):
            open_source(str(src))


def test_parquet_keeps_other_columns_and_names_its_sets(tmp_path):
    import pyarrow
    import pyarrow.parquet

    for name, number in (("train", 3), ("test", 2)):
        table = {"image": [b"x"] * number, "label": list(range(number)), "raw": [b"y"] * number}
        pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / f"{name}-00000-of-00001.parquet", row_group_size=1)
    source = open_source(str(tmp_path))
    assert source.about == '2 Parquet files with 5 images (images: "image"): test 2, train 3'
    names = [s.name for s in source.samples()]
    assert names[1:3] == ["test-00000-of-00001.parquet/000001", "train-00000-of-00001.parquet/000000"]
    assert [dict(s.extra) for s in source.parts[1].samples(1, 3)] == [{"label": 1}, {"label": 2}]


def test_the_same_paths_in_another_folder(tmp_path):
    files(tmp_path / "lists", **{"l.csv": "path\na.jpg\n"})
    made(tmp_path / "photos", "a.jpg")
    source = open_source(str(tmp_path / "lists/l.csv"), images=str(tmp_path / "photos"))
    assert [(s.name, str(s.image)) for s in source.samples()] == [("a.jpg", str(tmp_path / "photos/a.jpg"))]


def test_bare_names_of_images_in_a_folder(tmp_path):
    """Flickr8k: captions.txt beside Images/, with a header and five captions of each image."""
    text = "image,caption\na.jpg,one\na.jpg,two\nb.jpg,three\n"
    files(tmp_path, **{"captions.txt": text, "Images/a.jpg": "x", "Images/b.jpg": "x"})
    source = open_source(str(tmp_path))
    assert source.layout == "list"
    assert captions(source) == {"Images/a.jpg": "one", "Images/a.jpg#2": "two", "Images/b.jpg": "three"}
    assert source.warnings == ("captions.txt: 1 row with an image that a row before has; each is a sample",)
    assert not source.left_out


def test_a_list_that_cannot_be_used_is_said(tmp_path):
    files(tmp_path, **{"a.jpg": "x", "metadata.jsonl": '{"image_id": 3, "text": "t"}\n', "sub/metadata.csv": "a,b\n"})
    source = open_source(str(tmp_path))
    assert source.layout == "folder"
    assert [warning.partition(":")[0] for warning in source.warnings] == [
        *("metadata.jsonl is not used", "sub/metadata.csv is not used"),
    ]


def test_options_that_the_layout_has_no_use_for(tmp_path):
    made(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match=r"--column is for the layouts imagefolder, .*; this is a folder of 1 image"):
        open_source(str(tmp_path), columns={"image": "x"})
    with pytest.raises(UsageError, match="--images is for the layouts"):
        open_source(str(tmp_path), images=str(tmp_path))


def test_a_folder_with_nothing_but_a_list_of_urls(tmp_path):
    (tmp_path / "urls.jsonl").write_text('{"url": "https://example.org/a.jpg", "caption": "c"}')
    [sample] = open_source(str(tmp_path)).samples()
    assert "is a URL" in sample.problem


def test_a_pattern_of_images_and_their_captions(tmp_path):
    files(tmp_path, **{"a.jpg": "x", "a.txt": "one", "b.txt": "x"})
    source = open_source(str(tmp_path / "*"))
    assert captions(source) == {"a.jpg": "one"}
    assert dict(source.left_out.suffixes) == {".txt": 1}
