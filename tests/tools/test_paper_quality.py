"""What images show, how far they are from true ones, and which states of a run are looked at, of made-up numbers."""

import numpy as np
import pytest

from cn.data.scenes import SceneDataset
from cn.data.seeds import EVAL_SEED
from tools.paper.experiments import experiments
from tools.paper.quality import Looked, Reader, content, distance, prompt_wins
from tools.paper.results import Results
from tools.paper.settings import FULL
from tools.paper.spec import Run
from tools.paper.training import states


def looked(features, *words):
    return Looked(np.asarray(features, float), [frozenset(one.split()) for one in words], np.asarray(features, float))


def test_the_distance_is_zero_for_other_images_of_the_same_kind_and_grows():
    rng = np.random.default_rng(0)
    true, same = (rng.normal(3, 2, (200, 20)) for _ in range(2))
    found = [distance(looked(same + shift), looked(true)) for shift in (0, 2, 4)]
    assert abs(found[0]) < 0.1
    assert found[0] < found[1] < found[2]


def test_the_distance_is_the_same_in_other_units_and_bears_dead_features():
    rng = np.random.default_rng(0)
    true, other = rng.normal(size=(50, 6)), rng.normal(0.5, 1, (50, 6))
    expected = distance(looked(other), looked(true))
    assert distance(looked(10 * other + 7), looked(10 * true + 7)) == pytest.approx(expected)
    true[:, 0] = 0
    other[0, 0] = 1
    assert distance(looked(other), looked(true)) < 2 * expected + 1


def test_content_is_the_share_of_the_true_words():
    true = looked([[0]] * 3, "red house meadow", "dog sand", "")
    found = looked([[0]] * 3, "red house snow", "cat", "dog")
    assert content(found, true) == pytest.approx([2 / 3, 0, np.nan], nan_ok=True)


def test_who_wins_is_decided_by_what_only_one_of_both_has():
    true = looked([[0]] * 4, "red house meadow", "blue boat lake", "blue boat lake", "dog meadow")
    sampled = looked([[0]] * 4, "blue boat meadow", "blue boat", "red house", "dog meadow")
    # The prompt of image i is that of the next one; pair 1 has the same words as pair 2.
    assert prompt_wins(sampled, true) == pytest.approx([1, np.nan, 0.5, 0], nan_ok=True)


def blur(image):
    """Without what is smaller than 8 pixels."""
    coarse = image[: len(image) // 4 * 4].reshape(-1, 4, image.shape[1] // 4, 4, 3).mean((1, 3))
    return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)


def test_the_reader_sees_what_is_in_scenes():
    examples = [SceneDataset("canny", 128, EVAL_SEED)[i] for i in range(12)]
    reader = Reader("cpu")
    true = reader.look([example.target for example in examples])
    gray = reader.look([np.full_like(example.target, 128) for example in examples])
    assert true.features.shape == gray.features.shape
    assert len(true.features) == len(true.words) == 12
    assert np.nanmean(content(true, true)) == 1
    assert np.nanmean(content(gray, true)) < 0.4
    assert distance(gray, true) > distance(true, true)
    rough = reader.look([blur(example.target) for example in examples])
    assert np.nanmean(content(rough, true)) > 0.8, "the same things"
    assert distance(rough, true) > distance(true, true) + 0.05, "drawn worse"
    assert np.nanmean(prompt_wins(true, true)) == 0


def test_states_at_even_distances_and_the_last_one_are_looked_at(tmp_path):
    (arm,) = [arm for one in experiments(FULL) for arm in one.arms if arm.name == "batch-256"][:1]
    for step in (0, 12, 20, 24, 35, 144, 150):
        (tmp_path / "state" / f"step-{step:08d}").mkdir(parents=True)
    assert list(states(Run(arm, 0), FULL, tmp_path)) == [0, 12, 24, 144, 150]


def test_excess_is_measured_in_a_unit_and_until_the_convergence():
    (arm,) = [arm for one in experiments(FULL) for arm in one.arms if arm.name == "batch-256"][:1]
    distances = {"no control": 0.3, "reconstruction": 0.29, "0": 0.3, "50": 0.4, "100": 0.2, "150": 0.2}
    subjects = {name: {"distance": number} for name, number in distances.items()}
    record = {"train": {"converged_at": 60}, "evaluations": {"trajectory": {"subjects": subjects}}}
    results = Results({"batch-256-0": record})
    assert results.excess(arm, 0.2, before_convergence=True)[0] == pytest.approx(0.5)
    assert results.excess(arm, 0.2, before_convergence=False)[0] == pytest.approx(-1 / 6)
    record["train"]["converged_at"] = 10
    assert results.excess(arm, 0.2, before_convergence=True) == {}
    assert results.missing(arm, {}, "no states") == "no states"
    subjects["0"]["distance"] = 0.7
    assert results.first_harm(arm) == {0: pytest.approx(0.4)}
