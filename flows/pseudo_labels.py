"""``pseudo-labels``: segment labels by a teacher."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.notices import tell_of_failure
from flows.outcomes import refuses_in_one_line
from flows.parameters import Text
from flows.run_names import named_by
from pipeline.datasets.dataset_description import load_description
from pipeline.labels.pseudo_labels import make_pseudo_labels


@flow(
    name="pseudo-labels",
    flow_run_name=named_by("pseudo labels by {teacher} → {store}", teacher="valor"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
def pseudo_labels(
    store: Text,
    teacher: Text = "valor",
    dataset: Text = "llp",
    annotations: Text | None = None,
    thresholds: Text = "valor",
    subset: bool = False,
    rebuild: bool = False,
) -> State[Any]:
    """Make pseudo labels of each segment from features, label embeddings and weak labels of a store.

    Args:
        store: A store with clip_vit_l14, clap, labels/clip and labels/clap.
        teacher: What makes them.
        dataset: llp, or a TOML file of your own.
        annotations: Folder with the weak labels. Empty: those in the store's clip table.
        thresholds: valor, or a TOML file.
        subset: The store holds a part of the labelled clips only.
        rebuild: Replace pseudo labels that were made otherwise.
    """
    made, written = make_pseudo_labels(
        store,
        dataset=load_description(dataset),
        teacher=teacher,
        annotations=annotations,
        thresholds=thresholds,
        subset=subset,
        rebuild=rebuild,
    )
    if not written:
        return Completed(message=f"pseudo_labels/{made.teacher}: nothing to do, the same is there")
    return Completed(message=f"pseudo_labels/{made.teacher}: {int(made.known.sum())} of {len(made.known)} clips")
