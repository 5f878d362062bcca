"""Make the golden values of weighted prompts with AUTOMATIC1111's web UI: see README.md in this folder.

    python -m tests.golden.make_prompts FOLDER          (from the repository's root)

FOLDER holds three files of its modules/: prompt_parser.py, sd_hijack_clip.py and sd_emphasis.py, version 1.10. Of what
they import, `lark` has to be installed; the rest is replaced here. Its networks are not needed: the states that it
weights are those of our text encoder, which has golden values of its own.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer

from cn.model.text import TextEncoder
from tests.golden import cases
from tests.helpers import model_helpers as helpers


def web_ui(folder: str) -> ModuleType:
    """Its module sd_hijack_clip, with the settings that it has by default."""
    package = ModuleType("modules")
    package.__path__ = [folder]
    options = SimpleNamespace(
        emphasis="Original",
        comma_padding_backtrack=20,
        use_old_emphasis_implementation=False,
        textual_inversion_add_hashes_to_infotext=False,
    )
    none = SimpleNamespace(find_embedding_at_position=lambda tokens, position: (None, None))
    hijack = SimpleNamespace(embedding_db=none, fixes=None, extra_generation_params={})
    stand_ins = {
        "modules": package,
        "modules.shared": SimpleNamespace(opts=options),
        "modules.devices": SimpleNamespace(device=torch.device("cpu"), torch_npu_set_device=lambda: None),
        "modules.sd_hijack": SimpleNamespace(StableDiffusionModelHijack=object, model_hijack=hijack),
    }
    for name, module in stand_ins.items():
        sys.modules[name] = module
        setattr(package, name.rpartition(".")[2], module)
    return importlib.import_module("modules.sd_hijack_clip")


def embedder(clip: ModuleType, layout: str):
    config = helpers.TEXTS[layout]
    tower = helpers.fill(TextEncoder(config)).requires_grad_(False)
    tokenizer = SimpleTokenizer()

    class Embedder(clip.FrozenCLIPEmbedderWithCustomWordsBase):
        def __init__(self):
            super().__init__(torch.nn.Module(), clip.sd_hijack.model_hijack)
            self.comma_token, self.id_pad = tokenizer.encoder[",</w>"], config.pad_id
            self.id_start, self.id_end = 49406, 49407

        def tokenize(self, texts):
            return [tokenizer.encode(text) for text in texts]

        def encode_with_transformers(self, tokens):
            return tower(tokens)

    return Embedder()


def main(folder: str) -> None:
    clip = web_ui(folder)
    found, arrays = {}, {}
    for layout in ("sd1", "sd2"):
        model = embedder(clip, layout)
        for number, prompt in enumerate(cases.WEIGHTED_PROMPTS):
            chunks, _ = model.tokenize_line(prompt)
            found[prompt] = [
                {
                    "tokens": (inner := c.tokens[1:-1])[: inner.index(49407) if 49407 in inner else 75],
                    "weights": c.multipliers[1 : 1 + (inner.index(49407) if 49407 in inner else 75)],
                }
                for c in chunks
            ]
            arrays[f"{layout}.{number}"] = cases.thin_text(model([prompt])).numpy()
    path = Path(__file__).parent
    (path / "prompts.json").write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    np.savez_compressed(path / "prompts.npz", **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
