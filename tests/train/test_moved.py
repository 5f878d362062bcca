"""A run that is resumed from another folder, and whose data has moved or changed meanwhile."""

import shutil

import pytest

from cn.errors import UsageError
from cn.train.config import TrainConfig
from cn.train.moved import check_moved, with_absolute_paths
from tests.conftest import write_pairs
from tests.helpers.cli import cn
from tests.helpers.training import Listener, begin, resume, same, train, weights


def test_paths_are_kept_so_that_they_are_valid_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"data": ["set", "s3://bucket/set"], "eval_data": "/other", "preview_cond": (), "steps": 3}
    assert with_absolute_paths(given) == {
        "data": (f"{tmp_path}/set", "s3://bucket/set"),
        "eval_data": "/other",
        "preview_cond": (),
        "steps": 3,
    }
    assert with_absolute_paths({"eval_data": ""}) == {"eval_data": ""}


def test_a_run_is_resumed_from_another_folder(tmp_path, monkeypatch, tiny_base_file):
    write_pairs(tmp_path / "set", 4)
    monkeypatch.chdir(tmp_path)
    options = f"--base {tiny_base_file} --preview-every 0 --batch-size 1 --quiet".split()
    assert cn("train", "--data", "set", "--steps", "1", "--out", "run", *options).returncode == 0
    monkeypatch.chdir("/")
    assert cn("train", "--resume", str(tmp_path / "run"), "--steps", "2", "--quiet").returncode == 0
    assert TrainConfig.load(tmp_path / "run").data == (f"{tmp_path}/set",)


def test_a_dataset_that_was_moved_is_named_at_its_new_place(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "set", 4)
    for name in ("moved", "straight"):
        train(begin(tmp_path / name, tiny_base_file, data, steps=2))
    train(resume(tmp_path / "straight", steps=4))
    new = shutil.move(data, tmp_path / "elsewhere")
    listener = Listener()
    train(resume(tmp_path / "moved", steps=4, data=(str(new),)), listener)
    assert listener.warnings == []
    assert TrainConfig.load(tmp_path / "moved").data == (str(new),)
    assert same(weights(tmp_path / "moved"), weights(tmp_path / "straight"))


def test_another_dataset_is_not_one_that_was_moved(tmp_path, tiny_base_file):
    run, other = tmp_path / "run", write_pairs(tmp_path / "other", 5)
    train(begin(run, tiny_base_file, write_pairs(tmp_path / "set", 4), steps=1))
    with pytest.raises(UsageError, match="these have 5 pairs, and those of the run had 4"):
        resume(run, steps=2, data=(str(other),))
    with pytest.raises(UsageError, match="the run's datasets at another place: it has 1"):
        resume(run, steps=2, data=(str(other), str(other)))


def test_data_that_has_changed_in_its_place_is_said(tmp_path, tiny_base_file):
    run, data = tmp_path / "run", write_pairs(tmp_path / "set", 4)
    train(begin(run, tiny_base_file, data, steps=1))
    write_pairs(data, 3)
    listener = Listener()
    train(resume(run, steps=2), listener)
    assert listener.warnings == [
        f"the data is not what it was ({data}: 4 → 3 pairs): from here on the order of the images is another one"
    ]
    listener = Listener()
    train(resume(run, steps=3), listener)
    assert listener.warnings == [], "the state knows it by now"


def test_states_of_earlier_versions_know_no_numbers_of_pairs():
    assert check_moved(None, [4], ["set"], given=True) is None
