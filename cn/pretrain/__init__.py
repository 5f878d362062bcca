"""How the bundled weights are made: from nothing, on the built-in scenes, in legs that can be stopped and resumed.

    render → autoencoder → denoiser (U-Net and text tower) → control canny | depth | openpose → evaluate → pack

`python -m cn.pretrain STAGE --work DIR` runs one leg of one stage; `make weights` runs them all.
"""
