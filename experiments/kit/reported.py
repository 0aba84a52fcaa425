"""The paper's numbers and claims as data, each with its place, to stand beside ours.

Numbering of figures and tables follows arXiv 1311.2901 v3. The figures themselves were not
measured: where the paper only draws, a claim has words and no value.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT, SECONDARY, DRAWN, DERIVED = "text", "secondary source", "drawn only", "derived"
"""How a number is known: read in the paper's text or tables; in another's account of it; only as
words about a picture; by arithmetic from what is stated."""


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    place: figure or table. says: what is stated or measured. value, spread: as printed, None where
    the paper prints none. unit: of both. known: TEXT, SECONDARY, DRAWN or DERIVED. note: what
    to keep in mind about it.
    """

    place: str
    says: str
    value: float | None = None
    spread: float | None = None
    unit: str = ""
    known: str = TEXT
    note: str = ""


CALTECH101_SCRATCH: dict[int, tuple[float, float]] = {15: (22.8, 1.5), 30: (46.5, 1.7)}
"""Table 4, network trained from scratch: images per class -> mean accuracy per class and its
spread over five random splits, in percent. The text does not say how long it trained; the numbers
are the same in an earlier version of the paper, whose network differs."""


EARLIER = "the same in an earlier version of the paper, whose network differs: a trend, no target"

# Figure 3: side of the maps behind each stage at 224 px.
FIG3_SIDES = {
    "conv1": 110,
    "pool1": 55,
    "conv2": 26,
    "pool2": 13,
    "conv3": 13,
    "conv4": 13,
    "conv5": 13,
    "pool5": 6,
}

# Table 1: masked part -> (layer 5, layer 7), mean and ±.
TABLE1 = {
    "right_eye": ((0.067, 0.007), (0.069, 0.015)),
    "left_eye": ((0.069, 0.007), (0.068, 0.013)),
    "nose": ((0.079, 0.017), (0.069, 0.011)),
    "random": ((0.107, 0.017), (0.073, 0.014)),
}

# Table 2: row -> validation top-1, validation top-5, test top-5 error in percent.
TABLE2 = {
    "alexnet 1 net": (40.7, 18.2, None),
    "alexnet 5 nets": (38.1, 16.4, 16.4),
    "alexnet replica 1 net": (40.5, 18.1, None),
    "zfnet 1 net": (38.4, 16.5, None),
    "zfnet 5 nets": (36.7, 15.3, 15.3),
    "wide 1 net": (37.5, 16.0, 16.1),
    "zfnet 5 nets and wide": (36.0, 14.7, 14.8),
}

# Table 3: change -> network -> training top-1, validation top-1, validation top-5 error.
TABLE3: dict[str, dict[str, tuple[float, float, float]]] = {
    "none": {"alexnet": (35.1, 40.5, 18.1), "zfnet": (33.1, 38.4, 16.5)},
    "no 3,4": {"alexnet": (41.8, 45.4, 22.1)},
    "no 7": {"alexnet": (27.4, 40.0, 18.4)},
    "no 6,7": {"alexnet": (27.4, 44.8, 22.4)},
    "no 3,4,6,7": {"alexnet": (71.1, 71.3, 50.1)},
    "6,7: 2048": {"alexnet": (40.3, 41.7, 18.8), "zfnet": (38.2, 40.2, 17.6)},
    "6,7: 8192": {"alexnet": (26.8, 40.0, 18.1), "zfnet": (22.0, 38.8, 17.0)},
    "3-5: 512,1024,512": {"zfnet": (18.8, 37.5, 16.0)},
    "6,7: 8192 and 3-5: 512,1024,512": {"zfnet": (10.0, 38.3, 16.9)},
}

# Tables 4 and 5: images per class -> mean accuracy per class and ±, in percent.
TABLE4 = {
    "Bo et al.": {30: (81.4, 0.33)},
    "Jianchao et al.": {15: (73.2, None), 30: (84.3, None)},
    "scratch": CALTECH101_SCRATCH,
    "pretrained": {15: (83.8, 0.5), 30: (86.5, 0.5)},
}
TABLE5 = {
    "Sohn et al.": {15: (35.1, None), 30: (42.1, None), 45: (45.7, None), 60: (47.9, None)},
    "Bo et al.": {15: (40.5, 0.4), 30: (48.0, 0.2), 45: (51.9, 0.2), 60: (55.2, 0.3)},
    "scratch": {15: (9.0, 1.4), 30: (22.5, 0.7), 45: (31.2, 0.5), 60: (38.8, 1.4)},
    "pretrained": {15: (65.7, 0.2), 30: (70.6, 0.2), 45: (72.7, 0.4), 60: (74.2, 0.3)},
}

# Table 6: class -> average precision in percent of Sande et al., Yan et al., the paper. As printed:
# the others' numbers for cow and dining table are the same, and their columns do not average to the
# printed means.
TABLE6 = {
    "aeroplane": (92.0, 97.3, 96.0),
    "bicycle": (74.2, 84.2, 77.1),
    "bird": (73.0, 80.8, 88.4),
    "boat": (77.5, 85.3, 85.5),
    "bottle": (54.3, 60.8, 55.8),
    "bus": (85.2, 89.9, 85.8),
    "car": (81.9, 86.8, 78.6),
    "cat": (76.4, 89.3, 91.2),
    "chair": (65.2, 75.4, 65.0),
    "cow": (63.2, 77.8, 74.4),
    "diningtable": (63.2, 77.8, 67.7),
    "dog": (68.9, 83.0, 87.8),
    "horse": (78.2, 87.5, 86.0),
    "motorbike": (81.0, 90.1, 85.1),
    "person": (91.6, 95.0, 90.9),
    "pottedplant": (55.9, 57.8, 52.2),
    "sheep": (69.4, 79.2, 83.6),
    "sofa": (65.4, 73.4, 61.1),
    "train": (86.7, 94.5, 91.8),
    "tvmonitor": (77.4, 80.7, 76.1),
    "mean": (74.3, 82.2, 79.0),
}

