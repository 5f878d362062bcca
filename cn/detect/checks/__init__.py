"""Condition maps that cannot be right: what is wrong with a map, and what to do, for everyone who reads maps.

`check_map` is for condition maps (`cn sample`, `cn train`), `check_photograph` for what detectors are given. Both look
at a sample of the pixels, take a few milliseconds, and are silent where a map may be right: a warning that is often
wrong is not read.
"""

from cn.detect.checks.facts import MapFacts, file_facts
from cn.detect.checks.maps import check_map
from cn.detect.checks.photographs import check_photograph
from cn.detect.checks.warning import MapWarning

__all__ = ["MapFacts", "MapWarning", "check_map", "check_photograph", "file_facts"]
