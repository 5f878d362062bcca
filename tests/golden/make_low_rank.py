"""Write low_rank.npz: what PEFT adds to a weight, for each kind of adapter and layer.

    python -m tests.golden.make_low_rank        # needs peft (0.21.2)

The factors are functions of their names (`tests.helpers.model_helpers.uniform`); `low_rank_cases` says which there are.
"""

from pathlib import Path

import numpy as np
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from torch import nn

from tests.golden.low_rank_cases import CASES, INPUTS, OUTPUTS, factors


def delta(case: str) -> np.ndarray:
    kind, layer = case.split()[:2]
    network = nn.Sequential(
        nn.Linear(INPUTS, OUTPUTS) if layer == "linear" else nn.Conv2d(INPUTS, OUTPUTS, 3, padding=1)
    )
    alpha, rank = CASES[case].alpha, CASES[case].rank
    configs = {
        "lora": lambda: LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"]),
        "loha": lambda: LoHaConfig(r=rank, alpha=alpha, target_modules=["0"], use_effective_conv2d="tucker" in case),
        "lokr": lambda: LoKrConfig(
            r=rank,
            alpha=alpha,
            target_modules=["0"],
            use_effective_conv2d="tucker" in case,
            decompose_factor=2,
        ),
    }
    adapted = get_peft_model(network, configs[kind]()).base_model.model[0]
    names = {"down": "lora_A.default.weight", "up": "lora_B.default.weight"}
    parameters = dict(adapted.named_parameters())
    given = factors(case)
    own = {n for n in parameters if "default" in n}
    used = {names.get(n) or f"{n}.default" for n in given}
    assert own == used, (case, own, used)
    with torch.no_grad():
        for name, value in given.items():
            parameter = parameters[names.get(name) or f"{name}.default"]
            assert parameter.shape == value.shape, (case, name, parameter.shape, value.shape)
            parameter.copy_(value)
        return adapted.get_delta_weight("default").numpy()


np.savez_compressed(Path(__file__).parent / "low_rank.npz", **{case: delta(case) for case in CASES})
