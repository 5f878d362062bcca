"""The commands of the figures, with the names of the files that they write."""

from collections.abc import Sequence

from tools.gallery.figure import Command, Settings
from tools.gallery.scenes import SEED


def scene(out: str, number: int, *kinds: str) -> Command:
    """Render scene `number` with the map of each kind: `map_of` and `rendering_of` say where they are."""
    words = ["cn", "dataset", "synth", out, "--count", "1", *_repeated("--cond", kinds)]
    words += ["--seed", str(SEED), "--start", str(number)]
    several = len(kinds) > 1
    maps = tuple(map_of(out, number, kind if several else None) for kind in kinds)
    return Command(tuple(words), (*maps, rendering_of(out, number, kinds[0] if several else None)))


def map_of(out: str, number: int, kind: str | None = None) -> str:
    """The condition map of a scene; `kind` where `scene` was given several."""
    return f"{_folder(out, kind)}/source/{number:06d}.png"


def rendering_of(out: str, number: int, kind: str | None = None) -> str:
    return f"{_folder(out, kind)}/target/{number:06d}.png"


def sample(
    settings: Settings,
    *words: str,
    kinds: Sequence[str] = (),
    prompts: Sequence[str] = (),
    count: int = 1,
    out: str = "samples",
    passes: int = 1,
) -> Command:
    """`cn sample` of `count` seeds for each prompt; `kinds` are those of the --cond in `words`.

    `passes` is 2 where each image is sampled twice (automatic prompts).
    """
    line = ["cn", "sample", *words, *_repeated("--prompt", prompts)]
    line += ["--count", str(count)] if count > 1 else []
    made = tuple(name for row in samples(out, kinds, len(prompts), count) for name in row)
    return Command((*line, *_steps(settings), "--out", out), made, len(made) * passes)


def samples(out: str, kinds: Sequence[str], prompts: int, count: int) -> list[list[str]]:
    """The files of `sample`: for each prompt those of all seeds."""
    prefix = f"{out}/{'-'.join(kinds) or 'base'}"
    heads = [f"{prefix}-prompt{number + 1}" for number in range(prompts)] if prompts > 1 else [prefix]
    return [[f"{head}-seed{seed}.png" for seed in range(count)] for head in heads]


def sample_folder(settings: Settings, pattern: str, names: Sequence[str], prompt: str, out: str = "samples") -> Command:
    """`cn sample` of many conditions; `names` are the files that it writes below `out`."""
    line = ("cn", "sample", "--cond", pattern, "--prompt", prompt, *_steps(settings), "--out", out)
    return Command(line, tuple(f"{out}/{name}" for name in names), len(names))


def train(out: str, *words: str) -> Command:
    """`cn train` into the folder `out`, which goes on where it was stopped."""
    line = ("cn", "train", *words, "--out", out)
    return Command(line, (f"{out}/config.toml",), again=("cn", "train", "--resume", out))


def draw(what: str, out: str, *words: str) -> Command:
    """An input that is drawn by `tools.gallery.inputs`."""
    return Command(("python", "-m", "tools.gallery.inputs", what, out, *words), (out,))


def detect(kind: str, source: str, out: str, *words: str) -> Command:
    return Command(("cn", "detect", kind, source, out, *words), (out,))


def _folder(out: str, kind: str | None) -> str:
    return out if kind is None else f"{out}/{kind}"


def _repeated(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _steps(settings: Settings) -> tuple[str, ...]:
    return () if settings.steps is None else ("--steps", str(settings.steps))
