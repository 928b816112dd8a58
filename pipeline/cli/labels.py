"""The commands ``avvp labels`` and ``avvp pseudo-labels``. Nothing heavy is imported before they run."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.annotations import DATASET_OPTION

STORE_OPTION = click.option("--store", "store_url", required=True, help="An existing store.")
DEVICE_OPTION = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N.")


@click.command()
@STORE_OPTION
@click.option(
    "--embedder",
    required=True,
    help="glove, bert, clip, clap, clip:<model>/<pretrained>, clap:<checkpoint> or hf:ORG/MODEL.",
)
@click.option("--weights", default="pretrained", show_default=True, help="pretrained, random:SEED or a path.")
@DATASET_OPTION
@click.option(
    "--prompts", help="names, leap, valor or a TOML file. Default: leap for glove and bert, valor for others."
)
@click.option("--import", "import_file", help="Take published embeddings from this .npz instead of embedding.")
@click.option("--oov", help="glove: error (default) or skip-word, for words that it lacks.")
@click.option("--dim", help="glove: numbers a word. Default 300.")
@click.option("--pooling", help="bert: mean (default) of word pieces, or cls.")
@click.option(
    "--tokenizer", help="bert, clap, clip:… and hf:…: folder of the tokenizer, where the hub's is not at hand."
)
@DEVICE_OPTION
@click.option("--rebuild", is_flag=True, help="Replace embeddings that were made otherwise.")
def labels(**options: Any) -> None:
    """Embed the class names of a dataset into the store's labels/."""
    from pipeline.cli.labels_actions import run_labels

    run_labels(**options)


@click.group(name="pseudo-labels", invoke_without_command=True)
@click.option("--store", "store_url", help="An existing store.")
@click.option("--teacher", default="valor", show_default=True, help="What makes them.")
@click.option("--name", default="", help="Group in pseudo_labels/, if not the teacher's name.")
@DATASET_OPTION
@click.option("--annotations", help="Folder with the weak labels. Default: those in the store's clip table.")
@click.option("--thresholds", default="valor", show_default=True, help="valor, or a TOML file.")
@click.option(
    "--import", "import_folder", help="Take published ones instead: VALOR's folder, or a .npz or pickle (LSLD)."
)
@click.option("--audio", default="clap", show_default=True, help="Features of sound.")
@click.option("--visual", default="clip_vit_l14", show_default=True, help="Features of frames, one a segment.")
@click.option("--audio-labels", default="clap", show_default=True, help="Label embeddings to compare sound with.")
@click.option("--visual-labels", default="clip", show_default=True, help="Label embeddings to compare frames with.")
@click.option("--subset", is_flag=True, help="The store holds a part of the labelled clips only.")
@click.option("--rebuild", is_flag=True, help="Replace pseudo labels that were made otherwise.")
@click.pass_context
def pseudo_labels(context: click.Context, /, **options: Any) -> None:
    """Pseudo labels a segment from features, label embeddings and weak labels of a store."""
    if context.invoked_subcommand is not None:
        given = [
            name for name in options if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        ]
        if given:
            where = context.invoked_subcommand
            raise click.UsageError(f"options go behind the word {where!r}: avvp pseudo-labels {where} …", context)
        return
    if not options["store_url"]:
        raise click.UsageError("Missing option '--store'.", context)
    from pipeline.cli.labels_actions import run_pseudo_labels

    run_pseudo_labels(**options)


GROUP_OPTION = click.option("--teacher", "--name", "teacher", default="valor", show_default=True, help="The group.")


@pseudo_labels.command(name="score")
@STORE_OPTION
@GROUP_OPTION
@DATASET_OPTION
@click.option("--annotations", required=True, help="Folder with the label files.")
@click.option("--split", default="val", show_default=True, help="A split with ground truth.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score_pseudo_labels(
    *, store_url: str, teacher: str, dataset: str, annotations: str, split: str, as_json: bool
) -> None:
    """Precision, recall and F1 of each class against the ground truth of a split."""
    from pipeline.cli.labels_actions import print_scores

    print_scores(
        store_url=store_url, teacher=teacher, dataset=dataset, annotations=annotations, split=split, as_json=as_json
    )


@pseudo_labels.command(name="search")
@STORE_OPTION
@GROUP_OPTION
@DATASET_OPTION
@click.option("--annotations", required=True, help="Folder with the label files.")
@click.option("--split", default="val", show_default=True, help="A split with ground truth. Not the one you report.")
@click.option("--out", required=True, help="The thresholds file to write.")
def search_pseudo_label_thresholds(
    *, store_url: str, teacher: str, dataset: str, annotations: str, split: str, out: str
) -> None:
    """Find the thresholds with the best F1 of each class, and write them to a file for --thresholds."""
    from pipeline.cli.labels_actions import run_search

    run_search(store_url=store_url, teacher=teacher, dataset=dataset, annotations=annotations, split=split, out=out)


@pseudo_labels.command(name="noise")
@STORE_OPTION
@click.option("--name", default="jomold", show_default=True, help="Group in noise_ratios/.")
@DATASET_OPTION
@click.option("--import", "import_file", help="Take a published .npz with audio and visual, a number a class.")
@click.option("--run", help="Estimate them with this trained run, as JoMoLD does.")
@click.option("--annotations", help="With --run: folder with the label files.")
@click.option("--rebuild", is_flag=True, help="Replace noise ratios that differ.")
def noise_ratios(
    *, store_url: str, name: str, dataset: str, import_file: str | None, run: str | None, annotations: str | None,
    rebuild: bool,
) -> None:  # fmt: skip
    """How many weak labels of each class are wrong in each modality: import or estimate, and store them."""
    if (import_file is None) == (run is None) or (run is None) != (annotations is None):
        raise click.UsageError("expected --import FILE, or --run RUN with --annotations DIR")
    from pipeline.cli.labels_actions import run_noise_ratios

    run_noise_ratios(
        store_url, name=name, dataset=dataset, import_file=import_file, run=run, annotations=annotations,
        rebuild=rebuild,
    )  # fmt: skip


COMMANDS: tuple[click.Command, ...] = (labels, pseudo_labels)
