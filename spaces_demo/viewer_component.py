"""The viewer and the list of downloads as Gradio components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..assets import VIEWER_SCRIPT
from .studio import DOWNLOADS, DanceSet

_VIEWER_HTML = """
<div class="stage-host"></div>
<div class="stage-empty">
  <svg viewBox="0 0 64 64" aria-hidden="true"><circle cx="36" cy="10" r="6"/><path d="M34 19 31 36M33 23 46 17 54 8M33
  23 20 28 11 22M31 36 42 44 40 58M31 36 22 46 12 50" fill="none" stroke-width="6" stroke-linecap="round"
  stroke-linejoin="round"/></svg>
  <p>Your dance appears here: drag to look around, press space to play.</p>
</div>
"""
# The template does not name the value, so that its elements stay when a new one comes.
_VIEWER_JS = """
let shown;
let newest = 0;
const host = () => element.querySelector(".stage-host");
const loadScript = (url) => window.InfiniteDanceViewer ?? (window.viewerScript ??= new Promise((loaded, failed) => {
  const script = Object.assign(document.createElement("script"), { src: url, onload: loaded, onerror: failed });
  document.head.append(script);
}));
const show = async () => {
  const { value } = props;
  const turn = ++newest;
  shown?.dispose();
  shown = element.viewer = null;
  host().hidden = !value;
  element.querySelector(".stage-empty").hidden = !!value;
  if (!value) return;
  await loadScript(value.script.url);
  const dances = await Promise.all(value.dances.map(async (file) => (await fetch(file.url)).json()));
  if (turn !== newest) return;
  const theme = document.body.classList.contains("dark") ? "dark" : "light";
  shown = element.viewer = window.InfiniteDanceViewer.mount(host(), dances, value.song.url, { theme });
};
watch("value", show);
show();
"""
_DOWNLOADS_HTML = """
{{#if value}}
<section class="downloads" aria-label="Downloads">
  {{#if value.video}}<video controls preload="metadata" src="{{value.video.url}}"
  aria-label="Video of the dance"></video>{{else}}<p class="waiting">The video is being drawn.</p>{{/if}}
  <ul>
  {{#each value.files}}
    <li><a href="{{this.file.url}}" download="{{this.name}}">{{this.suffix}}</a><span>{{this.text}}</span>
    <small>{{this.size}}</small></li>
  {{/each}}
  </ul>
  {{#if value.missing}}<p class="missing">Not made here: {{value.missing}}. At home
  <code>infinitedance convert</code> makes them from the .npz.</p>{{/if}}
</section>
{{/if}}
"""


def make_viewer() -> Any:
    """Return the viewer, empty; its values are those of `viewer_value`."""
    import gradio as gr

    gr.set_static_paths([VIEWER_SCRIPT])
    return gr.HTML(
        label="Dance", html_template=_VIEWER_HTML, js_on_load=_VIEWER_JS, elem_id="stage", apply_default_css=False
    )


def make_downloads() -> Any:
    """Return the list of downloads, empty; its values are those of `downloads_value`."""
    import gradio as gr

    return gr.HTML(
        label="Downloads", html_template=_DOWNLOADS_HTML, js_on_load=None, elem_id="downloads", apply_default_css=False
    )


def viewer_value(dances: DanceSet, indices: Sequence[int]) -> dict[str, Any]:
    """Return what the viewer shows: one dance or two, with their song.

    Args:
        dances: Of one visitor.
        indices: Of the variants, side by side.

    Raises:
        FileNotFoundError: If the dances are no longer kept.
    """
    dances.check_kept()
    return {
        "script": _file(VIEWER_SCRIPT),
        "song": _file(dances.song),
        "dances": [_file(dances.packed(index)) for index in indices],
    }


def downloads_value(files: Mapping[str, Path]) -> dict[str, Any]:
    """Return what the list of downloads shows.

    Args:
        files: By their endings, from `Studio.write`; the video may still be missing.
    """
    return {
        "video": _file(files[".mp4"]) if ".mp4" in files else None,
        "files": [
            {
                "suffix": suffix,
                "text": DOWNLOADS[suffix],
                "name": path.name,
                "size": f"{path.stat().st_size / 1e6:.1f} MB",
                "file": _file(path),
            }
            for suffix, path in files.items()
        ],
        "missing": ", ".join(suffix for suffix in DOWNLOADS if suffix not in files and suffix != ".mp4"),
    }


def _file(path: Path) -> dict[str, Any]:
    """Return a file as Gradio serves it: it fills in the address, whatever the Space stands behind."""
    from gradio import FileData

    return FileData(path=str(path), orig_name=path.name).model_dump()
