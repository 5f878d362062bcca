"""All named poses of people."""

from cn.scenes.models.moving_poses import MOVING
from cn.scenes.models.pose import Pose
from cn.scenes.models.still_poses import STILL

POSES: dict[str, Pose] = STILL | MOVING
"""Name → pose."""
