import io

import numpy as np
from PIL import Image

from pipeline.reports.svg import image, page, png, rectangle, text


def test_a_png_reads_back_as_it_was():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_foreign_texts_are_harmless(texts_of):
    words = "a<b>&'\x1b\x00é"
    pixels = np.zeros((1, 1, 3), np.uint8)
    svg = page(
        10, 10, text(1, 2, words, turned=45) + rectangle(0, 0, 1, 1, "red", title=words) + image(0, 0, 1, 1, pixels)
    )
    assert texts_of(svg) == ["a<b>&'é"]
