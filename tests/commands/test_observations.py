"""The numbers in docs/observations.md are those of the kept files, rounded as they are told."""

import numpy as np
import pytest
from command_line import ROOT

from experiments.kit import kept as results
from experiments.kit.paper_tables import TABLE1

TEXT = " ".join((ROOT / "docs" / "observations.md").read_text(encoding="utf-8").split())
KEPT = results.records()
SCRATCH = results.FOLDS
SQUEEZENET = "squeezenet1_0_imagenet"


def row(rows, **wanted):
    (found,) = (r for r in rows if all(r[key] == value for key, value in wanted.items()))
    return found


def contrast():
    about = KEPT["zfnet_mini_scenes/contrast_normalisation"]
    accuracy = {role: one["accuracy"] for role, one in about["facts"]["networks"].items()}
    dead = {
        role: row(about["tables"]["table"], network=role, layer="conv2")["dead"]
        for role in accuracy
    }
    assert int(dead["local"]) == 0
    yield f"{accuracy['local']:.0f} % with the local one (no dead map in layer 2"
    yield f"{accuracy['response']:.0f} % with Krizhevsky's ({dead['response']} of 96 dead)"
    yield f"{accuracy['none']:.0f} % with none ({dead['none']})"


def evolution():
    rows = KEPT["zfnet_caltech101/fig4_feature_evolution"]["tables"]["turnover"]
    at = [100 * float(row(rows, layer=f"conv{n}", epoch="20")["turnover"]) for n in range(1, 6)]
    low, high = min(at[1:]), max(at[1:])
    yield (
        "more than half still change from 10 to 20 in every layer "
        f"({at[0]:.0f} % in layer 1, {low:.0f} to {high:.0f} % above)"
    )
    settled = [
        min(int(r["epoch"]) for r in rows if r["layer"] == f"conv{n}" and r["settled"] == "True")
        for n in range(1, 6)
    ]
    assert len(set(settled[1:])) == 1
    yield f"layer 1 has settled from {settled[0]} on, layers 2 to 5 from {settled[1]} on"


def first_layers():
    about = KEPT["zfnet_caltech101/fig6_first_layers"]
    rows = about["tables"]["table"]
    of = {
        (role, layer): row(rows, network=role, layer=layer)
        for role in ("ours", "without", "coarse")
        for layer in ("conv1", "conv2")
    }
    ours = of["ours", "conv1"]
    networks = about["facts"]["networks"]
    assert networks["ours"]["weights_sha256"] == networks["without"]["weights_sha256"]
    yield f"strongest {float(ours['largest_rms']) / float(ours['median_rms']):.1f} times the median"
    assert all(one["dead_or_faint"] == "0" for (_, layer), one in of.items() if layer == "conv1")
    assert of["coarse", "conv2"]["dead"] == "1"

    def pair(layer, column):
        coarse, fine = (100 * float(of[role, layer][column]) for role in ("coarse", "ours"))
        return f"{coarse:.0f} against {fine:.0f} %"

    yield f"({pair('conv1', 'aliased')}; of white noise {pair('conv1', 'white_noise_aliased')})"
    yield f"({pair('conv2', 'aliased')}, with random weights {pair('conv2', 'random_aliased')})"


def occlusion():
    rows = KEPT["zfnet_caltech101/fig7_occlusion"]["tables"]["table"]
    scored = [float(r["activation_drop_on_projection"]) for r in rows if r["role"] == "scored"]
    mean = 100 * sum(scored) / len(scored)
    yield f"(over {len(scored)} images by {mean:.0f} % more than elsewhere"
    shown = [r for r in rows if r["role"] == "shown"]
    fell, label, share = {}, {}, {}
    for one in shown:
        name, first, last = one["class"], one["probability"], one["lowest_probability"]
        fell[name] = f"({float(first):.2f} to {float(last):.2f}"
        label[name], share[name] = one["label_at_largest_drop"], float(one["label_changed"])
    assert round(784 * share["camera"]) == 6 and share["dalmatian"] == 0
    yield f"{fell['camera']}, a {label['camera']} at six positions)"
    yield f"{fell['schooner']}, a {label['schooner']} at {100 * share['schooner']:.0f} % of the"
    yield f"and hardly {fell['dalmatian']})"


