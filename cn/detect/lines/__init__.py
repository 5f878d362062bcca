"""Detectors of lines: canny, hough, hed, scribble, lineart."""
