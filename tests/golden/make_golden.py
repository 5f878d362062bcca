"""Make the golden arrays with diffusers and transformers: see README.md in this folder.

    python -m tests.golden.make_golden          (from the repository's root)

Needs both packages, which the product and its tests do not. Inputs and weights are functions of names
(tests/helpers/model_helpers.py), so that only results are stored; `names.py` says what the others call each tensor.
"""

import json
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from cn.model.text import TextEncoder
from cn.model.vae import AutoencoderKL as OurVAE
from tests.golden import cases, names
from tests.helpers import model_helpers as helpers


def unet_options(layout):
    config = helpers.UNETS[layout]
    heads = [config.heads_at(w) for w in config.channels]  # diffusers calls the number of heads attention_head_dim
    return {
        "block_out_channels": config.channels,
        "attention_head_dim": heads,
        "cross_attention_dim": config.context_dim,
        "use_linear_projection": config.linear_projection,
    }


def unet(layout):
    return names.load(UNet2DConditionModel(**unet_options(layout)), helpers.unet(layout), names.unet)


def control(layout):
    return names.load(ControlNetModel(**unet_options(layout)), helpers.control(layout), names.control)


def vae():
    model = AutoencoderKL(
        block_out_channels=helpers.VAE.channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )
    return names.load(model, helpers.fill(OurVAE(helpers.VAE)), names.vae)


def text(layout):
    config = helpers.TEXTS[layout]
    options = CLIPTextConfig(
        hidden_size=config.width,
        intermediate_size=4 * config.width,
        num_attention_heads=config.heads,
        num_hidden_layers=config.run_layers,
        hidden_act="quick_gelu" if config.quick_gelu else "gelu",
        vocab_size=config.vocab_size,
    )
    return names.load_text(CLIPTextModel(options), helpers.fill(TextEncoder(config)), config.run_layers)


def scheduler(case):
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type={"eps": "epsilon", "v": "v_prediction"}[case.prediction],
        timestep_spacing=case.spacing,
        steps_offset=1 if case.spacing == "leading" else 0,
        set_alpha_to_one=case.spacing == "trailing",
        rescale_betas_zero_snr=case.zero_snr,
    )


def networks():
    out = {}
    for layout in ("sd1", "sd2"):
        x = cases.unet_inputs(layout)
        args = (x["z"], x["t"], x["text"])
        net, side = unet(layout), control(layout)
        down, middle = side(*args, x["hint"], return_dict=False)
        out[f"{layout}.eps"] = net(*args).sample
        out[f"{layout}.controlled"] = net(
            *args, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        out |= {f"{layout}.residual.{i}": cases.thin(r) for i, r in enumerate([*down, middle])}
        out[f"{layout}.text"] = cases.thin_text(text(layout)(cases.tokens(layout)).last_hidden_state)
    x = cases.vae_inputs()
    posterior = vae().encode(x["images"]).latent_dist
    out |= {"vae.mean": posterior.mean * 0.18215, "vae.std": posterior.std * 0.18215}
    out["vae.decoded"] = vae().decode(x["latents"] / 0.18215).sample
    return out


def schedules():
    out = {}
    for case in cases.DDIM:
        sampler, z = scheduler(case), cases.ddim_start()
        sampler.set_timesteps(case.steps)
        generator = torch.Generator().manual_seed(case.seed)
        for t in sampler.timesteps:
            z = sampler.step(cases.network(z, int(t)), t, z, eta=case.eta, generator=generator).prev_sample
        out[f"{case.name}.times"] = sampler.timesteps.to(torch.int32)
        out[f"{case.name}.z"] = z
    return out


def sampler_scheduler(case):
    kinds = {
        "euler": EulerDiscreteScheduler,
        "euler-a": EulerAncestralDiscreteScheduler,
        "dpm++2m": DPMSolverMultistepScheduler,
    }
    karras = {} if case.sampler == "euler-a" else {"use_karras_sigmas": case.sigmas == "karras"}
    return kinds[case.sampler](
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type={"eps": "epsilon", "v": "v_prediction"}[case.prediction],
        timestep_spacing=case.spacing,
        steps_offset=1 if case.spacing == "leading" else 0,
        rescale_betas_zero_snr=case.zero_snr,
        **karras,
    )


def samplers():
    out = {}
    for case in cases.SAMPLERS:
        sampler, generator = sampler_scheduler(case), torch.Generator().manual_seed(case.seed)
        sampler.set_timesteps(case.steps)
        z = cases.ddim_start() * sampler.init_noise_sigma
        for t in sampler.timesteps:
            prediction = cases.network(sampler.scale_model_input(z, t), float(t))
            z = sampler.step(prediction, t, z, generator=generator).prev_sample
        out[f"{case.name}.times"] = sampler.timesteps.float()
        out[f"{case.name}.z"] = z
    return out


def pictures():
    case, out = cases.PICTURE, {}
    parts = {"vae": vae(), "text_encoder": text("sd1"), "unet": unet("tiny"), "controlnet": control("tiny")}
    pipe = StableDiffusionControlNetPipeline(
        **parts,
        tokenizer=None,
        scheduler=scheduler(SimpleNamespace(prediction="eps", spacing="leading", zero_snr=False)),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    tokens = cases.picture_tokens()
    for kind in ("latent", "np"):
        out[kind] = pipe(
            prompt_embeds=parts["text_encoder"](tokens[:1]).last_hidden_state,
            negative_prompt_embeds=parts["text_encoder"](tokens[1:]).last_hidden_state,
            image=cases.picture_hint(),
            num_inference_steps=case.steps,
            guidance_scale=case.scale,
            controlnet_conditioning_scale=case.strength,
            control_guidance_end=case.end,
            eta=case.eta,
            generator=torch.Generator().manual_seed(case.seed),
            output_type=kind,
        ).images
    return {"latents": out["latent"], "picture": torch.from_numpy((out["np"] * 255).round().astype("uint8"))}


def token_ids():
    vocabulary, merges = names.clip_vocabulary()
    tokenizer = CLIPTokenizer(vocabulary, [tuple(m) for m in merges])
    ids = tokenizer(cases.PROMPTS, padding="max_length", max_length=77, truncation=True).input_ids
    return {prompt: row[: row.index(49407) + 1] for prompt, row in zip(cases.PROMPTS, ids, strict=True)}


def main():
    torch.set_grad_enabled(False)
    made = {"networks": networks(), "ddim": schedules(), "samplers": samplers(), "pictures": pictures()}
    for name, arrays in made.items():
        np.savez_compressed(helpers.GOLDEN / f"{name}.npz", **{k: v.numpy() for k, v in arrays.items()})
    lines = (f"{json.dumps(k, ensure_ascii=False)}: {json.dumps(v)}" for k, v in token_ids().items())
    (helpers.GOLDEN / "tokens.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
