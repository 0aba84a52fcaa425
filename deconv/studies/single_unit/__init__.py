"""One unit as a function of its image: climbed to its optimum, bent around it."""