def imagenet_occlusion():
    rows = KEPT[f"{SQUEEZENET}/fig7_occlusion"]["tables"]["table"]
    of = {one["class"]: one for one in rows if one["role"] == "shown"}
    first = [float(of[name]["probability"]) for name in ("tripod", "espresso", "Egyptian cat")]
    yield "which it names with {:.2f}, {:.2f} and {:.2f}".format(*first)
    for words, name in (
        ("probability falls to {:.2f} where", "tripod"),
        ("The espresso falls to {:.2f} where", "espresso"),
        ("The cat falls to {:.2f} between", "Egyptian cat"),
        ("the missile (to {:.3f})", "missile"),
    ):
        yield words.format(float(of[name]["lowest_probability"]))
    assert of["espresso"]["label_at_largest_drop"] == "chocolate sauce"
    assert of["Egyptian cat"]["label_at_largest_drop"] == "tiger cat"
    scored = [one for one in rows if one["role"] == "scored"]
    activation, probability = (
        np.mean([float(one[f"{what}_drop_on_projection"]) for one in scored])
        for what in ("activation", "probability")
    )
    yield f"Over {len(scored)} of the 1,000 photographs"
    yield f"falls by {100 * activation:.0f} % more where"
    yield f"the class's probability, by {probability:.2f}."


def imagenet_invariance():
    about = KEPT[f"{SQUEEZENET}/fig5_invariance"]
    of = {(one["kind"], one["measure"]): one for one in about["tables"]["scores"]}

    def both(measure):
        found = [of[kind, measure]["value"] for kind in ("translation", "scale")]
        return [f"{float(value):.2f}" for value in found]

    shift, size = both("layer1/sharp")
    yield f"({shift} of its largest distance at a tenth of the shift, {size} of the enlargement)"
    yield "fire9 leaps less ({} and {})".format(*both("layer7/sharp"))
    yield "(R² {} and {}; a curve".format(*both("layer7/line"))
    shift, size = both("kept")
    turned = of["rotation", "kept"]
    yield f"({shift} of its probability is kept), fewer enlargements ({size})"
    yield f"({float(turned['value']):.2f}, up to {float(turned['high']):.2f} by chance"


def invariance():
    rows = KEPT["zfnet_caltech101/fig5_invariance"]["tables"]["scores"]
    of = {(one["kind"], one["measure"]): float(one["value"]) for one in rows}
    shift, size = (of[kind, "layer7/line"] for kind in ("translation", "scale"))
    yield f"under translation (R² {shift:.2f}) and bends under scale ({size:.2f})"


def imagenet_first_layers():
    first, second = KEPT[f"{SQUEEZENET}/fig6_first_layers"]["tables"]["table"]
    assert (first["maps"], first["kernel"], first["stride"]) == ("96", "7", "2")
    assert first["dead_or_faint"] == second["dead"] == "0"
    times = float(first["largest_rms"]) / float(first["median_rms"])
    yield f"(strongest {times:.1f} times the median; {first['filters_of_half']} of the 96 hold half"
    shares = [100 * float(second[f"{of}aliased"]) for of in ("", "random_", "white_noise_")]
    yield "{:.0f} % of that energy lies above".format(*shares)
    yield "with random weights {1:.0f} %, of white noise it is {2:.0f} %".format(*shares)


def ascent():
    rows = KEPT["zfnet_mini_scenes/one_unit"]["tables"]["table"]
    best = max(float(r["activation"]) for r in rows if r["answer"] == "start")
    crop = max(float(r["value"]) for r in rows if r["answer"] == "crop")
    assert 2.5 < best / crop < 3.5
    yield "the ascent reaches three times the activation of any crop"


