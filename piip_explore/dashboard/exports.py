"""The exports of a design: every target, its files shown before they are downloaded."""

from __future__ import annotations

import io
import shlex
import zipfile

import streamlit as st

from piip_explore.dashboard import address, text
from piip_explore.dashboard.selection import Chosen
from piip_explore.dashboard.trials import Trials
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export import TARGETS, Files, Origin, exporter

_LANGUAGES = {"py": "python", "yaml": "yaml", "json": "json", "md": "markdown"}

_MOST_LINES, _HEIGHT = 30, 560
"""Longer files scroll in a box of so many pixels."""


def offer(chosen: Chosen, trials: Trials | None) -> None:
    """Draw the choice of a target, and what it makes of the design: its files, or why it cannot express it."""
    target = st.segmented_control(
        "Target", list(TARGETS), required=True, **address.one("target", list(TARGETS), usual(trials))
    )
    writer = exporter(target)
    try:
        writer.check(chosen.design)
        if target in _TRACED and not _wanted(chosen.design, target):
            return
        origin = None if chosen.trial is None or trials is None else Origin.of(trials.columns, chosen.trial)
        files = writer.files(chosen.design, origin)
    except InputError as error:
        st.warning(text.prose(error), icon=":material/block:")
        nearest = writer.nearest(chosen.design)
        if nearest != chosen.design:
            st.button("Show that design", on_click=address.select, args=([nearest],), key="nearest")
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
                language = _LANGUAGES.get(file.rpartition(".")[2])
                long = content.count("\n") > _MOST_LINES
                st.code(content, language=language, line_numbers=True, height=_HEIGHT if long else "content")
            else:
                st.caption(f"Binary, {len(content):,} bytes")


def usual(trials: Trials | None) -> str:
    """Return the target that a study's task calls for."""
    return f"official-{trials.columns.task if trials is not None else 'detection'}"


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


def zipped(files: Files) -> bytes:
    """Return files as one ZIP archive, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()
