"""Dataset records, folders, scenes, condition maps and batches."""

import json
import threading
from functools import partial

import numpy as np
import pytest

from cn import images
from cn.conditions import KINDS
from cn.data.batch import collate
from cn.data.examples import Example
from cn.data.folder import FolderDataset
from cn.data.frame import centered
from cn.data.maps import condition_info, condition_map, shows_person
from cn.data.prefetch import fetch_ahead, map_ordered
from cn.data.records import complete_records, iterate_records
from cn.data.scenes import SceneDataset, render_examples
from cn.data.seeds import EVAL_SEED, TRAIN_SEED, check_training_seed
from cn.detect.lines.canny import canny
from cn.errors import InputError, PartialError, UsageError
from cn.scenes import describe, render
from tests.conftest import write_pairs
from tests.helpers.jobs import die, square_out_of_order


def test_a_folder_without_records_says_what_is_needed(tmp_path):
    for path, message in ((tmp_path, r"no prompt\.json in it"), (tmp_path / "x", "no such file or folder")):
        with pytest.raises(InputError, match=message):
            list(iterate_records(path))


def test_complete_records_leave_out_an_incomplete_line(tmp_path):
    file = write_pairs(tmp_path, 2) / "prompt.json"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"source": "sour')
    pairs, length = complete_records(file)
    assert (len(pairs), length) == (2, len(whole))
    assert complete_records(tmp_path / "none") == ([], 0)


def test_squares_keep_colors_of_discrete_maps_and_average_smooth_ones():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 10:50:2] = 200  # the centered square is columns 10 to 49: stripes of one pixel
    frame = centered(40, 60, (20, 20))
    smooth, discrete = frame.apply(image, "smooth"), frame.apply(image, "discrete")
    assert smooth.shape == discrete.shape == (20, 20, 3)
    assert set(np.unique(discrete)) <= {0, 200}
    assert set(np.unique(smooth)) == {100}
    assert set(np.unique(centered(40, 60, (80, 80)).apply(image, "discrete"))) == {0, 200}


def test_pairs_of_different_sizes_meet_at_the_training_size(tmp_path):
    data = write_pairs(tmp_path, 1)
    gradient = np.linspace(0, 255, 128, dtype=np.uint8)[None, :, None].repeat(128, 0).repeat(3, 2)
    images.write(data / "target/0.png", gradient)
    images.write(data / "source/0.png", gradient[::2, ::2])
    example = FolderDataset.open(data, 64, "depth")[0]
    assert example.target.shape == example.condition.shape == (64, 64, 3)
    assert np.abs(example.target.astype(int) - example.condition).max() <= 2


def test_a_broken_pair_is_skipped_and_many_are_an_error(tmp_path):
    pairs = FolderDataset.open(write_pairs(tmp_path, 4), 64, "depth")
    (tmp_path / "source/1.png").write_text("text")
    (tmp_path / "target/2.png").write_bytes((tmp_path / "target/2.png").read_bytes()[:100])
    got = pairs.fetch(1)
    assert np.array_equal(got.example.target, pairs[3].target)
    assert ["not an image but text" in m or "broken or cut off" in m for m in got.skipped] == [True, True]
    assert pairs.fetch(0).skipped == ()
    for i in (0, 3):
        (tmp_path / f"source/{i}.png").unlink()
    with pytest.raises(InputError, match="4 pairs in a row"):
        pairs.fetch(2)


def test_stated_kind(tmp_path):
    assert FolderDataset.open(write_pairs(tmp_path / "a", 1), 64, "depth").stated_kind() == "depth"
    assert FolderDataset.open(write_pairs(tmp_path / "b", 1, kind=None), 64, "depth").stated_kind() is None


@pytest.mark.parametrize("kind", KINDS)
def test_scene_pairs_are_functions_of_kind_size_seed_and_number(kind):
    pairs = SceneDataset(kind, 64, start=2)
    one, again, shifted = pairs[1], SceneDataset(kind, 64, start=3)[0], pairs[2]
    assert np.array_equal(one.target, again.target)
    assert np.array_equal(one.condition, again.condition)
    assert one.prompt == again.prompt != ""
    assert not np.array_equal(one.target, shifted.target)
    assert one.target.shape == one.condition.shape == (64, 64, 3)
    assert one.condition.any()
    assert one.info is not None
    assert one.info.kind == kind
    other = SceneDataset(kind, 64, seed=EVAL_SEED, start=2)[1]
    assert not np.array_equal(one.target, other.target)


