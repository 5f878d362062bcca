"""People from maps: the published decoders' results, known poses found again, and what must hold for any maps."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from cn.detect import hands
from cn.detect.fields import Fields, Layer, cubic, enlargement, smoothing
from cn.detect.grouping import HEAT, LIGHT, LINKS, MOST_PEAKS, OPENPOSE, Bond, Peaks, _match, decode, find_peaks, merged
from cn.detect.keypoints import enough, find_people, found_share, layer, limited, openpose_fields
from cn.detect.nets.openpose import BodyNetwork, HandNetwork
from cn.detect.nets.openpose_light import LightBodyNetwork
from tests.golden import make_detectors_pose as made
from tests.model_helpers import uniform
from tests.pose_fields import maps_of, placed

CASES = list(made.SIZES)


def golden(name):
    with np.load(made.FILE) as file:
        return file[name]


def given_maps(network, maps):
    """A network of this class that gives prepared maps, whatever it sees."""

    class Given(network):
        def __init__(self):
            nn.Module.__init__(self)
            self.nothing = nn.Parameter(torch.zeros(1))
            self.seen = []

        def forward(self, x):
            self.seen.append(x)
            return maps(x)

    return Given()


def perfect(people, size, network=BodyNetwork, looks_at=368):
    """A perfect network for these people in a picture of this size, which it sees `looks_at` pixels high."""
    unit = size[0] / looks_at

    def maps(x):
        seen = people.copy()
        if network is LightBodyNetwork:
            # This one has the picture in the middle of what it sees.
            seen[..., 0] += (x.shape[3] - round(size[1] / unit)) // 2 * unit
        both = maps_of(seen, (x.shape[2] // 8, x.shape[3] // 8), 8 * unit)
        return tuple(torch.from_numpy(m)[None].expand(len(x), -1, -1, -1) for m in both)

    return given_maps(network, maps)


# The mathematics of fields


@pytest.mark.parametrize(("old", "new"), [(1, 5), (2, 9), (23, 184), (184, 512), (184, 37), (100, 333), (7, 7), (9, 1)])
def test_cubic_is_that_of_opencv(old, new):
    maps = uniform("cubic", (old, old + 3)).numpy()
    enlarged = cv2.resize(maps, (new + 2, new), interpolation=cv2.INTER_CUBIC)
    assert np.abs(cubic(old, new) @ maps @ cubic(old + 3, new + 2).T - enlarged).max() < 1e-5


@pytest.mark.parametrize("size", [1, 2, 5, 12, 13, 40])
def test_smoothing_is_that_of_scipy_at_any_size(size):
    maps = uniform("smooth", (size, size)).double().numpy()
    eye = smoothing(np.eye(size), 3.0)
    assert np.abs(eye @ maps @ eye.T - gaussian_filter(maps, sigma=3)).max() < 1e-12


def two_scales():
    """Fields from maps of two sizes, and the whole mean maps made with OpenCV."""
    size, layers, total = (90, 130), [], np.zeros((90, 130, 3))
    for number, (seen, cells) in enumerate((((92, 133), (12, 17)), ((184, 266), (23, 34)))):
        maps = uniform(f"scale {number}", (3, *cells)).numpy()
        layers.append(layer(maps / 2, seen, size))
        large = cv2.resize(maps.transpose(1, 2, 0), None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
        large = np.ascontiguousarray(large[: seen[0], : seen[1]])
        total += cv2.resize(large, size[::-1], interpolation=cv2.INTER_CUBIC) / 2
    return Fields(layers), total.transpose(2, 0, 1)


def test_fields_are_the_mean_of_enlarged_maps():
    fields, total = two_scales()
    assert (fields.height, fields.width) == (90, 130)
    for channel in range(3):
        assert np.abs(fields.whole(channel) - total[channel]).max() < 1e-5
        smooth = gaussian_filter(total[channel], sigma=3)
        assert np.abs(fields.smoothed(3.0).whole(channel) - smooth).max() < 1e-5


@pytest.mark.parametrize("count", [1, 50, 400, 40_000])
@pytest.mark.parametrize("exact", [True, False])
def test_single_values_are_those_of_the_whole(count, exact):
    fields, total = two_scales()
    rng = np.random.default_rng(count)
    y, x = rng.integers(0, 90, count), rng.integers(0, 130, count)
    values = fields.at([2, 0], y, x, exact)
    assert values.shape == (count, 2)
    assert np.abs(values - total[[2, 0]][:, y, x].T).max() < 1e-5


def test_no_value_above_the_least_is_outside_of_the_rows_and_columns_that_are_named():
    heat, _ = maps_of([placed(0, 40, 20, 60)], (12, 17), 8)
    fields = Fields([layer(heat, (90, 130), (90, 130))])
    for channel, (rows, columns) in enumerate(fields.above(18, HEAT)):
        whole = fields.whole(channel)
        y, x = np.nonzero(whole >= HEAT)
        # With their neighbours.
        for step in (-1, 0, 1):
            assert np.isin(np.clip(y + step, 0, 89), rows).all()
            assert np.isin(np.clip(x + step, 0, 129), columns).all()
        assert len(rows) < 90
        assert np.array_equal(fields.part(channel, rows, columns), whole[np.ix_(rows, columns)])


# The published decoders


def prepared(name, network, looks_at):
    height = made.SIZES[name][0]

    def maps(x):
        both = made.prepared(name, (x.shape[2] // 8, x.shape[3] // 8), 8 * height / looks_at)
        return tuple(torch.from_numpy(m)[None] for m in both)

    return given_maps(network, maps)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("kind", "network", "looks_at"), [("body", BodyNetwork, 184), ("light", LightBodyNetwork, 256)]
)
def test_people_are_those_of_the_published_decoder(kind, network, looks_at, name):
    given_network = prepared(name, network, looks_at)
    (found,) = find_people(given_network, made.picture(name, made.SIZES[name])[None])
    reference = golden(f"{kind}/{name}/people")
    assert found.keypoints.dtype == np.float64
    assert found.keypoints.shape == reference.shape
    assert np.abs(found.keypoints - reference).max(initial=0) < 1e-3
    assert np.abs(found.scores - golden(f"{kind}/{name}/scores")).max(initial=0) < 1e-4
    assert np.array_equal(made.seen(given_network.seen[0]), golden(f"{kind}/{name}/seen"))


def test_the_cases_are_hard():
    counts = {name: (len(golden(f"body/{name}/people")), len(golden(f"light/{name}/people"))) for name in CASES}
    assert counts["ten"] == (10, 10)
    assert counts["none"] == (0, 0)
    assert min(counts["noise a"]) > 20


@pytest.mark.parametrize("name", CASES)
def test_hands_are_looked_for_where_the_release_looks(name):
    size = made.SIZES[name]
    squares = [
        (*square, is_left)
        for person in golden(f"body/{name}/people").astype(np.float64)
        for square, is_left in zip(hands.hand_squares(person, size), (1, 0), strict=True)
        if square
    ]
    assert np.array_equal(np.array(squares).reshape(-1, 4), golden(f"body/{name}/hands"))


@pytest.mark.parametrize(("name", "side"), made.HANDS.items())
def test_key_points_of_hands_are_those_of_the_release(name, side):
    network = given_maps(HandNetwork, lambda x: made.hand_maps(name, x, side))
    found = hands.decode(hands.hand_fields(network, made.picture(name, (side, side))))
    assert np.array_equal(found[:, :2], golden(f"hands/{name}"))
    assert [x.shape[2] for x in network.seen] == [184, 368, 552, 736]
    assert np.flatnonzero(found[:, 2] == 0).tolist() == [3, 10, 17]


# Known poses


def matched(people, found):
    """Distances (n, 18) from the joints of `people` to those of whoever was found nearest; inf where not found."""
    rows = []
    for person in people:
        candidates = np.where(found[..., 2] > 0, np.hypot(*(found - person)[..., :2].transpose(2, 0, 1)), np.inf)
        rows.append(candidates[np.argmin(np.minimum(candidates, 50).mean(axis=1))])
    return np.array(rows)


def scene(name):
    """(people, size) of a case."""
    crowded = [placed(n, 10 + n % 5 * 100, 12 + n // 5 * 180, 88) for n in range(10)]
    cases = {
        "one": ([placed(0, 60, 40, 260)], (368, 368)),
        "another": ([placed(9, 90, 30, 300)], (368, 480)),
        "ten": (crowded, (368, 512)),
        "overlapping": ([placed(4, 60, 40, 260), placed(1, 150, 70, 250)], (368, 480)),
        "cropped": ([placed(0, 60, -30, 300), placed(6, 330, 200, 300)], (368, 480)),
        "none": ([], (368, 368)),
    }
    people, size = cases[name]
    found = np.array(people).reshape(-1, 18, 3)
    inside = (found[..., :2] >= 0).all(axis=-1) & (found[..., 0] < size[1]) & (found[..., 1] < size[0])
    return found * inside[..., None], size


@pytest.mark.parametrize("kind", ["body", "light"])
def test_known_poses_are_found_again(kind):
    """At least 99 of 100 visible joints within 4 pixels, and nobody who is not there."""
    distances = []
    for name in ("one", "another", "ten", "overlapping", "cropped", "none"):
        people, size = scene(name)
        network, looks_at = (BodyNetwork, 368) if kind == "body" else (LightBodyNetwork, 256)
        given_network = perfect(people, size, network, looks_at)
        (found,) = find_people(given_network, np.zeros((1, *size, 3), np.uint8), scales=(1.0,))
        assert len(found.keypoints) == len(people) == len(found.scores), name
        if len(people):
            off = matched(people, found.keypoints)
            assert np.isinf(off[people[..., 2] == 0]).all(), f"{name}: a joint that is outside was found"
            distances.append(off[people[..., 2] > 0])
    assert (np.concatenate(distances) <= 4).mean() >= 0.99


def test_two_looks_find_what_one_finds():
    people, size = scene("ten")
    network = perfect(people, size)
    network.forward = lambda x: [
        torch.from_numpy(m)[None]
        for m in maps_of(people, (x.shape[2] // 8, x.shape[3] // 8), 8 * size[0] / (736 if x.shape[2] > 368 else 368))
    ]
    (found,) = find_people(network, np.zeros((1, *size, 3), np.uint8), scales=(1.0, 2.0))
    assert len(found.keypoints) == 10
    assert (matched(people, found.keypoints) <= 4).mean() >= 0.99


def test_the_picture_is_seen_blue_first_and_grey_beside_it():
    image = np.zeros((1, 100, 90, 3), np.uint8)
    image[..., 0] = 200
    network = perfect(np.zeros((0, 18, 3)), (100, 90))
    heat, affinities = next(openpose_fields(network, image, scales=(0.5, 1.0)))
    assert (heat.height, heat.width) == (affinities.height, affinities.width) == (100, 90)
    small, large = network.seen
    # 0.5 * 368 / 100 of 90 columns are 166: two of 168 are added.
    assert (tuple(small.shape), tuple(large.shape)) == ((1, 3, 184, 168), (1, 3, 368, 336))
    assert small[0, :, 0, 0].tolist() == pytest.approx([-0.5, -0.5, 200 / 256 - 0.5])
    assert (small[0, :, :, 166:] == 0).all()
    assert (small[0, 0, :, :166] == -0.5).all()


def test_very_wide_pictures_are_looked_at_less_closely():
    assert limited(368, 100, 800) == 368
    assert limited(368, 100, 1600) == 184
    network = perfect(np.zeros((0, 18, 3)), (3, 240))
    (found,) = find_people(network, np.zeros((1, 3, 240, 3), np.uint8))
    assert network.seen[0].shape == (1, 3, 24, 1472)
    assert found.keypoints.shape == (0, 18, 3)


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (90, 1)])
def test_tiny_pictures_have_nobody_and_break_nothing(size):
    network = perfect(np.zeros((0, 18, 3)), size)
    assert [len(found.keypoints) for found in find_people(network, np.zeros((2, *size, 3), np.uint8))] == [0, 0]


# What must hold for any maps


def decoded(maps, stride=4):
    """People in maps (19 and 38, h, w), enlarged `stride` times."""
    heat, affinities = maps
    down, across = (cubic(cells, cells * stride) for cells in heat.shape[1:])
    return decode(Fields([Layer(heat, down, across)]), Fields([Layer(affinities, down, across)]), OPENPOSE)


def some_people(seed, count=3):
    rng = np.random.default_rng(seed)
    places = [(20 + 90 * n + rng.uniform(-8, 8), rng.uniform(15, 60), rng.uniform(80, 130)) for n in range(count)]
    return np.array([placed(int(rng.integers(12)), *place) for place in places])


def sorted_people(people):
    return people[np.lexsort(people[:, :, 0].T)]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 5), st.integers(0, 5))
def test_maps_that_move_move_the_people(seed, down, right):
    maps = maps_of(some_people(seed), (50, 80), 4)
    # Nothing near a border, where the cubic goes on with the last cell.
    before = [np.pad(m * (np.abs(m) > 1e-3), ((0, 0), (4, 9), (4, 9))) for m in maps]
    after = [np.roll(m, (down, right), axis=(1, 2)) for m in before]
    (people, scores), (moved, same_scores) = decoded(before), decoded(after)
    assert len(people)
    there = people[..., 2:] > 0
    assert np.allclose(moved, people + there * np.array([4 * right, 4 * down, 0]), atol=1e-9)
    assert np.allclose(scores, same_scores)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_the_order_of_people_does_not_matter(seed, order):
    people = some_people(seed, count=4)
    first, second = (decoded(maps_of(p, (50, 100), 4))[0] for p in (people, people[order]))
    assert len(first)
    assert np.allclose(sorted_people(first), sorted_people(second), atol=1e-5)


def test_mirrored_maps_give_mirrored_peaks():
    heat, _ = maps_of(some_people(3), (50, 80), 4)
    eye = np.eye(50), np.eye(80)
    plain, mirrored = (find_peaks(Fields([Layer(h, *eye)]), OPENPOSE) for h in (heat, heat[:, :, ::-1]))
    for one, other in zip(plain, mirrored, strict=True):
        assert sorted(zip(one.y, one.x, strict=True)) == sorted(zip(other.y, 79 - other.x, strict=True))


def test_noise_is_bounded():
    noise = np.abs(uniform("noise", (19, 120, 120)).numpy())
    maps = (noise, uniform("flow", (38, 120, 120)).numpy())
    fields = Fields([Layer(noise, np.eye(120), np.eye(120))])
    peaks = find_peaks(fields, OPENPOSE)
    assert max(len(found.x) for found in peaks) <= MOST_PEAKS
    people, scores = decoded(maps, stride=1)
    assert people.shape == (len(scores), 18, 3)
    assert np.isfinite(people).all()


def test_of_too_many_peaks_the_highest_are_kept(monkeypatch):
    heat = np.zeros((18, 40, 60))
    for number in range(5):
        heat[0, 20, 6 + 12 * number] = 10 + number
    fields = Fields([Layer(heat, np.eye(40), np.eye(60))])
    assert find_peaks(fields, OPENPOSE)[0].x.tolist() == [6, 18, 30, 42, 54]
    monkeypatch.setattr("cn.detect.grouping.MOST_PEAKS", 3)
    found = find_peaks(fields, OPENPOSE)
    assert found[0].x.tolist() == [30, 42, 54]
    assert found[0].heat.tolist() == [12, 13, 14]
    assert len(found[1].x) == 0


@pytest.mark.parametrize(("rules", "kept", "lost"), [(OPENPOSE, 0.24, 0.16), (LIGHT, 0.13, 0.11)])
def test_people_of_whom_the_maps_are_unsure_are_dropped(rules, kept, lost):
    """Heat and affinities together must reach 0.4 a joint, or 0.2; both fields have the same strength here."""
    heat, affinities = maps_of(some_people(1, count=1), (50, 40), 4)
    eye = np.eye(50), np.eye(40)
    for strength, count in ((kept, 1), (lost, 0)):
        maps = (strength * heat, strength * affinities)
        people, _ = decode(*(Fields([Layer(m, *eye)]) for m in maps), replace(rules, sigma=0.0))
        assert len(people) == count


def test_equal_neighbours_are_both_peaks_as_published():
    heat = np.zeros((18, 30, 30))
    heat[2, 15, 14:16] = 20
    assert find_peaks(Fields([Layer(heat, np.eye(30), np.eye(30))]), OPENPOSE)[2].x.tolist() == [14, 15]


def test_limbs_are_matched_greedily_each_end_once():
    score = np.array([[0.9, 0.8, -np.inf], [0.85, -np.inf, -np.inf], [0.1, 0.3, 0.2]])
    assert _match(score) == [Bond(0, 0, 0.9), Bond(2, 1, 0.3)]
    assert _match(np.full((2, 2), -np.inf)) == []


def bonds(**found):
    """Bonds by the numbers of their links: l3=[(start, end)], each with score 1."""
    listed = [[] for _ in LINKS]
    for name, pairs in found.items():
        listed[int(name[1:])] = [Bond(a, b, 1.0) for a, b in pairs]
    return listed


def two_peaks():
    return [Peaks(np.zeros(3, int), np.zeros(3, int), np.full(3, 0.5)) for _ in range(18)]


def test_people_with_nothing_in_common_are_merged_by_a_limb_between_them():
    # Neck to right shoulder, left elbow to left wrist; then neck to left shoulder and, between both, shoulder to elbow.
    rows = merged(two_peaks(), bonds(l0=[(0, 0)], l5=[(0, 0)], l1=[(0, 0)], l4=[(0, 0)]))
    assert len(rows) == 1
    assert [joint for joint, number in enumerate(rows[0].joints) if number == 0] == [1, 2, 5, 6, 7]
    # Five joints of 0.5 and four limbs of 1, but a joint that joins two people is not counted.
    assert rows[0].count == 5
    assert rows[0].total == pytest.approx(5 * 0.5 + 4)


def test_a_limb_between_people_who_share_joints_goes_to_the_first():
    rows = merged(two_peaks(), bonds(l0=[(0, 0), (1, 1)], l2=[(0, 0), (1, 1)], l17=[(0, 2)]))
    assert [row.joints[2] for row in rows] == [0, 1]
    assert [row.joints[16] for row in rows] == [2, -1]
    # Links to the ears begin nobody.
    assert merged(two_peaks(), bonds(l17=[(0, 0)], l18=[(1, 1)])) == []


# Hands, and how much of a person there is


def test_hands_are_found_at_their_place_in_the_picture():
    people = np.zeros((2, 18, 3))
    # A right arm only: shoulder, elbow, wrist.
    people[0, [2, 3, 4]] = [(60, 100, 1), (100, 100, 1), (140, 100, 1)]
    heat = torch.zeros(1, 22, 23, 23)
    heat[0, 7, 11, 17] = 1.0
    network = given_maps(HandNetwork, lambda x: heat)
    found = hands.find_hands(network, np.zeros((200, 300, 3), np.uint8), people, scales=(0.5,))
    assert found.shape == (2, 2, 21, 3)
    (square,) = [s for s in hands.hand_squares(people[0], (200, 300)) if s]
    # A third of the forearm beyond the wrist, one and a half forearms wide.
    assert square == (123, 70, 60)
    assert np.flatnonzero(found[0, 1, :, 2]).tolist() == [7]
    assert found[0, 1, 7, :2] == pytest.approx([123 + 60 * 17.5 / 23, 70 + 60 * 11.5 / 23], abs=1.5)
    found[0, 1, 7] = 0
    assert not found.any()
    assert network.seen[0].shape == (1, 3, 184, 184)


def test_arms_that_are_not_whole_or_too_small_have_no_hand():
    person = np.zeros((18, 3))
    person[[5, 6, 7]] = [(60, 100, 1), (70, 100, 1), (80, 100, 1)]
    assert hands.hand_squares(person, (200, 300)) == (None, None)
    person[[5, 6, 7], 0] *= 2
    assert hands.hand_squares(person, (200, 300))[0] == (151, 85, 30)
    person[6, 2] = 0
    assert hands.hand_squares(person, (200, 300)) == (None, None)


def test_squares_are_cut_at_the_border():
    person = np.zeros((18, 3))
    person[[2, 3, 4]] = [(250, 10, 1), (270, 10, 1), (290, 10, 1)]
    person[[5, 6, 7]] = [(100, 10, 1), (100, 50, 1), (100, 90, 1)]
    left, right = hands.hand_squares(person, (100, 300))
    assert left == (70, 73, 26)
    assert right is None


def test_the_weightiest_region_counts_and_in_it_the_highest_heat():
    heat = np.zeros((22, 60, 60))
    heat[0, 5, 5] = 5.0
    heat[0, 40:50, 30:40] = 0.4
    heat[0, 44, 33] = 0.5
    found = hands.decode(Fields([Layer(heat, np.eye(60), np.eye(60))]))
    assert found[0].tolist() == pytest.approx([33, 44, 0.5])
    assert not found[1:].any()


def test_the_share_of_a_person_and_the_papers_rule():
    people = np.zeros((2, 18, 3))
    people[0, :5] = people[1, :6] = (3, 4, 0.2)
    assert found_share(people[0]) == pytest.approx(5 / 18)
    assert not enough(people[:1])
    assert enough(people), "six of eighteen are 30 %"
    assert not enough(people, share=0.34)
    assert enough(people, share=1 / 3)
    people[1, 0, 0] = np.nan
    assert not enough(people)
    assert not enough(np.zeros((0, 18, 3)))


def test_enlargement_cuts_the_padding_off():
    maps = uniform("padding", (3, 3)).numpy()
    large = cv2.resize(maps, (24, 24), interpolation=cv2.INTER_CUBIC)[:20]
    expected = cv2.resize(np.ascontiguousarray(large), (24, 55), interpolation=cv2.INTER_CUBIC)
    assert np.abs(enlargement(3, 8, 20, 55) @ maps @ cubic(3, 24).T - expected).max() < 1e-5
