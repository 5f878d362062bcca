"""The adapters of low_rank.npz: the factors of one layer each, as kohya's and LyCORIS's files name them."""

from dataclasses import dataclass

from torch import Tensor

from tests.helpers.model_helpers import uniform

INPUTS, OUTPUTS = 6, 8


@dataclass(frozen=True)
class Case:
    alpha: float
    shapes: dict[str, tuple[int, ...]]
    conv: bool = False
    rank: int = 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return (OUTPUTS, INPUTS, 3, 3) if self.conv else (OUTPUTS, INPUTS)


def _loha(columns: int) -> dict[str, tuple[int, ...]]:
    return {f"hada_w{k}_{side}": shape for k in (1, 2) for side, shape in (("a", (8, 2)), ("b", (2, columns)))}


_TUCKER = {f"hada_w{k}_a": (2, 8) for k in (1, 2)} | {f"hada_w{k}_b": (2, 6) for k in (1, 2)}

CASES = {
    "lora linear": Case(1.0, {"down": (2, 6), "up": (8, 2)}),
    "lora conv": Case(4.0, {"down": (2, 6, 3, 3), "up": (8, 2, 1, 1)}, conv=True),
    "loha linear": Case(1.0, _loha(6)),
    "loha conv": Case(3.0, _loha(54), conv=True),
    "loha conv tucker": Case(1.0, {"hada_t1": (2, 2, 3, 3), "hada_t2": (2, 2, 3, 3), **_TUCKER}, conv=True),
    "lokr linear": Case(3.0, {"lokr_w1": (2, 2), "lokr_w2_a": (4, 1), "lokr_w2_b": (1, 3)}, rank=1),
    "lokr linear whole": Case(2.0, {"lokr_w1": (2, 2), "lokr_w2": (4, 3)}),
    "lokr conv": Case(1.0, {"lokr_w1": (2, 2), "lokr_w2_a": (4, 1), "lokr_w2_b": (1, 27)}, conv=True, rank=1),
    "lokr conv whole": Case(2.0, {"lokr_w1": (2, 2), "lokr_w2": (4, 3, 3, 3)}, conv=True),
    "lokr conv tucker": Case(
        2.0,
        {"lokr_w1": (2, 2), "lokr_t2": (1, 1, 3, 3), "lokr_w2_a": (1, 4), "lokr_w2_b": (1, 3)},
        conv=True,
        rank=1,
    ),
}


def factors(case: str) -> dict[str, Tensor]:
    return {name: uniform(f"{case}/{name}", shape) for name, shape in CASES[case].shapes.items()}
