"""The CLIP score, with a tiny CLIP of open_clip whose weights are random."""

import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cn.data.examples import Example
from cn.errors import UsageError, WeightsError
from cn.eval.clip import ClipScorer
from tests.helpers.photos import photo

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """Its name, the file of its weights, and the model itself."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-clip-of-tests.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder / "tiny-clip-of-tests.json")
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-clip-of-tests", pretrained=None).eval()
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, folder / "clip.safetensors")
    return "tiny-clip-of-tests", folder / "clip.safetensors", model


def test_it_is_the_cosine_of_image_and_prompt(tiny_clip):
    name, file, model = tiny_clip
    scorer = ClipScorer.open(file, name, CPU)
    images = [photo(1), photo(2, 120, 64), photo(3)]
    prompts = ["a red house", "two trees at night", "word " * 200]
    examples = [Example(image, image, prompt) for image, prompt in zip(images, prompts, strict=True)]
    found = scorer.compare(scorer.given(examples), scorer.found(images))
    transform = open_clip.image_transform(
        32, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD
    )
    with torch.inference_mode():
        a = model.encode_image(torch.stack([transform(Image.fromarray(image)) for image in images]))
        b = model.encode_text(open_clip.tokenize(prompts))
        expected = 100 * torch.cosine_similarity(a, b).clamp(min=0)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3)
    assert found.max() > 0
    assert scorer.compare([np.array([1.0, 0])], [np.array([-1.0, 0])]) == [0]
    assert scorer.description()["detector"] == f"open_clip {name}"


def test_wrong_models_and_files_are_refused(tiny_clip, tmp_path):
    name, file, _ = tiny_clip
    with pytest.raises(UsageError, match="no CLIP that is called 'nothing'"):
        ClipScorer.open(file, "nothing", CPU)
    with pytest.raises(WeightsError, match="--clip-weights"):
        ClipScorer.open(tmp_path / "missing.safetensors", name, CPU)
    with pytest.raises(WeightsError, match="not the weights of this network"):
        ClipScorer.open(file, "RN50", CPU)
    with pytest.raises(UsageError, match="no CLIP"):
        ClipScorer.open(file, "coca_ViT-B-32", CPU)
