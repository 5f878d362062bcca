"""`cn train --config`: a run's own config.toml given back, and a few lines of one's own; runs of earlier versions."""

import re
from dataclasses import replace

import pytest

from cn import app, options
from cn.errors import InputError, UsageError, WeightsError
from cn.train import task as tasks
from cn.train.config import TrainConfig
from cn.train.given_file import read_options, with_file
from tests.helpers.training import CPU, begin, resume, same, train, weights

EARLIER = """\
cond = "depth"
data = {data!r}
scenes = 256
size = 64
random_thresholds = true
cache = true
base = {base!r}
base_sha256 = "{sha256}"
prediction = ""
init_from = ""
init_sha256 = ""
links = "full"
unlock = "none"
condition_encoder = "paper"
steps = 2
batch_size = 2
accumulate = 1
lr = 0.001
prompt_drop = 0.5
seed = 0
save_every = 500
preview_every = 0
precision = "fp32"
checkpoint_activations = false
"""
"""What version 0.1 wrote; `data` was one path, "" for the built-in scenes."""


def cn(*words: object) -> int:
    return app.run([str(word) for word in words])


def written(folder, text: str):
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_a_runs_own_configuration_makes_the_same_run(tmp_path, tiny_base_file, pair_set):
    one, again = tmp_path / "one", tmp_path / "again"
    task = begin(
        one, tiny_base_file, pair_set, steps=2, seed=3, prompt_drop=0.25, zero_init="gaussian", betas=(0.8, 0.9)
    )
    train(task)
    for source in (one, one / "config.toml"):
        repeated = tasks.begin(again, with_file(source, {}), CPU)
        assert repeated.config == task.config
    train(repeated)
    assert same(weights(one), weights(again))


def test_what_is_given_beside_it_wins(tmp_path, tiny_base_file, pair_set, capsys):
    run = tmp_path / "one"
    train(begin(run, tiny_base_file, pair_set, steps=1, seed=3))
    words = ["train", "--config", run / "config.toml", "--out", tmp_path / "two", "--device", "cpu", "-q"]
    assert cn(*words, "--steps", 0, "--seed", 4, "--preview-every", 0) == 0
    config = TrainConfig.load(tmp_path / "two")
    assert (config.steps, config.seed, config.batch_size) == (0, 4, 2)
    later = tasks.begin(tmp_path / "three", with_file(run, {"large_scale_after": 1, "steps": 2}), CPU).config
    assert (later.unlock, later.large_scale_after) == ("all", 1)
    assert cn("train", "--config", run, "--out", run, "--device", "cpu") == 3
    assert "is not empty" in capsys.readouterr().err


def test_lines_of_ones_own_are_spelled_as_options_or_as_fields(tmp_path):
    text = 'cond = "pose"\ndata = "mine"\nbatch-size = 7\nsmall-scale = true\ncond_encoder = "released"\n'
    text += 'precision = "auto"\n'
    assert read_options(written(tmp_path, text)) == {
        "cond": "openpose",
        "data": ("mine",),
        "batch_size": 7,
        "links": "middle",
        "condition_encoder": "released",
        "precision": "auto",
    }
    assert read_options(written(tmp_path, "large_scale = true\nlr = 1\n")) == {"unlock": "all", "lr": 1}
    assert read_options(written(tmp_path, "large_scale = false\nsmall_scale = false")) == {}
    assert read_options(written(tmp_path, "data = ['a', 'b']\nrepeats = [1, 2]")) == {
        "data": ("a", "b"),
        "repeats": (1, 2),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize = 3", "unknown option 'batchsize'; 'batch_size' may be meant"),
        ("learning_rat = 3", "unknown option 'learning_rat'"),
        ("[training]\nlr = 1", "unknown option 'training'"),
        ("small-skale = true", "'small_scale' may be meant"),
        ("batch_size = 0", "--batch-size must be at least 1, not 0"),
        ("batch_size = '4'", "--batch-size must be a whole number, not '4'"),
        ("repeats = ['x']", "--repeats must be a whole number, not 'x'"),
        ("repeats = [0]", "--repeats must be at least 1, not 0"),
        ("data = [1]", "--data must be a string, not 1"),
        ("betas = [0.9]", "--betas must be 2 values, not (0.9,)"),
        ("compile = 1", "--compile must be true or false, not 1"),
        ("unlock = 'some'", "--unlock must be all or decoder, not 'some'"),
        ("cond = 'sketch'", "unknown condition"),
        ("batch_size = 1\nbatch-size = 2", "--batch-size is given twice"),
        ("lr = ", "is not valid TOML"),
        ("= 1", "is not valid TOML"),
        ("\x00", "is not valid TOML"),
    ],
)
def test_wrong_files_are_named_with_what_is_wrong(text, message, tmp_path, capsys):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        read_options(written(tmp_path, text))
    assert "own.toml" in str(refused.value)
    assert len(str(refused.value)) < 300


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read_options(path)
    (tmp_path / "own.toml").write_bytes(b'cond = "\xff"')
    with pytest.raises(InputError, match="is not valid TOML"):
        read_options(tmp_path / "own.toml")
    with pytest.raises(UsageError, match="--config is for a new run"):
        with_file(tmp_path, {}, resume=tmp_path)


def test_another_base_or_start_than_the_files_is_refused_until_it_is_given(tmp_path, tiny_base_file, pair_set):
    base = tmp_path / "base.safetensors"
    base.write_bytes(tiny_base_file.read_bytes())
    first = tmp_path / "first"
    train(begin(first, base, pair_set, steps=1))
    second = tmp_path / "second"
    train(begin(second, base, pair_set, steps=0, init_from=str(first)))
    train(resume(first, steps=2))
    with pytest.raises(WeightsError, match=r"has the SHA-256 \w{12}…, but .* was made with .* give --init-from"):
        tasks.begin(tmp_path / "third", with_file(second, {}), CPU)
    given = with_file(second, {"init_from": str(first)})
    assert tasks.begin(tmp_path / "third", given, CPU).config.init_sha256 != TrainConfig.load(second).init_sha256
    data = bytearray(base.read_bytes())
    data[-1] ^= 1
    base.write_bytes(data)
    with pytest.raises(WeightsError, match="give --base to take this one"):
        tasks.begin(tmp_path / "third", with_file(first, {}), CPU)
    assert tasks.begin(tmp_path / "third", with_file(first, {"base": str(base)}), CPU).config.base_sha256


def test_a_run_of_an_earlier_version_resumes_and_is_given_back(tmp_path, tiny_base_file, pair_set):
    run, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    task = begin(run, tiny_base_file, pair_set, steps=2)
    train(task)
    text = EARLIER.format(data=str(pair_set), base=str(tiny_base_file), sha256=task.config.base_sha256)
    (run / "config.toml").write_text(text)
    # It did not say how many images an optimizer step takes.
    assert TrainConfig.load(run) == replace(task.config, global_batch=0)
    repeated = tasks.begin(tmp_path / "again", with_file(run, {}), CPU)
    assert repeated.config == task.config
    train(resume(run, steps=3))
    train(begin(uninterrupted, tiny_base_file, pair_set, steps=3))
    assert same(weights(run), weights(uninterrupted))
    scenes = EARLIER.format(data="", base=str(tiny_base_file), sha256="")
    assert options.from_toml(TrainConfig, scenes).data == ()
