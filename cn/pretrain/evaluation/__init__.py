"""Parts of the evaluation of the bundled weights on held-out scenes; `cn.pretrain.evaluate` puts them together."""
