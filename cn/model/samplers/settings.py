"""The settings of samplers: names, which go together, and how many steps are made. No torch: options use it."""

from typing import Literal

SamplerName = Literal["ddim", "euler", "euler-a", "dpm++2m"]
Sigmas = Literal["default", "karras"]
"""The noise levels of a sampler's steps: those of the base's timesteps, or those of Karras et al. 2022."""


def why_not_together(sampler: SamplerName, sigmas: Sigmas, eta: float) -> str | None:
    """Why these settings of sampling exclude each other; None where they do not."""
    if sampler == "ddim" and sigmas != "default":
        return f"sigmas {sigmas} is not for the sampler ddim: give euler, euler-a or dpm++2m"
    if sampler != "ddim" and eta:
        return f"eta is for the sampler ddim, not for {sampler} (euler-a adds noise at each step)"
    return None


def steps_made(n: int, denoise: float) -> int:
    """How many of `n` steps a share of them is, rounded down as in diffusers; it may be none."""
    return min(int(n * denoise), n)
