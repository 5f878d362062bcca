"""Pretraining of the bundled weights: from scratch, on the built-in scenes, in sessions that can resume.

    render → autoencoder → denoiser (U-Net and text encoder) → control-canny | -depth | -openpose → evaluate → install

`python -m cn.pretrain STAGE … --work DIR` runs the named stages; `make weights` runs them all.
"""
