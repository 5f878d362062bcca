"""Captions of images: networks that write them (CoCa, BLIP), decoding, and where captions are kept.

`cn.caption.create.caption_image(image)` is the short way in; `open_captioner` gives one that does many images.
"""
