"""All object classes by name, in the order of their labels."""

from collections.abc import Callable

import numpy as np

from deconv.scenes.animals import bird, butterfly, fish
from deconv.scenes.buildings import church, clock, house, windmill
from deconv.scenes.canvas import Pen
from deconv.scenes.craft import aeroplane, sail_boat
from deconv.scenes.faces import cat, dog, owl
from deconv.scenes.plants import flower, tree
from deconv.scenes.vehicles import bicycle, bus, car

Draw = Callable[[Pen, np.random.Generator], None]

OBJECTS: dict[str, Draw] = {
    "dog face": dog,
    "cat face": cat,
    "owl": owl,
    "bird": bird,
    "fish": fish,
    "butterfly": butterfly,
    "car": car,
    "bus": bus,
    "bicycle": bicycle,
    "sail boat": sail_boat,
    "aeroplane": aeroplane,
    "house": house,
    "church": church,
    "windmill": windmill,
    "clock": clock,
    "flower": flower,
    "tree": tree,
}
