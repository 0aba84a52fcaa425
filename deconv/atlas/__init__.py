"""The atlas: every unit of a network, in a folder of plain pages that opens in a browser."""

from deconv.atlas.contents import Contents, Images, Layer, Pictures
from deconv.atlas.writing import write_atlas

__all__ = ["Contents", "Images", "Layer", "Pictures", "write_atlas"]