def transfer():
    rows = KEPT["zfnet_mini_tiny_imagenet/table4_caltech101"]["tables"]["table"]
    small, large = (
        (float(row(rows, per_class=size)["mean"]), KEPT[f"{SCRATCH}/zfnet_mini_56px_{size}"])
        for size in ("15", "30")
    )
    told = [f"{ours:.1f} against {one['facts']['mean']:.1f} %" for ours, one in (large, small)]
    yield f"{told[0]} with 30 images a class, {told[1]} with 15"
    yield f"with 30 images a class ({KEPT[f'{SCRATCH}/zfnet_30']['facts']['mean']:.1f} %)"
    centre = [
        np.mean([fold["centre_crop_mean_class_accuracy"] for fold in alone["tables"]["folds"]])
        for _, alone in (large, small)
    ]
    yield f"by the centre crop alone it reaches {centre[0]:.1f} and {centre[1]:.1f} %"
    tiny, alone = (
        [r for r in KEPT[name]["tables"]["table"] if r["classifier"] == "svm"]
        for name in (
            "zfnet_mini_tiny_imagenet/table7_layer_probes",
            "zfnet_mini_56px_caltech101/table7_layer_probes",
        )
    )

    def ahead(rows, source):
        gains = {
            layer: float(row(tiny, layer=layer, source="here")["mean"])
            - float(row(rows, layer=layer, source=source)["mean"])
            for layer in "123457"
        }
        return min(gains.values()), max(gains.values()), max(gains, key=gains.get)

    least, most, layer = ahead(alone, "here")
    yield f"by {least:.0f} to {most:.0f} points, most of all in layer {layer}"
    least, most, layer = ahead(tiny, "control")
    yield f"ahead of random weights by {least:.0f} to {most:.0f}, most of all in layer {layer}"


def imagenet():
    own = "squeezenet1_0_imagenet"
    (errors,) = KEPT[f"{own}/table2_imagenet"]["tables"]["table"]
    one, five = (
        f"{float(errors[key]):.1f} ± {float(errors[f'{key} ±']):.1f} %"
        for key in ("validation top-1", "validation top-5")
    )
    yield f"{one} top-1 error, {five} top-5"

    def number(line):
        return f"{float(line['mean']):.1f} ± {float(line['std']):.1f}"

    about = KEPT[f"{own}/table4_caltech101"]
    overlap, rows = about["facts"]["seen"][0]["overlap"], about["tables"]["table"]
    assert overlap["removed"] == 0
    yield f"Of the {overlap['of']:,} none has its like among the {overlap['source']['images']:,}"
    few, many = (number(row(rows, title="fire9", per_class=size)) for size in ("15", "30"))
    yield f"reaches {few} % with 15 images a class and {many} % with 30"
    scratch = [KEPT[f"{SCRATCH}/zfnet_{size}"]["facts"]["mean"] for size in (15, 30)]
    yield f"on the same images reach {scratch[0]:.1f} and {scratch[1]:.1f} %"
    rows = KEPT[f"{own}/table7_layer_probes"]["tables"]["table"]
    svm = [line for line in rows if line["classifier"] == "svm"]
    (softmax,) = (r for r in rows if r["classifier"] == "softmax" and r["source"] == "here")
    yield f"A softmax on fire9 reaches {number(softmax)} %"
    folds = KEPT[f"{own}/table7_layer_probes"]["tables"]["folds"]
    low = [r["c"] for r in folds if r["point"] in [f"features.{i}" for i in (1, 3, 4, 5)]]
    assert set(low) == {"1"} and len(low) == 20
    yield "up to fire4 it was 1 in every split"
    rows = KEPT["squeezenet1_0_random/table7_layer_probes"]["tables"]["table"]
    random = [f"{float(line['mean']):.1f}" for line in rows if line["source"] == "control"]
    yield f"{random[0]} % on conv1, {random[1]} on fire5, {random[2]} on fire9"
    paper = {line["layer"]: line for line in svm if line["source"] == "paper"}
    for line in (line for line in svm if line["source"] == "here"):
        like = paper.get(line["layer"])
        beside = f"{line['layer']} | {number(line)} | {number(like)}" if like else ""
        yield " ".join(f"| {line['title']} | {beside or f'| {number(line)} |'} |".split())


