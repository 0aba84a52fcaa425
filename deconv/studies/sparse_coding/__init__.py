"""Adaptive deconvolutional networks: convolutional sparse coding, layer on layer, without labels.

Zeiler, Taylor & Fergus, "Adaptive deconvolutional networks for mid and high level feature
learning", ICCV 2011: the model that the deconvnet of the 2014 paper comes from. There the filters
are learned for it; in 2014 they are those of a trained convnet, transposed.

Layer l explains an image y by feature maps z_l that are sparse, through all layers below it:

    C_l(z) = λ_l/2 · ‖R_l z − y‖² + ‖z‖₁        R_l = F_1 U_1 F_2 U_2 … F_l

F is transposed convolution with the layer's filters, U unpooling with the image's switches. The
error is that of the image, not of the layer below. `pooling` holds U, `network` R and its
transpose, `inference` finds z for given filters, `learning` alternates it with filters for given
z, `views` shows units in pixel space, `measures` counts what is explained.

Known from the paper's abstract: alternating layers of convolutional sparse coding and max pooling,
each layer reconstructs the input, up to four layers, no labels. Known from the caption of its
Figure 1, as submitted: one unit projected alone, then 5, 25 and 125 features of the layers below
conditional on those above. The rest of the text was not at hand. UNVERIFIED against the original,
each stated where it is decided: the exact cost with λ on the error; pooling across pairs of maps,
by magnitude with the sign kept; that switches of a layer come anew with each step of its own
inference and are fixed for the layers above; step sizes and their number; conjugate gradients
and filters of unit length; sizes of filters, pools and maps, every λ; contrast-normalised grey
input; borders.
"""

from deconv.studies.sparse_coding.inference import SOLVERS, Inferred, encode, infer, lipschitz
from deconv.studies.sparse_coding.learning import Epoch, fit_filters, train
from deconv.studies.sparse_coding.measures import (
    Measured,
    epoch_row,
    layer_row,
    learning_curve,
    measure,
    signal_to_noise_db,
)
from deconv.studies.sparse_coding.network import AdaptiveDeconvNet
from deconv.studies.sparse_coding.pooling import pick, pool_blocks, unpool_blocks
from deconv.studies.sparse_coding.views import (
    Strongest,
    decompose,
    inside,
    picture_arrays,
    project_units,
    strongest_unit,
    strongest_units,
    view_maps,
)

__all__ = [
    "SOLVERS",
    "AdaptiveDeconvNet",
    "Epoch",
    "Inferred",
    "Measured",
    "Strongest",
    "decompose",
    "encode",
    "epoch_row",
    "fit_filters",
    "infer",
    "inside",
    "layer_row",
    "learning_curve",
    "lipschitz",
    "measure",
    "pick",
    "picture_arrays",
    "pool_blocks",
    "project_units",
    "signal_to_noise_db",
    "strongest_unit",
    "strongest_units",
    "train",
    "unpool_blocks",
    "view_maps",
]