def test_maps_of_all_kinds_come_from_one_rendering():
    together = render_examples(KINDS, 64, 0, 5)
    assert set(together) == set(KINDS)
    assert all(e.target is together["canny"].target for e in together.values())
    assert np.array_equal(together["canny"].condition[..., 0], canny(together["canny"].target))
    depth = together["depth"].condition
    assert (int(depth.min()), int(depth.max())) == (0, 255)


@pytest.mark.parametrize("kind", ["openpose", "openpifpaf"])
def test_poses_show_somebody(kind):
    pairs = SceneDataset(kind, 64)
    assert sum(all(item.person is None for item in describe(0, i).items) for i in range(12)) >= 2
    assert all(pairs[i].condition.any() for i in range(12))
    empty = next(i for i in range(50) if all(item.person is None for item in describe(0, i).items))
    assert not shows_person(render(describe(0, empty), 64))


def test_random_thresholds_differ_by_scene_and_are_written_down():
    pairs, fixed = SceneDataset("canny", 64, random_maps=True), SceneDataset("canny", 64)
    infos = [pairs[i].info for i in range(6)]
    assert len({json.dumps(info.params) for info in infos}) > 3
    for i, info in enumerate(infos):
        edges = canny(fixed[i].target, info.params["low"], info.params["high"])
        assert np.array_equal(pairs[i].condition[..., 0], edges)
    assert fixed[0].info == condition_info("canny")


def test_both_kinds_of_poses_show_the_same_scenes():
    poses = [SceneDataset(kind, 64) for kind in ("openpose", "openpifpaf")]
    for number in range(8):
        one, other = (scenes[number] for scenes in poses)
        assert np.array_equal(one.target, other.target)


def test_unknown_kinds_and_the_reserved_seed_are_refused():
    with pytest.raises(UsageError, match="unknown condition"):
        SceneDataset("sketch", 64)
    with pytest.raises(UsageError, match="unknown condition"):
        condition_map(render(describe(0, 0), 16), "sketch")
    assert check_training_seed(TRAIN_SEED) == 0
    with pytest.raises(UsageError, match="reserved"):
        check_training_seed(EVAL_SEED)


def test_tensors_have_the_ranges_of_the_networks():
    target, condition = (np.full((8, 16, 3), v, np.uint8) for v in (0, 255))
    target[0, 0, 0] = 255
    batch = collate([Example(target, condition, "a"), Example(condition, target, "b")])
    assert batch.target.shape == batch.hint.shape == (2, 3, 8, 16)
    assert (batch.target.min(), batch.target.max()) == (-1, 1)
    assert (batch.hint.min(), batch.hint.max()) == (0, 1)
    assert batch.target[0, 0, 0, 0] == 1  # red is channel 0
    assert batch.prompts == ["a", "b"]


@pytest.mark.parametrize("workers", [0, 2])
def test_ordered_results_and_errors_at_their_turn(tmp_path, workers):
    got = []
    with pytest.raises(InputError, match="six"):
        got.extend(map_ordered(partial(square_out_of_order, tmp_path if workers else None), range(9), workers))
    assert list(map_ordered(partial(square_out_of_order, None), range(5), workers)) == [0, 1, 4, 9, 16]
    assert got == [0, 1, 4, 9, 16, 25]


def test_a_killed_worker_is_an_error_not_a_hang():
    with pytest.raises(PartialError, match="worker process died"):
        list(map_ordered(die, range(20), 2))


def test_fetching_ahead_keeps_order_is_bounded_and_closes():
    taken, full, closed = [], threading.Event(), threading.Event()

    def numbers():
        try:
            for n in range(100):
                taken.append(n)
                if len(taken) == 2 + 3 + 1:  # two used, three in the queue, one in hand
                    full.set()
                yield n
        finally:
            closed.set()

    ahead = fetch_ahead(numbers(), 3)
    assert [next(ahead), next(ahead)] == [0, 1]
    assert full.wait(60)
    ahead.close()
    assert len(taken) == 2 + 3 + 1
    assert closed.is_set()

    def failing():
        yield 1
        raise InputError("later")

    ahead = fetch_ahead(failing(), 3)
    assert next(ahead) == 1
    with pytest.raises(InputError, match="later"):
        next(ahead)
    assert list(fetch_ahead((n for n in range(5)), 2)) == [0, 1, 2, 3, 4]