def dogs():
    dog_faces, scene_faces = (
        KEPT[f"zfnet_mini_{data}/table1_correspondence"] for data in ("caltech101", "scenes")
    )
    found = {one.claim: one for one in results.findings(dog_faces)}
    parts = ("right_eye", "left_eye", "nose")
    five = sorted(found[f"table1/{part}/layer5"].value for part in parts)
    random = found["table1/random/layer5"].value
    own = f"{five[0]:.3f} to {five[-1]:.3f} against {random:.3f}"
    yield f"in layer 5 either ({own})"
    rows = dog_faces["tables"]["table"]
    of = {
        part: row(rows, network="trained", layer="conv5", zeros="counted", mask=part)
        for part in (*parts, "random")
    }
    within = [part for part in parts if float(of[part]["below_random_high"]) > 0]
    assert within == ["right_eye"]
    assert all(float(of[part]["still"]) < float(of["random"]["still"]) for part in parts)

    def control(of, name, layer, part=""):
        zeros = "/zeros left out" if name == "exchange" else ""
        return of[f"control/table1/{name}/layer{layer}" + f"/{part}" * bool(part) + zeros].holds

    assert all(control(found, "exchange", 5, part) for part in parts)
    assert not any(control(found, name, 5, p) for p in parts for name in ("place", "learned"))
    assert control(found, "same_part", 5)
    scenes = {one.claim: one for one in results.findings(scene_faces)}
    for part in parts:
        assert scenes[f"table1/{part}/layer5"].value > scenes["table1/random/layer5"].value
        assert not scenes[f"table1/{part}/layer5"].holds
        assert not control(scenes, "learned", 5, part) and control(scenes, "exchange", 5, part)
        for name in ("exchange", "place", "learned"):
            assert control(scenes, name, 7, part)


def imagenet_dogs():
    kept = KEPT["squeezenet1_0_imagenet/table1_correspondence"]
    found = {one.claim: one for one in results.findings(kept)}
    parts, depths = ("right_eye", "left_eye", "nose"), (5, 9, 12)
    rows = [r for r in kept["tables"]["table"] if r["network"] == "trained"]

    def of(layer, mask, column="all", zeros="counted"):
        return float(row(rows, layer=layer, zeros=zeros, mask=mask)[column])

    right, left, nose, random = (of("features.9", mask) for mask in (*parts, "random"))
    p = [of("features.9", part, "p") for part in parts[:2]]
    theirs = [TABLE1[mask][0][0] for mask in (*parts, "random")]
    yield f"On {kept['data']['images']} dogs"
    yield f"({right:.3f} and {left:.3f} against {random:.3f}, p = {p[0]:.2f} and {p[1]:.2f}; in"
    yield f"in the paper {theirs[0]:.3f} and {theirs[1]:.3f} against {theirs[3]:.3f})"
    yield f"a hidden nose less alike ({nose:.3f})"
    below = {n: [part for part in parts if of(f"features.{n}", part, "p") < 0.05] for n in depths}
    assert below == {5: ["left_eye"], 9: ["right_eye", "left_eye"], 12: []}
    top = ", ".join(f"{of('flatten', part):.3f}" for part in parts)
    yield f"({top} against {of('flatten', 'random'):.3f}, p = 0.001)"
    changed = {mask: 1 - of("features.9", mask, "still") for mask in (*parts, "random")}
    assert f"{changed['right_eye']:.3f}" in ("0.101", "0.102")
    yield (
        f"an eye changes {100 * changed['right_eye']:.0f} % of fire7, a random mask "
        f"{100 * changed['random']:.1f} %, a nose {100 * changed['nose']:.1f} %"
    )
    times = [
        of(f"features.{n}", mask) / (1 - of(f"features.{n}", mask, "still"))
        for n in depths
        for mask in (*parts, "random")
    ]
    yield f"{min(times):.1f} to {max(times):.1f} times one's share"
    shares = [100 * of("flatten", mask) for mask in ("right_eye", "nose", "random")]
    yield f"{shares[0]:.0f} % with an eye hidden, {shares[1]:.0f} % with the nose"
    yield f"{shares[2]:.0f} % with a random patch"
    for case, own_part in (("features.5", 0), ("layer5", 0), ("features.12", 1), ("layer7", 1)):
        for part in parts:
            assert found[f"control/table1/exchange/{case}/{part}/zeros left out"].holds
            assert found[f"control/table1/place/{case}/{part}"].holds == bool(own_part)
            assert not found[f"control/table1/learned/{case}/{part}"].holds
    for case, words in (("features.12", "Only in fire9 (by "), ("layer7", "the logits (by ")):
        gains = sorted(-found[f"control/table1/place/{case}/{part}"].value for part in parts)
        yield f"{words}{gains[0]:.3f} to {gains[-1]:.3f})"


