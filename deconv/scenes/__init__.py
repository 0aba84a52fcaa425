"""What procedural scenes are drawn with: shapes, textures, light, parts and whole objects.

Everything here draws from a random generator that is handed in, in an order that does not
depend on the image size, so that the same seed shows the same scene at every size.
"""
