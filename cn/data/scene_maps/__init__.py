"""Line maps of rendered views: hough, hed, scribble and lineart, from exact boundaries and the image's own edges."""