def filters():
    rows = KEPT["squeezenet1_0_imagenet/filters"]["tables"]["table"]
    norms = np.array([float(one["l2_before"]) for one in rows])
    top = norms.max()
    yield (
        f"the strongest is {top / np.median(norms):.1f} times the median by L2 norm, the weakest "
        f"{norms.min() / top:.2f} of the strongest"
    )


def units():
    gains = []
    for block in ("fire4", "fire7", "fire9"):
        rows = KEPT[f"squeezenet1_0_imagenet/one_unit_of_{block}"]["tables"]["table"]
        best = max(float(one["activation"]) for one in rows if one["answer"] == "start")
        gains.append(best / max(float(one["value"]) for one in rows if one["answer"] == "crop"))
    yield f"{gains[0]:.0f}, {gains[1]:.0f} and {gains[2]:.0f} times the strongest crop"


def exchanges():
    found = {
        one.claim.removeprefix("control/sanity/"): one
        for one in results.findings(KEPT["squeezenet1_0_imagenet/sanity"])
    }
    yield f"from the unit down | {found['learned_weights'].value:.2f} |"
    yield f"of another image | {found['own_image'].value:.2f} |"
    yield f"at the same place | {found['own_unit'].value:.2f} |"
    assert found["rule"].facts["variant"] == "gradient"
    yield f"for the plain gradient | {found['rule'].value:.2f} |"
    assert found["collisions"].facts["variant"] == "overwrite"
    yield f"for overwriting | {found['collisions'].value:.2f} |"
    assert found["switches_over_unit"].holds


def sparsity():
    rows = KEPT["squeezenet1_0_imagenet/feature_maps"]["tables"]["table"]
    above = {one["layer"]: 100 * float(one["share_above_0"]) for one in rows}
    first, last = above["features.0"], above["classifier.1"]
    yield f"{first:.0f} % are above 0 in the first layer and {last:.0f} % in the last"
    squeezed = [value for layer, value in above.items() if layer.endswith("squeeze")]
    yield f"mostly on ({min(squeezed):.0f} to {max(squeezed):.0f} %)"
    wide = [above[f"features.{n}.expand3x3"] for n in (3, 8, 10, 12)]
    assert f"{wide[2]:.0f}" == f"{wide[3]:.0f}"
    yield f"{wide[0]:.0f} % are above 0 in fire2, {wide[1]:.0f} % in fire6 and {wide[2]:.0f} % in"
    own = [one for one in rows if one["layer"] != "features.12"]
    dead = {one["layer"]: int(one["dead"]) for one in own if int(one["dead"])}
    yield f"{sum(dead.values())} of {sum(int(one['maps']) for one in own):,} maps"
    assert dead == {"features.9.expand1x1": 6, "features.10.squeeze": 1}
    assert sum(int(one["saturated"]) for one in own) == 2


@pytest.mark.parametrize(
    "sentences",
    [
        *(imagenet_dogs, filters, sparsity),
        *(contrast, evolution, first_layers, occlusion, ascent, transfer, imagenet, dogs),
        invariance,
        *(imagenet_first_layers, imagenet_invariance, imagenet_occlusion),
    ],
)
def test_sentences_tell_what_was_measured(sentences):
    for sentence in sentences():
        assert sentence in TEXT, sentence
