"""CLIP's vocabulary in the files that transformers reads."""

from open_clip.tokenizer import SimpleTokenizer

from cn.checkpoints.write.diffusers_files import clip_merges, clip_vocabulary


def test_the_vocabulary_is_that_of_open_clip():
    tokenizer, merges = SimpleTokenizer(), clip_merges()
    ranked = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    assert merges == [" ".join(pair) for pair in ranked]
    vocabulary = clip_vocabulary(merges)
    assert len(vocabulary) == 49406
    assert {token: i for i, token in enumerate(vocabulary)}.items() <= tokenizer.encoder.items()
