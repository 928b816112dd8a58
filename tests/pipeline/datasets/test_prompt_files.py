import numpy as np
import pytest

from pipeline.datasets.dataset_description import load_description
from pipeline.datasets.prompt_files import default_set, load_prompts, plain_name
from storage.errors import InvalidInput

LLP = load_description("llp")


def prompts(name, embedder="glove"):
    return dict(zip(LLP.classes, (texts for (texts,) in load_prompts(name, LLP, embedder=embedder)), strict=True))


def test_shipped_sets_for_llp():
    assert prompts("names")["Frying_(food)"] == "Frying food"
    assert prompts("leap")["Frying_(food)"] == "Fry food"
    assert prompts("leap")["Baby_cry_infant_cry"] == "Baby cry infancy cry"
    captions = prompts("valor", "clip")
    assert all(caption.startswith("A photo of ") for caption in captions.values())
    assert "vaccum" in captions["Vacuum_cleaner"]
    assert "a acoustic guiter" in captions["Acoustic_guitar"]
    sounds = prompts("valor", "clap")
    assert sounds["Fire_alarm"] == "This is a sound of fire alarm"
    assert all(caption.startswith("This is a sound of ") and caption[1:].islower() for caption in sounds.values())


def test_valors_captions_are_those_its_thresholds_are_tuned_to():
    """Where they differ from the pattern, or from what one would write."""
    pictures, sounds = prompts("valor", "clip"), prompts("valor", "clap")
    assert pictures["Lawn_mower"] == "A photo of a lawnmower."
    assert pictures["Clapping"] == "A photo of hands clapping."
    assert pictures["Cheering"] == "A photo of people cheering."
    assert sounds["Frying_(food)"] == "This is a sound of frying (food)"
    assert sounds["Chicken_rooster"] == "This is a sound of chicken, rooster"
    assert sounds["Baby_cry_infant_cry"] == "This is a sound of baby cry, infant cry"
    plain = {name: f"This is a sound of {plain_name(name).lower()}" for name in LLP.classes}
    assert {name for name in plain if plain[name] != sounds[name]} == {
        "Frying_(food)", "Chicken_rooster", "Baby_cry_infant_cry",
    }  # fmt: skip


def test_leaps_phrases_are_those_of_its_published_file(shared_dir):
    published = np.load(shared_dir / "reference" / "llp_glove300.npz")
    assert list(prompts("leap").values()) == published["phrases"].tolist()


def test_defaults(toy):
    assert [default_set(name, LLP) for name in ("glove", "bert", "clip", "clap")] == ["leap", "leap", "valor", "valor"]
    assert default_set("clip", toy) == "names"
    assert load_prompts("names", toy, embedder="clip") == (("Dog",), ("Cat",), ("Rain",))
    with pytest.raises(InvalidInput, match="--prompts leap: none are shipped for clip and toy"):
        load_prompts("leap", toy, embedder="clip")
    with pytest.raises(InvalidInput, match="--prompts valor: none are shipped for bert and llp"):
        prompts("valor", "bert")
    assert plain_name("Frying_(food)") == "Frying food"


def test_files_of_ones_own(toy, tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('[prompts]\nCat = "a cat"\nDog = ["a dog"]\nRain = "rain"\n')
    assert load_prompts(path, toy, embedder="clip") == (("a dog",), ("a cat",), ("rain",))
    path.write_text('templates = ["a {}.", "the {}."]\n')
    assert load_prompts(path, toy, embedder="clip")[2] == ("a Rain.", "the Rain.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[prompts]\nCat = "a"\nDog = "b"\n', "prompts lack class 'Rain'"),
        ('[prompts]\nCat = "a"\nDog = "b"\nRain = "c"\nHose = "d"\n', "prompts name class 'Hose', which toy lacks"),
        ('[prompts]\nCat = ["a", "b"]\nDog = "b"\nRain = "c"\n', "'Cat' must have texts, as many as 'Dog'"),
        ('[prompts]\nCat = 3\nDog = "b"\nRain = "c"\n', "'Cat' must have texts"),
        ('templates = ["a photo"]\n', "template 'a photo' must have {} once"),
        ("x = 1\n", r"expected a table \[prompts\] or a list templates"),
        ("[prompts\n", "not TOML"),
    ],
)
def test_bad_files_are_refused(toy, tmp_path, text, message):
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        load_prompts(path, toy, embedder="clip")


def test_no_such_file(toy):
    with pytest.raises(InvalidInput, match=r"--prompts x\.toml: no such file.*names, leap, valor"):
        load_prompts("x.toml", toy, embedder="clip")
