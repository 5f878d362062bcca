"""README.md and docs/: their commands run, their options exist, their links lead somewhere, their tables are true."""

import json

import pytest

from tests.helpers import doc_files, doc_pages, doc_shell
from tests.helpers.cli import cn
from tests.helpers.doc_pages import PAGES, ROOT, Block

README = ROOT / "README.md"
MARKS = {"files", "slow", "needs weights", "example"}
OF_OTHER_PROGRAMS = {"--extra-index-url"}
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@pages
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch):
    """One folder for a page: its commands follow each other as a reader types them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CN_OFFLINE", "1")
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "weights"))
    names: dict[str, object] = {}
    for block in doc_pages.blocks(page):
        if block.mark("needs weights") is not None or block.mark("example") is not None:
            continue
        if block.language == "console":
            for command, code, errors in doc_shell.run_block(block, doc_files.prepare):
                assert code == 0, f"{page.name}:{block.line}: {command} ended with {code}:\n{errors}"
        elif block.language == "python":
            for name in block.mark("files") or ():
                doc_files.prepare(name)
            exec(compile("\n".join(block.lines), f"{page.name}:{block.line}", "exec"), names)


@pages
def test_the_marks_of_blocks_are_known_ones(page):
    for block in doc_pages.blocks(page):
        where = f"{page.name}:{block.line}"
        assert {mark.partition(":")[0].strip() for mark in block.marks} <= MARKS, where
        assert set(block.mark("files") or ()) <= set(doc_files.MAKERS), where
        assert block.mark("needs weights") != [], f"{where}: which weights?"
        assert block.language in ("console", "python", "text", "json", "toml", "bibtex"), where
        assert block.language != "console" or list(block.commands()), f"{where}: no command behind '$ '"


@pages
def test_commands_and_options_exist(page):
    for words in (*doc_shell.cn_commands(page), *doc_pages.inline_commands(page)):
        assert doc_shell.unknown_options(words) == [], f"{page.name}: {' '.join(words)}"
    known = doc_shell.options_of(doc_shell.tree()) | doc_shell.pretrain_options() | OF_OTHER_PROGRAMS
    assert doc_pages.options(doc_pages.prose(page)) - known == set()
    for words in doc_pages.inline_options(page):
        assert doc_shell.unknown_choices(doc_shell.tree(), words) == [], f"{page.name}: {' '.join(words)}"


@pages
def test_links_lead_to_files_and_headings(page):
    for link in doc_pages.links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in doc_pages.anchors(target), f"{page.name}: {link}"


def test_the_weights_that_pages_name_are_published():
    listed = [json.loads(line) for line in cn("weights", "list", "--json").stdout.splitlines()]
    published = {record["name"] for record in listed}
    named = {name for page in PAGES for block in doc_pages.blocks(page) for name in block.mark("needs weights") or ()}
    for page in PAGES:
        for words in doc_shell.cn_commands(page):
            if words[1:3] == ["weights", "pull"] and "--kind" not in words:
                named |= {word for word in words[3:] if not word.startswith("-")}
    sd = {"sd15", "sd21", "control-sd15"}  # of Stable Diffusion's size: what people bring
    assert named - sd <= published


@pages
def test_tables_are_those_that_the_code_gives(page):
    from tools import doc_tables

    for name, table in doc_pages.tables(page).items():
        assert table == doc_tables.TABLES[name]().strip(), f"{page.name}: python -m tools.doc_tables writes this table"


def test_the_readme_is_a_front_door():
    text = README.read_text(encoding="utf-8")
    assert 90 <= len(text.splitlines()) <= 120
    assert "https://arxiv.org/abs/2302.05543v1" in text
    for command in ("make demo", "make test"):
        assert command in "\n".join(text.splitlines()[:20])
    assert set(doc_pages.tables(README)) == {"commands", "conditions"}


def test_every_page_and_every_image_is_linked():
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in doc_pages.links(page)}
    files = {path for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".jpg", ".png")}
    assert files - linked == set()


def test_a_command_line_is_read_as_a_shell_reads_it():
    assert doc_pages.split("cn a 'b # c' \"d | e\" | cn f -  # g") == [["cn", "a", "b # c", "d | e"], ["cn", "f", "-"]]
    block = Block("console", ("$ cn a |", "      cn b", "an answer", "$ cn c \\", "    d"), 1)
    assert list(block.commands()) == [[["cn", "a"], ["cn", "b"]], [["cn", "c", "d"]]]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("cn sample --cond a.png", []),
        ("cn sample --condition a.png", ["--condition"]),
        ("cn detect KIND SRC DST --resolution 512", []),
        ("cn detect canny a.png b.png --method lsd", ["--method"]),
        ("cn detct canny", ["detct"]),
        ("cn detect openpifpaf a.png b.png --style released", []),
        ("cn detect openpifpaf a.png b.png --style openpose", ["--style openpose"]),
        ("cn detect openpose a.png b.png --style=pifpaf", ["--style pifpaf"]),
        ("cn detect hed a.png b.png --method METHOD", []),
    ],
)
def test_unknown_options_and_commands_are_found(line, wrong):
    assert doc_shell.unknown_options(line.split()) == wrong


def test_unknown_choices_in_the_text_are_found():
    tree = doc_shell.tree()
    assert doc_shell.unknown_choices(tree, ["--style", "openpose"]) == ["--style openpose"]
    # Each is a choice of some command; --min-keypoints takes any number.
    for words in (["--style", "pifpaf"], ["--style", "v1.1"], ["--min-keypoints", "0.3"], ["--style", "STYLE"]):
        assert doc_shell.unknown_choices(tree, words) == []


def test_slow_commands_keep_all_but_their_numbers():
    words = ["cn", "train", "--cond", "depth", "--steps", "600", "--resume", "runs/depth"]
    assert doc_shell.shortened(words) == [*words[:5], "2", *words[6:], "--preview-every", "0"]
    words = ["cn", "sample", "--cond", "a.png", "--count", "4"]
    assert doc_shell.shortened(words) == [*words[:-1], "2", "--steps", "1", "--size", "128x128"]
