"""The experiments of the paper on the bundled base, by `cn train` and `cn eval` themselves: `make paper`.

    settings → arms of an experiment → runs (an arm with a seed) → records (JSON) → claims and verdicts → docs/paper.md

A run is done once: its record says with which options, data and weights, and a run whose record says the same is left
out. `python -m tools.paper --help` lists the options.
"""
