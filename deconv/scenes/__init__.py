"""The built-in data set: photo-like scenes with known parts, drawn on demand.

`scene` composes one; the other files draw its shapes, textures, light, parts and objects. All
randomness comes from a generator passed in, used in an order that does not depend on the image
size, so a seed shows the same scene at every size.
"""

from deconv.scenes.part_marks import PARTS, scene_parts
from deconv.scenes.scene import CLASSES, Part, Scene, Scenes, render

__all__ = ["CLASSES", "PARTS", "Part", "Scene", "Scenes", "render", "scene_parts"]
