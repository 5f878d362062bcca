"""The layouts that datasets are written in. Imports nothing heavy."""

from typing import Literal, get_args

Layout = Literal["webdataset", "imagefolder", "parquet", "prompt.json"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PROMPT_JSON: Layout = "prompt.json"
