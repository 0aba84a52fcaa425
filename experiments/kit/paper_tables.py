"""The paper's numbers as printed. Figures and tables are numbered as in arXiv 1311.2901 v3.

Tables 1 and 4 to 7 are the same in an earlier version of the paper, whose network differs.
"""

from __future__ import annotations

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
    "scratch": {15: (22.8, 1.5), 30: (46.5, 1.7)},
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
    ("svm", "1"): ((44.8, 0.7), (24.6, 0.4)),
    ("svm", "2"): ((66.2, 0.5), (39.6, 0.3)),
    ("svm", "3"): ((72.3, 0.4), (46.0, 0.3)),
    ("svm", "4"): ((76.6, 0.4), (51.3, 0.1)),
    ("svm", "5"): ((86.2, 0.8), (65.6, 0.3)),
    ("svm", "7"): ((85.5, 0.4), (71.7, 0.2)),
    ("softmax", "5"): ((82.9, 0.4), (65.7, 0.5)),
    ("softmax", "7"): ((85.4, 0.4), (72.6, 0.1)),
}
