"""The data of a run: its datasets as one source, what is wrong with them, and the caches of their latents."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cn import options
from cn.data import mixture
from cn.data.examples import Source
from cn.data.folder import Findings, FolderDataset
from cn.data.pairs import Pairs
from cn.data.scenes import SceneDataset
from cn.data.seeds import check_training_seed
from cn.model.base import Base
from cn.text import shown
from cn.train.bucketing import Sizes, bucketed, load_sizes
from cn.train.cache.find import Found, find_cache
from cn.train.cache.several import Caches, caches
from cn.train.captions import cut_captions
from cn.train.config import TrainConfig
from cn.train.options.combinations import combination_warnings
from cn.train.options.data_checks import one_each
from cn.train.preview_conditions import read_preview_conditions
from cn.train.request import check_kind, open_pairs_of

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


def open_data(
    config: TrainConfig, base: Base, pairs: Sequence[Pairs] = (), run: Path | None = None
) -> tuple[Source, Findings, Caches | None]:
    """The data of a run (in the folder `run`, if it is resumed), what is wrong with it, and the caches of its latents.

    Where these hold all latents, the base needs no encoder any more. Raises what `open_source` raises.
    """
    known = load_sizes(run) if config.buckets and run is not None else ()
    own = read_preview_conditions(config.preview_cond, config.preview_prompt, config.cond)
    previews = [warning for condition in own for warning in condition.warnings(config.cond)]
    noted = (*combination_warnings(options.values(config)), *previews)
    source, findings = open_source(config, pairs, multiple=base.config.size_multiple, known_sizes=known)
    parts = mixture.datasets(source)
    if not parts:
        return source, replace(findings, warnings=noted), None
    cut = cut_captions(findings.prompts, base.config.text)
    factor = base.config.vae.factor
    found = [
        find_cache(part, path, config, factor) if config.cache else Found()
        for part, path in zip(parts, config.data, strict=True)
    ]
    cached = caches(source, [each.cache for each in found])
    if cached is not None and cached.complete and not config.flip and not config.trains_base:
        # A base that is trained is saved, and all of it.
        base.vae.encoder.to("meta")
    stale = [warning for each in found for warning in each.warnings]
    return source, replace(findings, warnings=(*findings.warnings, *cut, *stale, *noted)), cached


def open_source(
    config: TrainConfig,
    pairs: Sequence[Pairs] = (),
    *,
    multiple: int = 64,
    known_sizes: Sequence[Sizes] = (),
) -> tuple[Source, Findings]:
    """The run's data, and what is wrong with it.

    With buckets, the sides of images are multiples of `multiple`, and `known_sizes` are those of each dataset's images,
    where a run knows them.
    Raises InputError where most of a dataset is broken, UsageError for another kind of map and for a reserved seed.
    """
    if not config.data:
        seed, random = check_training_seed(config.seed), config.random_thresholds
        scenes = SceneDataset(config.cond, config.size, seed, random_maps=random, count=config.scenes or None)
        return scenes, Findings()
    pairs = pairs or open_pairs_of(config.data, config.cond)
    check_kind(config.cond, config.data, pairs)
    repeats = one_each(config.repeats, len(pairs))
    parts = [FolderDataset(p, config.size, config.cond, times) for p, times in zip(pairs, repeats, strict=True)]
    findings = mixture.check(parts, config.data)
    notes = flip_notes(findings.prompts) if config.flip else []
    if config.buckets:
        parts, more = bucketed(parts, config, multiple, known_sizes)
        notes += more
    return mixture.mixed(parts), replace(findings, warnings=(*findings.warnings, *notes))


def flip_notes(prompts: Sequence[str]) -> list[str]:
    """A warning where captions name sides, which are wrong in the mirror."""
    named = [prompt for prompt in prompts if _SIDES.search(prompt)]
    if not named:
        return []
    return [
        f"{len(named):,} of the {len(prompts):,} captions that were looked at say left or right, which is wrong "
        f"whenever --flip mirrors the image (first: {shown(named[0])!r})"
    ]
