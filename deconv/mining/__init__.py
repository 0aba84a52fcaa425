"""Mining a data set for the strongest units of maps, their views and statistics."""