# Table 7: classifier and layer -> Caltech-101 (30 a class), Caltech-256 (60 a class), each mean, ±.
TABLE7 = {
    ("svm", 1): ((44.8, 0.7), (24.6, 0.4)),
    ("svm", 2): ((66.2, 0.5), (39.6, 0.3)),
    ("svm", 3): ((72.3, 0.4), (46.0, 0.3)),
    ("svm", 4): ((76.6, 0.4), (51.3, 0.1)),
    ("svm", 5): ((86.2, 0.8), (65.6, 0.3)),
    ("svm", 7): ((85.5, 0.4), (71.7, 0.2)),
    ("softmax", 5): ((82.9, 0.4), (65.7, 0.5)),
    ("softmax", 7): ((85.4, 0.4), (72.6, 0.1)),
}


def _figures() -> dict[str, Claim]:
    return {
        "fig1/reconstruction": Claim(
            "Fig. 1",
            "unpool by switches, rectify, filter with the transposed filters",
            unit="of the largest pixel apart",
            known=TEXT,
        ),
        **{
            f"fig3/{stage}": Claim("Fig. 3", f"side of {stage}", side, None, "px", SECONDARY)
            for stage, side in FIG3_SIDES.items()
        },
        "fig3/parameters": Claim(
            "Fig. 3",
            "weights and biases of these layers for 1000 classes",
            62_357_608,
            None,
            "",
            DERIVED,
            "the paper prints no total; this one follows from the figure's sizes",
        ),
        "fig2/hierarchy": Claim(
            "Fig. 2", "the nine strongest images of a map share a structure", known=DRAWN
        ),
        "fig4/lower_first": Claim(
            "Fig. 4",
            "lower layers settle in a few epochs, upper ones need 40–50",
            unit="epochs later",
            known=DRAWN,
        ),
        "fig5/layer1_sharp": Claim(
            "Fig. 5", "small changes move layer 1 much and layer 7 little", known=DRAWN
        ),
        "fig5/quasi_linear": Claim(
            "Fig. 5", "layer 7 moves quasi-linearly with translation and scale", known=DRAWN
        ),
        "fig5/not_rotation": Claim(
            "Fig. 5",
            "the output is not invariant to rotation, but for symmetric objects",
            known=DRAWN,
        ),
        "fig6/dominating": Claim(
            "Fig. 6", "without renormalisation a few filters of layer 1 dominate", known=DRAWN
        ),
        "fig6/dead": Claim(
            "Fig. 6", "7×7 stride 2 has fewer dead filters than 11×11 stride 4", known=DRAWN
        ),
        "fig6/aliasing": Claim(
            "Fig. 6", "stride 2 shows fewer aliasing artefacts in layer 2", known=DRAWN
        ),
        "fig7/probability": Claim(
            "Fig. 7",
            "the true class's probability falls where the square covers the object",
            known=DRAWN,
        ),
        "fig7/activation": Claim(
            "Fig. 7",
            "the strongest map of layer 5 falls where the square covers what it shows",
            known=DRAWN,
        ),
        "fig9/few_images": Claim("Fig. 9", "6 images per class beat Bo et al. with 60 (55.2 %)"),
    }


def _tables() -> dict[str, Claim]:
    claims: dict[str, Claim] = {}
    for part, pair in TABLE1.items():
        for layer, (value, spread) in zip(("5", "7"), pair, strict=True):
            claims[f"table1/{part}/layer{layer}"] = Claim(
                "Table 1",
                f"mean sign change, {part.replace('_', ' ')} hidden, layer {layer}",
                value,
                spread,
                "",
                TEXT,
                EARLIER,
            )
    columns = ("validation top-1", "validation top-5", "test top-5")
    for row, errors in TABLE2.items():
        for column, error in zip(columns, errors, strict=True):
            if error is not None:
                claims[f"table2/{row}/{column}"] = Claim(
                    "Table 2", f"{row}, {column} error", error, None, "%"
                )
    columns = ("train top-1", "validation top-1", "validation top-5")
    for change, networks in TABLE3.items():
        for network, errors in networks.items():
            for column, error in zip(columns, errors, strict=True):
                claims[f"table3/{network}/{change}/{column}"] = Claim(
                    "Table 3", f"{network}, change: {change}, {column} error", error, None, "%"
                )
    for place, name, table in (("Table 4", "table4", TABLE4), ("Table 5", "table5", TABLE5)):
        for row, sizes in table.items():
            for size, (value, spread) in sizes.items():
                claims[f"{name}/{row}/{size}"] = Claim(
                    place,
                    f"{row}, {size} per class, mean accuracy per class",
                    value,
                    spread,
                    "%",
                    TEXT,
                    "" if "al." in row else EARLIER,
                )
    for label, values in TABLE6.items():
        claims[f"table6/{label}"] = Claim(
            "Table 6", f"{label}, average precision", values[2], None, "%", TEXT, EARLIER
        )
    for (kind, layer), pair in TABLE7.items():
        for data, (value, spread) in zip(("caltech101", "caltech256"), pair, strict=True):
            claims[f"table7/{data}/{kind}/layer{layer}"] = Claim(
                "Table 7", f"{data}, {kind} on layer {layer}", value, spread, "%", TEXT, EARLIER
            )
    return claims


REPORTED: dict[str, Claim] = _figures() | _tables()
"""Key -> claim; the keys are those of `experiments.kit.findings.Finding`."""
