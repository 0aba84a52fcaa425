"""All object classes by name, in the order of their labels."""

from collections.abc import Callable

import numpy as np

from deconv.data.drawing.animals import bird, butterfly, fish
from deconv.data.drawing.buildings import church, clock, house, windmill
from deconv.data.drawing.canvas import Pen
from deconv.data.drawing.craft import aeroplane, sail_boat
from deconv.data.drawing.faces import cat, dog, owl
from deconv.data.drawing.plants import flower, tree
from deconv.data.drawing.vehicles import bicycle, bus, car

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
