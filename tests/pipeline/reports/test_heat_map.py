import numpy as np

from pipeline.reports.heat_map import attention_svg


def test_a_map_a_block_and_modality_with_true_cells_framed(texts_of):
    scores = np.zeros((2, 4, 3, 5))
    scores[1, :, 0, 2] = (2, 4, 6, 8)  # mean 5
    scores[1, :, 1, 0] = -2.5
    truth = np.zeros((3, 5), bool)
    truth[0, 2] = True
    both = {"audio": scores, "visual": np.zeros_like(scores)}
    same = {"audio": truth * 1.0, "visual": truth * 0.0}
    svg = attention_svg("clip <1>", ("Speech", "Baby_cry", "Dog"), both, same, {"audio": truth, "visual": truth})
    texts = texts_of(svg)
    assert texts[0] == "clip <1>"
    assert texts.count("Baby cry") == 2
    assert "block 2: scores A, ±5" in texts
    assert texts.count("probabilities P") == 2
    assert svg.count("#b2182b") == 2  # the largest score, and the legend's end
    assert svg.count("#8caed2") == 1  # half as much below zero
    assert svg.count("#54278f") == 2  # probability 1, and the legend's end
    assert svg.count("stroke='#222'") == 7  # two modalities of three maps, and the legend
