"""Files that hold one number or one vector per pixel, each format in its own module, for `cn.images.pixel_values`."""
