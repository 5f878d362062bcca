"""Latents of a dataset's images and embeddings of its captions, kept beside it: `SET/cache/KEY/`.

`make` writes them (`cn dataset cache`), `find` looks for those that fit a run of `cn train`, `reader` reads them.
"""
