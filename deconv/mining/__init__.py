"""What a data set shows of a network's maps: their strongest units, views and statistics."""
