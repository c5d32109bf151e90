"""One design in full: its drawing, where its cost goes, what its trials found, and its exports."""

from __future__ import annotations

import io
import shlex
import zipfile
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from piip_explore import published
from piip_explore.dashboard import text, view
from piip_explore.dashboard.context import Context, pinned
from piip_explore.dashboard.figures import style
from piip_explore.dashboard.figures.cost import by_module
from piip_explore.dashboard.figures.drawing import drawing
from piip_explore.dashboard.figures.study import curves as training_curves
from piip_explore.dashboard.trials import Trials
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export import TARGETS, Files, Origin, exporter

_EXAMPLE = "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear"


@dataclass(frozen=True)
class Chosen:
    """A selected design, and the trial that it was selected as, if any."""

    design: Design
    trial: int | None = None


def show(context: Context) -> None:
    """Draw the page."""
    st.title("Design")
    trials = pinned(context.source).trials if context.source else None
    chosen = _choose(trials)
    if chosen is None:
        st.info("Select a design on the **Front** page or in **Published**, or write one above.")
        return
    design = chosen.design
    st.code(str(design), language=None, wrap_lines=True)
    st.plotly_chart(drawing(design), key="drawing", config=style.CONFIG, alt=f"Architecture of {design}")
    st.subheader("Where the cost goes")
    _cost(design, context.accounting)
    if trials is not None:
        _measured(trials, chosen)
    st.subheader("Nearest published design")
    _nearest(design)
    st.subheader("Export")
    _export(chosen, trials, context)


def _choose(trials: Trials | None) -> Chosen | None:
    """Draw the choice among the selected designs, and a field to write one."""
    left, right = st.columns(2)
    found = resolve(view.picks(), trials)
    with right:
        st.text_input("Write a design", placeholder=_EXAMPLE, key="written", on_change=_on_written)
    with left:
        if not found:
            return None
        names = list(found)
        name = st.selectbox("Selected designs", names) if len(names) > 1 else names[0]
    return found[name]


def _on_written() -> None:
    words = str(st.session_state["written"]).strip()
    if words:
        view.select([words])


def resolve(tokens: tuple[str, ...], trials: Trials | None) -> dict[str, Chosen]:
    """Return the designs that tokens of the address name, by what to call them.

    Raises:
        InputError: a token is no trial of the study and spells no design.
    """
    found = {}
    for token in tokens:
        design = view.design_of(token)
        if design is not None:
            found[text.one_line(design, 90)] = Chosen(design)
            continue
        number = int(token)
        if trials is None or number >= len(trials) or trials.designs[number] is None:
            raise InputError(f"the selected trial {number} is not in this study: select another on the Front page")
        found[f"trial {number}"] = Chosen(Design.parse(trials.designs[number]), number)
    return found


def _cost(design: Design, accounting: str) -> None:
    from piip_explore import cost

    counted = cost.count(design, accounting)
    other = "built" if accounting == "published" else "published"
    with st.container(horizontal=True):
        st.metric(f"GFLOPs ({accounting})", text.number(counted.macs / 1e9, 4), border=True)
        st.metric(f"GFLOPs ({other})", text.number(cost.count(design, other).macs / 1e9, 4), border=True)
        st.metric("Parameters (M)", text.number(counted.params / 1e6, 4), border=True)
    st.plotly_chart(
        by_module(counted.by_module),
        key="by_module",
        config=style.CONFIG,
        alt=f"FLOPs and parameters of the parts of {design}",
    )


def _measured(trials: Trials, chosen: Chosen) -> None:
    """Draw what the study's trials of this design found."""
    rows = np.flatnonzero(trials.designs == str(chosen.design))
    if chosen.trial is not None:
        rows = np.union1d(rows, [chosen.trial])
    if not len(rows):
        return
    st.subheader("What this study measured")
    records = [_record(trials, int(row)) for row in rows]
    frame = pd.DataFrame.from_records(records).dropna(axis=1, how="all")
    st.dataframe(frame, hide_index=True)
    curves = {f"trial {row}": curve for row in rows if (curve := trials.attributes(int(row)).get("curve"))}
    if curves:
        st.plotly_chart(
            training_curves(curves), key="curves", config=style.CONFIG, alt="Training loss over samples seen"
        )
    st.caption("Every score carries what it depends on: fidelity, seed, device, code version and kernel backend.")


def _record(trials: Trials, row: int) -> dict[str, object]:
    attributes = trials.attributes(row)
    depends_on = ("preset", "device", "kernel_backend", "code_version", "torch")
    return {
        "trial": row,
        "fidelity": attributes.get("fidelity"),
        "seed": attributes.get("seed"),
        trials.metric: trials.score[row],
        "± standard error": trials.error[row],
        "seconds": attributes.get("seconds"),
        "peak memory (GiB)": trials.floats("peak_memory")[row] / 2**30,
        "latency (ms)": attributes.get("latency"),
        "failure": attributes.get("failure"),
        **{name: str(attributes[name]) for name in depends_on if name in attributes},
    }


