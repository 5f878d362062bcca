"""Faults of all kinds in a right dataset: how many are found, by the right rule, and how many others are accused."""

from collections import Counter
from pathlib import Path

import pytest

from cn.data.lint.lint import Lint, LintSettings
from cn.model.tokens import token_count
from tests.data.lint.planted import build, plant


def check(root: Path, scenes: int, photographs: int, share: float, workers: int) -> tuple[int, int, int]:
    """(faults found by their rule, faults, right lines accused), and the table of the rules on stdout."""
    planted = build(root, scenes, photographs)
    plant(planted, share)
    places = planted.write_lines()
    run = Lint.open(root, LintSettings(workers=workers), token_count)
    found: dict[str, set[str]] = {}
    for finding in run.findings():
        for where in finding.lines:
            found.setdefault(where, set()).add(finding.rule)
    assert found.keys() <= places.keys(), "every fault is about a line of the dataset"
    all_faults = Counter(rule for rule in places.values() if rule is not None)
    caught = Counter(rule for where, rule in places.items() if rule in found.get(where, ()))
    for rule, count in sorted(all_faults.items()):
        print(f"{rule:20} {caught[rule]:3} of {count:3}")
    accused = [where for where, rule in places.items() if rule is None and where in found]
    print(f"{'right pairs accused':20} {len(accused):3} of {len(places) - all_faults.total():3}: {accused}")
    return caught.total(), all_faults.total(), len(accused)


@pytest.mark.slow
def test_of_200_faults_in_1000_pairs_19_of_20_are_found_and_1_of_100_others_is_accused_at_most(tmp_path):
    found, planted, accused = check(tmp_path, scenes=130, photographs=330, share=1.0, workers=2)
    assert planted >= 200
    assert found >= 0.95 * planted
    assert accused <= 0.01 * (1000 - planted)


def test_a_fault_of_each_kind_in_200_pairs_is_found(tmp_path):
    found, planted, accused = check(tmp_path, scenes=24, photographs=76, share=0.1, workers=1)
    assert planted >= 34
    assert found >= 0.95 * planted
    assert accused <= 1
