"""What `cn dataset cache` does: open the base, plan, check the disk, encode."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cn.checkpoints.read.load import open_base
from cn.checkpoints.read.recognize import recognize
from cn.data.pairs import Pairs
from cn.devices import choose_device
from cn.errors import InputError, UsageError
from cn.files import check_space, sha256_of_all
from cn.model.base import Base
from cn.precision import Precision
from cn.train.cache.key import CENTER, CacheKey, caches_folder
from cn.train.cache.make import CachePlan, Report, make_cache, plan_cache
from cn.units import bytes_text

GPU_BATCH = 8
IMAGES_PER_PROCESS = 12
"""Starting a process costs about as much as decoding so many."""


@dataclass(frozen=True)
class CacheJob:
    """A cache that is to be made, or brought up to date."""

    pairs: Pairs
    base: Base
    plan: CachePlan

    @property
    def missing(self) -> int:
        """Images in the files that are missing."""
        return sum(shard.stop - shard.start for shard in self.plan.latents if shard.path in self.plan.missing)

    def plan_rows(self) -> dict[str, str | None]:
        """The plan in words, as name → value rows."""
        plan, key = self.plan, self.plan.key
        return {
            "base": f"{key.base}, {key.base_sha256[:12]}",
            "images": f"{len(plan.images):,}, {self._shapes()}",
            "captions": f"{len(plan.prompts):,} different ones" if plan.prompts else "not encoded (--no-text)",
            "computing": f"{self.base.device}, kept in {key.precision}",
            "disk": f"{bytes_text(plan.total)}, {bytes_text(plan.needed) if plan.needed else 'nothing'} to be written",
            "cache": str(plan.folder),
        }

    def _shapes(self) -> str:
        size = self.plan.key.size
        if self.plan.key.max_ratio is None:
            return f"the largest centered square of each at {size}×{size}"
        shapes = len({image.shape for image in self.plan.images})
        return f"in {shapes} shapes of the area of {size}×{size} (--buckets)"

    def run(
        self, *, batch_size: int | None, workers: int, advance: Callable[[int], None] = lambda count: None
    ) -> Report:
        """Encode what is missing: see `make_cache`. InputError, too, where most images are broken."""
        batch = batch_size or (1 if self.base.device.type == "cpu" else GPU_BATCH)
        processes = min(workers, self.missing // IMAGES_PER_PROCESS)
        report = make_cache(self.pairs, self.base, self.plan, batch_size=batch, workers=processes, advance=advance)
        if 2 * len(report.broken) > len(self.plan.images):
            first = report.broken[0]
            raise InputError(
                f"{len(report.broken)} of {len(self.plan.images)} images cannot be read; the first: {first}"
            )
        return report


def open_job(
    pairs: Pairs,
    file: Path,
    *,
    size: int | None,
    precision: Precision,
    device: str,
    text: bool = True,
    crop: str = CENTER,
) -> CacheJob:
    """Load a base and compare the dataset with its cache; nothing is written.

    Raises UsageError for a size that the base cannot have, and for images that are not on this machine; InputError
    where the disk has no room; WeightsError where the file is no base.
    """
    caches_folder(pairs.root)
    base = open_base(file, choose_device(device))
    size = size or base.config.image_size
    if size % base.config.size_multiple:
        raise UsageError(f"--size must be a multiple of {base.config.size_multiple} for this base, not {size}")
    plan = plan_cache(pairs, base, CacheKey(base.sha256, base.config.name, size, precision, crop), text=text)
    check_space(plan.folder, plan.needed, "the cache")
    return CacheJob(pairs, base, plan)


def base_hash(file: Path) -> str:
    """The hash that caches know a base by."""
    return sha256_of_all(recognize(file).files)
