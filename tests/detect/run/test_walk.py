"""Which files of a folder or pattern are taken, and what is counted of the others."""

import glob
import os
import subprocess

import pytest

from cn.detect.run import inputs
from cn.detect.run.walk import walk
from cn.errors import InputError, UsageError

SUFFIXES = frozenset({".png", ".jpg"})


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder, *pattern, recursive=False, results=()):
    keys, left_out = walk(str(folder), pattern or ("*",), SUFFIXES, results, recursive=recursive, images=True)
    return sorted(keys), left_out


PATTERNS = [
    *("*", "*.png", "**", "**/*", "**/*.png", "a/*", "a/**/*.jpg", "*/*.png", "*/*/*", "**/b/*", "**/b/**/c/*.png"),
    *("[ab]/*", "?/**", "**/?.png", "**/[!a]*/*.png", ".h*/*", "**/.h*/*.png", "a*/b*/*", "a/**/**/x.png", "**/x*"),
    *("*[[]1[]].png", "**.png", "a/./*.png"),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_match_what_pythons_glob_matches(tmp_path, pattern):
    touch(tmp_path, "x.png", "y.jpg", "z.txt", ".hidden.png", "odd[1].png", ".h/x.png", ".h/sub/y.png")
    touch(tmp_path, "a/x.png", "a/b/x.png", "a/b/c/x.png", "a/b/c/y.txt", "ab/b/x.png", "b/b/b/x.jpg", "a/.h/x.png")
    touch(tmp_path, "c/b/d/c/w.png", "d.png/x.png")
    matched = glob.glob(str(tmp_path / pattern), recursive=True)
    # Under `**` alone, glob also gives the folders themselves.
    expected = {os.path.relpath(p, tmp_path) for p in matched if os.path.isfile(p) and p.endswith((".png", ".jpg"))}
    try:
        sources = inputs.find(str(tmp_path / pattern), suffixes=SUFFIXES)
        keys = {os.path.relpath(os.path.join(sources.root, key), tmp_path) for key in sources.keys}
    except InputError:
        keys = set()
    assert keys == expected


def test_links_to_folders_are_followed_and_each_folder_is_searched_once(tmp_path):
    touch(tmp_path, "disk/one.png", "disk/deep/two.png", "set/day0/three.png")
    (tmp_path / "set/day1").symlink_to(tmp_path / "disk")
    (tmp_path / "set/day2").symlink_to(tmp_path / "disk")
    (tmp_path / "set/day0/again").symlink_to("../day0")
    keys, left_out = found(tmp_path / "set", recursive=True)
    assert keys == ["day0/three.png", "day1/deep/two.png", "day1/one.png"]
    assert left_out.text() == "2 links to what is processed already"
    assert found(tmp_path / "set", "**", "*.png")[0] == keys
    flat, left_out = found(tmp_path / "set")
    assert (flat, left_out.text()) == ([], "3 sub-folders not searched (--recursive)")


def test_a_folder_in_a_circle_gives_each_image_once(tmp_path):
    touch(tmp_path, "a.png", "sub/b.png")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "sub/up").symlink_to("..")
    for pattern, recursive in ((("**", "*.png"), False), (("*",), True), (("**",), False)):
        keys, left_out = found(tmp_path, *pattern, recursive=recursive)
        assert (keys, left_out.links) == (["a.png", "sub/b.png"], 2)


def test_a_real_path_wins_over_a_link_whatever_the_names(tmp_path):
    touch(tmp_path, "z/a.png", "outside/b.png")
    source = tmp_path / "z"
    (source / "0.png").symlink_to("a.png")
    (source / "1.png").symlink_to(tmp_path / "outside/b.png")
    (source / "2.png").symlink_to(tmp_path / "outside/b.png")
    keys, left_out = found(source)
    assert (keys, left_out.links) == (["1.png", "a.png"], 2)
    assert found(source, "[0-9].png")[0] == ["0.png", "1.png"], "a.png does not match, so its link is no second one"
    (source / "0folder").symlink_to(tmp_path / "outside")
    assert found(source, recursive=True)[0] == ["0folder/b.png", "a.png"]


def test_a_link_that_makes_a_folder_match_is_another_way_into_it(tmp_path):
    touch(tmp_path, "real/x.png", "b1/y.png")
    (tmp_path / "b2").symlink_to("real")
    assert found(tmp_path, "**", "b*", "*.png")[0] == ["b1/y.png", "b2/x.png"]
    assert found(tmp_path, "**", "*", "*.png")[0] == ["b1/y.png", "real/x.png"]


def test_hard_links_are_two_images(tmp_path):
    touch(tmp_path, "a.png")
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    assert found(tmp_path)[0] == ["a.png", "b.png"]


