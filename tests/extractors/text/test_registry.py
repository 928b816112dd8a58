import subprocess
import sys

import pytest

from extractors.text.registry import create, names
from storage.errors import InvalidInput


def test_names():
    assert names() == ("glove", "bert", "clip", "clap")
    for name in names():
        assert create(name).name == name
    assert create("clip:ViT-B-32/openai").array_name == "clip_ViT-B-32_openai"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("glvoe", {}, "unknown embedder 'glvoe'. Did you mean 'glove'"),
        ("bert:x", {}, "unknown embedder 'bert:x'"),
        ("clip:", {}, "nothing follows the last colon; ask for 'clip' without it"),
        ("clip:ViT-B-32/openai:", {}, "ask for 'clip:ViT-B-32/openai' without it"),
        ("hf:", {}, "unknown embedder 'hf:'"),
        ("glove", {"pooling": "cls"}, "embedder 'glove' has no option --pooling; it has --oov, --dim"),
        ("glove", {"oov": "zero"}, "--oov 'zero': expected one of error, skip-word"),
        ("bert", {"pooling": "max"}, "--pooling 'max': expected one of mean, cls"),
        ("clip", {"oov": "error"}, "has no option --oov; it has --tokenizer"),
    ],
)
def test_mistakes_are_named(name, options, message):
    with pytest.raises(InvalidInput, match=message):
        create(name, options)


def test_creating_embedders_imports_no_library():
    code = (
        "import sys; from extractors.text.registry import create, names; [create(n).facts for n in names()];"
        "print(sorted({'torch', 'transformers', 'open_clip', 'gensim', 'laion_clap', 'pipeline'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
