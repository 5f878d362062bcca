"""Measures of control: the condition is detected again in sampled images, and compared with the map.

`measurement(kind)` is the entry; each measure's exact definition is in the module of its comparison.
"""

from cn.eval.measures.comparison import Measure
from cn.eval.measures.measurement import Measurement, image_edges, measurement, measurement_or_image_edges

__all__ = ["Measure", "Measurement", "image_edges", "measurement", "measurement_or_image_edges"]
