"""Where the pixels of a scene are: detector element, place in the field, view and sample."""

from typing import Any

import numpy as np

from radsens.instrument import Detector


def places(detector: Detector, address: np.ndarray, view: np.ndarray | int = 0) -> dict[str, Any]:
    """The fields of a `Scene` that its detector and its views determine; they can be shared by all bands of the detector.

    Parameters
    ----------
    address : (pixel,) detector elements, row * columns + column
    view : (pixel,) number of the view from 0 on, or one for all
    """
    plane = detector.focal_plane
    x, y, theta = plane.coordinates(address)
    view = np.broadcast_to(np.asarray(view, np.int64), address.shape)
    return {
        "x": x,
        "y": y,
        "theta": theta,
        "detector": address,
        "sample": view * plane.size + address,
        "view": view,
        "plane": detector.name,
        "shape": (plane.rows, plane.columns),
    }
