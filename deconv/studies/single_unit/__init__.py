"""One unit as a function of its image: maximising images and invariances around them."""
