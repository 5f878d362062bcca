"""The Python interface gives what the commands give, and loads nothing until it is called."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cn import api, images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError, WeightsError
from tests.helpers.cli import cn, program_environment
from tests.helpers.detect_cases import house
from tests.helpers.sampling import write_condition, write_control


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(house()).save(tmp_path / "house.png")
    return tmp_path / "house.png"


@pytest.fixture
def weights(tmp_path, tiny_base_file):
    write_control(tmp_path / "control.safetensors", tiny_base_file)
    return {"base": tiny_base_file, "control": tmp_path / "control.safetensors"}


def test_importing_it_loads_neither_torch_nor_numpy():
    script = (
        "import sys; from cn import api; sys.exit(bool({'torch', 'numpy', 'cv2', 'PIL', 'typer'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("canny", {"low": 50, "high": 120}, ["--low", "50", "--high", "120"]),
        ("canny", {"resolution": 128}, ["--resolution", "128"]),
        ("canny", {"random": True, "seed": 3}, ["--random-thresholds", "--seed", "3"]),
        ("hough", {"method": "lsd"}, ["--method", "lsd"]),
        ("scribble", {"method": "gradient"}, ["--method", "gradient"]),
    ],
)
def test_detect_gives_the_file_that_the_command_writes(photo, tmp_path, kind, settings, words):
    found = api.detect(kind, photo, **settings)
    assert found.kind == kind
    assert not found.empty
    found.save(tmp_path / "api.png")
    assert cn("detect", kind, photo, tmp_path / "cn.png", *words).returncode == 0
    assert (tmp_path / "api.png").read_bytes() == (tmp_path / "cn.png").read_bytes()


def test_detect_takes_arrays_and_pillow_images(photo):
    array = house()
    expected = api.detect("canny", photo).map
    for image in (array, Image.fromarray(array), Image.fromarray(array).convert("RGBA"), str(photo)):
        assert np.array_equal(api.detect("canny", image).map, expected)
    gray = api.detect("canny", array[..., 0])
    assert np.array_equal(gray.map, api.detect("canny", np.repeat(array[..., :1], 3, axis=2)).map)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("coffee", house()), UsageError, "unknown condition"),
        (("canny", house().astype(np.float32)), InputError, "image: must be uint8"),
        (("canny", np.zeros((4, 4, 4), np.uint8)), InputError, "1 or 3 channels, not 4"),
        (("canny", np.zeros((0, 4, 3), np.uint8)), InputError, r"not uint8 \(0, 4, 3\)"),
        (("canny", "missing.png"), InputError, "missing.png"),
        (("hough", house(), "score", 2.0), UsageError, "--score must be between 0 and 1"),
        (("canny", house(), "nonsense", 1), UsageError, "canny: .*nonsense"),
        (("canny", house(), "method", "x"), UsageError, "canny has no methods"),
        (("hed", house(), "method", "x"), UsageError, "--method is hed, tin or gradient"),
        (("hed", house(), "hands", True), UsageError, "hed finds no hands"),
    ],
)
def test_wrong_arguments_of_detect_are_errors_of_ours(arguments, error, message):
    kind, image, *setting = arguments
    with pytest.raises(error, match=message):
        api.detect(kind, image, **dict([setting] if setting else []))


def test_missing_weights_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="cn weights pull dpt-hybrid"):
        api.detect("depth", house())


def test_sample_gives_the_file_that_the_command_writes(weights, tmp_path):
    write_condition(tmp_path / "canny.png")
    options = {"steps": 2, "seed": 5, "count": 2}
    samples = api.sample("a house", cond=tmp_path / "canny.png", **weights, strength=0.5, **options)
    words = ["--cond", tmp_path / "canny.png", "--control", weights["control"], "--base", weights["base"]]
    words += ["--prompt", "a house", "--steps", 2, "--seed", 5, "--count", 2, "--strength", 0.5, "--out", "out"]
    done = cn("sample", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for number, one in enumerate(samples):
        one.save(tmp_path / "api.png")
        assert (tmp_path / "api.png").read_bytes() == (tmp_path / f"out/canny-seed{5 + number}.png").read_bytes()


@pytest.mark.parametrize("loaded", [False, True])
def test_a_control_for_inpainting_gives_the_file_that_the_command_writes(weights, tmp_path, loaded):
    write_condition(tmp_path / "canny.png")
    picture, mask = tmp_path / "picture.png", tmp_path / "mask.png"
    images.write(picture, house()[:64, :64])
    images.write(mask, np.repeat(np.arange(64) < 24, 64).reshape(64, 64).astype(np.uint8) * 255)
    file = write_control(tmp_path / "inpaint.safetensors", weights["base"], kind="inpaint")
    inpaint = api.load_control(file) if loaded else file
    given = {"image": picture, "mask": mask, "inpaint_control": inpaint, "steps": 2, "strength": [0.5, 0.8]}
    (made,) = api.sample("a house", cond=tmp_path / "canny.png", **weights, **given)
    made.save(tmp_path / "api.png")
    words = ["--cond", tmp_path / "canny.png", "--control", weights["control"], "--base", weights["base"], "-q"]
    words += ["--image", picture, "--mask", mask, "--inpaint-control", file, "--prompt", "a house"]
    words += ["--steps", 2, "--strength", 0.5, "--strength", 0.8, "--out", tmp_path / "command.png"]
    done = cn("sample", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api.png").read_bytes() == (tmp_path / "command.png").read_bytes()
    del given["strength"], given["inpaint_control"]
    (without,) = api.sample("a house", cond=tmp_path / "canny.png", **weights, **given)
    assert not np.array_equal(without.image, made.image)


def test_networks_that_are_loaded_serve_several_calls(weights, tmp_path):
    base, control = api.load_base(weights["base"]), api.load_control(weights["control"])
    assert control.kind == "canny"
    edges = api.detect("canny", house())
    for prompt in ("a house", "a tree"):
        loaded = api.sample(prompt, cond=edges, base=base, control=control, steps=2)
        named = api.sample(prompt, cond=edges, base=weights["base"], control=weights["control"], steps=2)
        assert np.array_equal(loaded[0].image, named[0].image)
        assert loaded[0].text == named[0].text


def test_sample_takes_arrays_lists_and_no_condition_at_all(weights):
    array = np.repeat(house()[:64, :64], 1, axis=0)
    with pytest.warns(UserWarning, match="condition [12]: looks like a photograph"):
        two = api.sample(["a", "b"], cond=[array, array], **weights, strength=[1.0, 0.5], steps=1, seed=3)
    assert [(s.prompt, s.seed) for s in two] == [("a", 3), ("b", 3)]
    (alone,) = api.sample(base=weights["base"], steps=1)
    assert alone.image.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"steps": 0}, UsageError, "--steps must be between 1 and 1000"),
        ({"control": "canny"}, UsageError, "control= needs a condition"),
        ({"cond": np.zeros((64, 64, 3), np.uint8)}, UsageError, "condition 1: .*name its control"),
        ({"base": "nothing.safetensors"}, WeightsError, "nothing.safetensors"),
        ({"inpaint_control": "x"}, UsageError, "sees the image around a mask: give --image and --mask"),
        ({"device": "gpu7"}, UsageError, "--device"),
    ],
)
def test_wrong_arguments_of_sample_are_errors_of_ours(options, error, message):
    with pytest.raises(error, match=message):
        api.sample("a", **{"steps": 1, **options})


def test_unknown_options_are_named():
    with pytest.raises(UsageError, match="sample has no option 'nonsense'"):
        api.sample("a", nonsense=1)
    with pytest.raises(UsageError, match="train has no option 'stps'"):
        api.train("canny", stps=1)


def test_a_plain_script_may_train(weights, tmp_path):
    """Without the guard that processes need: nothing runs twice."""
    script = tmp_path / "script.py"
    script.write_text(
        "from cn import api\nprint('once')\n"
        f"print(api.train('depth', out='run', base={str(weights['base'])!r}, size=64, steps=1, scenes=2, batch_size=1,"
        " preview_every=0).step)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, env=program_environment()
    )
    assert (done.returncode, done.stdout) == (0, "once\n1\n"), done.stderr


def test_train_gives_the_control_that_the_command_gives(weights, pair_set, tmp_path):
    options = {"data": str(pair_set), "base": str(weights["base"]), "size": 64, "batch_size": 1, "preview_every": 0}
    losses = []
    done = api.train(
        "depth", out=tmp_path / "api", steps=2, workers=0, on_step=lambda step: losses.append(step.loss), **options
    )
    assert (done.step, done.control) == (2, tmp_path / "api/control.safetensors")
    assert len(losses) == 2
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    words += ["--cond", "depth", "--out", tmp_path / "cn", "--steps", 2, "--workers", 0]
    assert cn("train", *words).returncode == 0
    assert (tmp_path / "cn/control.safetensors").read_bytes() == done.control.read_bytes()
    again = api.train(resume=tmp_path / "api", steps=3, workers=0)
    assert again.step == 3


def test_evaluate_gives_the_report_that_the_command_writes(weights, pair_set, tmp_path):
    options = {"count": 3, "steps": 1, "prompts": "none", "data": str(pair_set), "base": str(weights["base"])}
    given = {"cond": "depth", "device": "cpu"}
    report = api.evaluate("none", out=tmp_path / "api", **options, **given)
    words = [word for name, value in {**options, **given}.items() for word in (f"--{name}", str(value))]
    assert cn("eval", "none", *words, "--out", tmp_path / "cn").returncode == 0
    assert (tmp_path / "api/report.json").read_bytes() == (tmp_path / "cn/report.json").read_bytes()
    assert report.controls == []
    assert len(report.none.scores["edge F1 with the image"].own) == 3
    with pytest.raises(UsageError, match="evaluate has no option 'steeps'"):
        api.evaluate("none", steeps=3)


def test_progress_is_shown_on_request_only(weights, capsys):
    api.sample("a", base=weights["base"], steps=2)
    assert capsys.readouterr().err == ""
    api.sample("a", base=weights["base"], steps=2, count=3, progress=True)
    assert "6/6" in capsys.readouterr().err


def test_a_map_that_is_saved_says_what_it_is(photo, tmp_path):
    api.detect("canny", photo).save(tmp_path / "edges.png")
    info = ConditionInfo.from_text(images.read_info(tmp_path / "edges.png"))
    assert info is not None
    assert info.kind == "canny"


def test_maps_and_samples_show_themselves_in_notebooks(photo, weights):
    edges = api.detect("canny", photo)
    assert np.array_equal(images.decode(edges._repr_png_(), "x")[..., 0], edges.map)
    (sample,) = api.sample("a", base=weights["base"], steps=1)
    assert np.array_equal(images.decode(sample._repr_png_(), "x"), sample.image)


def test_a_file_that_changes_is_read_again(photo, tmp_path):
    before = api.detect("canny", photo).map
    Image.fromarray(house()[::-1].copy()).save(photo)
    assert not np.array_equal(api.detect("canny", photo).map, before)