def _nearest(design: Design) -> None:
    row, difference = nearest(design, _published())
    st.markdown(
        text.code(row["row"]) + f" · {text.prose(row['source'])}" + ("" if difference else " · the same design")
    )
    st.code(str(row["design"]), language=None, wrap_lines=True)
    metrics = {"box_ap": "box AP", "mask_ap": "mask AP", "miou": "mIoU", "top1": "top-1"}
    shown = [f"{label} {row[name]:g}" for name, label in metrics.items() if pd.notna(row[name])]
    cost = [f"{row['gflops']:,g} GFLOPs"] if pd.notna(row["gflops"]) else []
    st.caption("Published: " + ", ".join(shown + cost) + ". Full training runs; not comparable with a proxy score.")


@st.cache_data(show_spinner=False)
def _published() -> pd.DataFrame:
    return published.load()


def nearest(design: Design, rows: pd.DataFrame) -> tuple[pd.Series, float]:
    """Return the published row whose branches are most alike, and how far off it is (0: the same design).

    Two designs differ by the sum over branches, matched from the highest resolution down, of the differences of log2
    resolution and half that of log2 block weights; by 3 for a branch more or less; by 0.1 for each differing option.
    """
    distances = [_distance(design, Design.parse(str(other))) for other in rows["design"]]
    best = int(np.argmin(distances))
    return rows.iloc[best], float(distances[best])


def _distance(a: Design, b: Design) -> float:
    if a.id == b.id:
        return 0.0
    a, b = a.sorted(), b.sorted()
    distance = 3.0 * abs(len(a.branches) - len(b.branches))
    for one, other in zip(a.branches, b.branches, strict=False):
        distance += abs(np.log2(one.resolution / other.resolution))
        distance += abs(np.log2(one.spec.weights / other.spec.weights)) / 2
        distance += 0.5 * (type(one.spec) is not type(other.spec)) + 0.1 * (one.window != other.window)
    return distance + 0.1 * (a.interaction != b.interaction) + 0.1 * (a.merge != b.merge) + 0.01


def _export(chosen: Chosen, trials: Trials | None, context: Context) -> None:
    target = st.segmented_control(
        "Target", list(TARGETS), default=next(iter(TARGETS)), required=True, key="target", bind="query-params"
    )
    try:
        exporter(target).check(chosen.design)
        if target in _TRACED and not _wanted(chosen.design, target):
            return
        files = exporter(target).export(chosen.design, _origin(chosen, trials, context))
    except InputError as error:
        st.warning(text.prose(error), icon=":material/block:")
        return
    name = f"{target}-{chosen.design.id}.zip"
    st.download_button(
        f"Download {text.count(len(files), 'file')} ({name})",
        data=zipped(files),
        file_name=name,
        mime="application/zip",
        on_click="ignore",
        icon=":material/download:",
    )
    for file, content in files.items():
        with st.expander(file, expanded=len(files) == 1):
            if isinstance(content, str):
                st.code(content, language=_LANGUAGES.get(file.rpartition(".")[2]), line_numbers=True)
            else:
                st.caption(f"Binary, {len(content):,} bytes")


_TRACED = ("torch-export", "onnx")
"""Targets that build the network with its weights and trace it."""

_MOST_PARAMS = 500e6
"""Larger networks are not built inside the dashboard."""


def _wanted(design: Design, target: str) -> bool:
    """Draw the command for a target that takes long, and the button that runs it here."""
    from piip_explore import cost

    st.caption("This target builds the network and traces it, which takes a while. On the command line:")
    st.code(f"piip-explore export {shlex.quote(str(design))} --target {target} --out exported", language="bash")
    small = cost.count(design).params <= _MOST_PARAMS
    return small and st.button("Build it here", icon=":material/construction:")


_LANGUAGES = {"py": "python", "yaml": "yaml", "json": "json", "md": "markdown"}


def _origin(chosen: Chosen, trials: Trials | None, context: Context) -> Origin | None:
    if chosen.trial is None or trials is None or context.source is None:
        return None
    row = chosen.trial
    attributes = trials.attributes(row)
    scores = {trials.metric: float(trials.score[row]), "gflops_published": float(attributes["gflops_published"])}
    conditions = ("preset", "preset_hash", "fidelity", "seed", "device", "code_version", "kernel_backend")
    return Origin(
        context.source.name, row, scores, {name: attributes[name] for name in conditions if name in attributes}
    )


def zipped(files: Files) -> bytes:
    """Return files as one ZIP archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()