def test_links_that_lead_nowhere_are_taken_or_counted(tmp_path):
    (tmp_path / "gone.png").symlink_to("nothing.png")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "folder").symlink_to("/nowhere/at/all")
    keys, left_out = found(tmp_path)
    assert (keys, left_out.text()) == (["gone.png", "loop.jpg"], "1 file left out: 1 broken link")


def test_results_are_no_sources_also_through_links(tmp_path):
    touch(tmp_path, "in/a.png", "in/out/a.png", "in/out/sub/b.png")
    (tmp_path / "in/link").symlink_to("out")
    (tmp_path / "in/deep").symlink_to("out/sub")
    (tmp_path / "in/file.png").symlink_to("out/sub/b.png")
    for named in ("in/out", "in/link"):
        keys, left_out = found(tmp_path / "in", recursive=True, results=[str(tmp_path / named)])
        assert (keys, bool(left_out)) == (["a.png"], False)
    assert not found(tmp_path / "in", results=[str(tmp_path / "in/out"), str(tmp_path / "in/deep")])[1].folders


def test_results_around_the_source_hide_nothing(tmp_path):
    touch(tmp_path, "in/b/a.png")
    (tmp_path / "in/link.png").symlink_to("b/a.png")
    assert found(tmp_path / "in", results=[str(tmp_path)])[0] == ["link.png"]


def test_recursive_searches_the_folders_that_match_a_pattern(tmp_path):
    touch(tmp_path, "day1/a.png", "day1/deep/b.png", "night/c.png", "day.png")
    keys, left_out = found(tmp_path, "day*")
    assert (keys, left_out.folders) == (["day.png"], 1)
    assert found(tmp_path, "day*", recursive=True)[0] == ["day.png", "day1/a.png", "day1/deep/b.png"]


def test_what_is_left_out_is_counted_by_suffix_and_images_are_named(tmp_path):
    touch(tmp_path, "a.png", "b.txt", "c.TXT", "d.json", "README", "e.exr", "f.svg", "g.nef", "h.jpeg.part")
    touch(tmp_path, ".DS_Store", "Thumbs.db", ".hidden.exr", "notes.of the meeting")
    os.mkfifo(tmp_path / "pipe.png")
    keys, left_out = found(tmp_path)
    assert keys == ["a.png"]
    expected = {
        ".txt": 2,
        ".json": 1,
        ".exr": 1,
        ".svg": 1,
        ".nef": 1,
        ".part": 1,
        "without suffix": 2,
        "special file": 1,
    }
    assert left_out.suffixes == expected
    assert left_out.text().startswith("10 files left out: 2 .txt, 2 without suffix, 1 .exr, 1 .json")
    assert [os.path.basename(path) for path, _ in left_out.named] == ["e.exr", "f.svg", "g.nef"]
    assert "--from-depth" in left_out.named[0][1]
    record = left_out.record("in")
    assert (record["path"], record["status"], record["left_out"]) == ("in", "left out", expected)


def test_at_most_ten_are_named_the_first_by_name(tmp_path):
    touch(tmp_path, *(f"{number:02}.psd" for number in range(25)))
    _, left_out = found(tmp_path)
    lines = left_out.warnings()
    assert len(lines) == 11
    assert [os.path.basename(line.split(":")[0]) for line in lines[:10]] == [f"{n:02}.psd" for n in range(10)]
    assert lines[-1] == "15 more files like these are left out"


def test_deep_folders_are_no_trouble(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    assert found(tmp_path, recursive=True)[0] == []
    # Python's own removal of folders, which pytest uses, would exceed its recursion limit.
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)


def test_the_message_for_nothing_names_what_is_there(tmp_path):
    touch(tmp_path, "a.exr", "b.exr", "sub/c.png")
    with pytest.raises(InputError) as caught:
        inputs.find(str(tmp_path), suffixes=SUFFIXES)
    assert caught.value.what.startswith(
        "no files called ….jpg or ….png in this folder: 2 files of other kinds: 2 .exr; "
        "1 sub-folder not searched (--recursive) (a.exr holds numbers"
    )


@pytest.mark.parametrize("pattern", ["*/../a.png", "sub*/"])
def test_patterns_that_name_no_files(tmp_path, pattern):
    touch(tmp_path, "sub/a.png")
    with pytest.raises(UsageError):
        inputs.find(f"{tmp_path}/{pattern}", suffixes=SUFFIXES)


def test_a_pattern_below_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        inputs.find(f"{tmp_path}/missing/*.png", suffixes=SUFFIXES)


def test_files_that_belong_to_others_are_neither_taken_nor_left_out(tmp_path):
    touch(tmp_path, "a_depth.npy", "a_depth_mask.npy", "b.npy")
    for recursive in (False, True):
        keys, left_out = walk(
            *(str(tmp_path), ["*"], frozenset({".npy"}), ()),
            recursive=recursive,
            images=False,
            companions=frozenset({"_depth_mask.npy"}),
        )
        assert (sorted(keys), bool(left_out)) == (["a_depth.npy", "b.npy"], False)
