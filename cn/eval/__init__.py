"""Evaluation: how well sampled images follow their conditions, by a frozen protocol."""
