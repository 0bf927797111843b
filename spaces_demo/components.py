"""Parts of the page that Gradio has not: viewer, song editor, gallery, problems and downloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ..assets import VIEWER_SCRIPT
from .studio import DOWNLOADS
from .visit import Kept, Visit

# The templates do not name the value, so that their elements stay when a new one comes.
_LOAD_SCRIPT = """
const loadScript = (url) => window.InfiniteDanceViewer ?? (window.viewerScript ??= new Promise((loaded, failed) => {
  const script = Object.assign(document.createElement("script"), { src: url, onload: loaded, onerror: failed });
  document.head.append(script);
}));
const theme = () => document.body.classList.contains("dark") ? "dark" : "light";
"""
_VIEWER_HTML = """
<div class="stage-host"></div>
<div class="stage-empty">
  <svg viewBox="0 0 64 64" aria-hidden="true"><circle cx="36" cy="10" r="6"/><path d="M34 19 31 36M33 23 46 17 54 8M33
  23 20 28 11 22M31 36 42 44 40 58M31 36 22 46 12 50" fill="none" stroke-width="6" stroke-linecap="round"
  stroke-linejoin="round"/></svg>
  <p>Choose a song, press <b>Make a dance</b>, and it is danced here.</p>
</div>
"""
_VIEWER_JS = (
    _LOAD_SCRIPT
    + """
let shown;
let newest = 0;
const host = () => element.querySelector(".stage-host");
const address = (link) => {
  const url = new URL(location);
  url.searchParams.set("dance", link);
  history.replaceState(history.state, "", url);
};
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
  const options = { theme: theme(), together: host().clientWidth > 520 };
  shown = element.viewer = window.InfiniteDanceViewer.mount(host(), dances, value.song.url, options);
  address(value.link);
  if (value.plays) shown.play();
};
watch("value", show);
show();
"""
)
_EDITOR_HTML = """
<p class="waiting" role="status" hidden>Listening for the beat …</p>
<div class="editor-host"></div>
"""
_EDITOR_JS = (
    _LOAD_SCRIPT
    + """
let shown;
let newest = 0;
const show = async () => {
  const { value } = props;
  const turn = ++newest;
  element.classList.toggle("is-empty", !value);
  element.classList.toggle("has-song", !!value?.song);
  element.querySelector(".waiting").hidden = !value || !!value.song;
  const host = element.querySelector(".editor-host");
  if (!value?.song) {
    shown?.dispose();
    shown = element.editor = null;
    return;
  }
  await loadScript(value.script.url);
  if (turn !== newest) return;
  shown = element.editor = window.InfiniteDanceViewer.editSong(host, value, {
    theme: theme(),
    onCorrect: (correction) => trigger("input", correction),
  });
};
watch("value", show);
show();
"""
)
_GALLERY_HTML = """
{{#if value}}
<section class="gallery" aria-label="Your dances">
  <h2>Your dances</h2>
  <ul>
  {{#each value}}
    <li class="{{this.state}}">
      <button class="pick" data-index="{{this.index}}" aria-pressed="{{this.is_shown}}"
      aria-label="Show {{this.name}}, {{this.song}}, {{this.detail}}">
        <svg viewBox="0 0 {{this.width}} {{this.height}}" aria-hidden="true">
        <path class="trunk" d="{{this.poses.trunk}}"/><path class="left" d="{{this.poses.left}}"/>
        <path class="right" d="{{this.poses.right}}"/>
        {{#each this.poses.heads}}<circle cx="{{this.x}}" cy="{{this.y}}" r="{{this.r}}"/>{{/each}}
        </svg>
        <b>{{this.name}}</b><span>{{this.song}}</span><span>{{this.detail}}</span>
      </button>
      {{#if this.can_compare}}<button class="compare" data-index="{{this.index}}" data-beside="1"
      aria-pressed="{{this.is_beside}}">{{this.compare}}</button>{{/if}}
    </li>
  {{/each}}
  </ul>
</section>
{{/if}}
"""
_GALLERY_JS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-index]");
  if (button) trigger("select", { index: Number(button.dataset.index), beside: !!button.dataset.beside });
});
"""
_PROBLEM_HTML = """{{#if value}}<p class="problem" role="alert">{{value}}</p>{{/if}}"""
_PROBLEM_JS = """
watch("value", () => props.value && element.scrollIntoView({ block: "nearest", behavior: "smooth" }));
"""
_DOWNLOADS_HTML = """
{{#if value}}
<section class="downloads" aria-label="Downloads">
  <h2>Take it home</h2>
  <div class="film">{{#if value.video}}<video controls preload="metadata" src="{{value.video.url}}"
  aria-label="Video of the dance"></video>{{/if}}
  {{#if value.is_drawing}}<p class="waiting" role="status">The video is being drawn.</p>{{/if}}</div>
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


_DOWNLOADS_JS = """
let wasShown = false;
watch("value", () => {
  const isNew = props.value?.is_drawing && !wasShown;
  if (isNew) element.scrollIntoView({ block: "nearest", behavior: "smooth" });
  wasShown = !!props.value;
});
"""


def make_viewer() -> gr.HTML:
    """Return the viewer, empty; its values are those of `viewer_value`."""
    gr.set_static_paths([VIEWER_SCRIPT])
    return _html("Dance", _VIEWER_HTML, _VIEWER_JS, "stage")


def make_song_editor() -> gr.HTML:
    """Return the song with its part and its beats, empty; its values are those of `song_editor_value`."""
    return _html("Part and beat", _EDITOR_HTML, _EDITOR_JS, "editor")


def make_gallery() -> gr.HTML:
    """Return the gallery, empty; its values are those of `gallery_value`."""
    return _html("Your dances", _GALLERY_HTML, _GALLERY_JS, "gallery")


def make_problem(field: str) -> gr.HTML:
    """Return a place for what is wrong with the field above it, which it is named after; its value is the text."""
    return _html("Problem", _PROBLEM_HTML, _PROBLEM_JS, f"{field}-problem", "problem-slot")


def make_downloads() -> gr.HTML:
    """Return the list of downloads, empty; its values are those of `downloads_value`."""
    return _html("Downloads", _DOWNLOADS_HTML, _DOWNLOADS_JS, "downloads")


def _html(label: str, template: str, script: str | None, name: str, kind: str | None = None) -> gr.HTML:
    return gr.HTML(
        label=label,
        html_template=template,
        js_on_load=script,
        elem_id=name,
        elem_classes=kind,
        apply_default_css=False,
    )


def named(genre: str) -> str:
    """Return a genre as the page writes it."""
    return genre[:1].upper() + genre[1:]


def viewer_value(on_stage: Sequence[Kept], *, plays: bool) -> dict[str, Any]:
    """Return what the viewer shows: one dance or two on one floor, with the song of the first.

    Args:
        on_stage: From `Visit.on_stage`.
        plays: Begin to play.
    """
    return {
        "script": _file(VIEWER_SCRIPT),
        "song": _file(on_stage[0].dances.song),
        "dances": [_file(kept.dances.packed(kept.index)) for kept in on_stage],
        "link": on_stage[0].link,
        "plays": plays,
    }


def song_editor_value(song: Path | None = None, heard: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what the song editor shows: that it is being listened to, or what was heard.

    Args:
        song: The whole song, as a browser plays it.
        heard: From `Studio.listen`.
    """
    if song is None or heard is None:
        return {"song": None}
    return {"script": _file(VIEWER_SCRIPT), "song": _file(song), **heard}


def gallery_value(visit: Visit) -> list[dict[str, Any]]:
    """Return what the gallery shows, the newest dance first."""
    items = []
    for index, kept in reversed(list(enumerate(visit.kept))):
        variant, is_beside = kept.variant, index == visit.beside
        song = kept.dances.song.stem.replace("_", " ")
        width, height = variant.poses["size"]
        items.append(
            {
                "index": index,
                "name": named(variant.genre),
                "song": song,
                "detail": f"{kept.dances.seconds:.0f} s, seed {variant.seed}",
                "state": "shown" if index == visit.shown else "beside" if is_beside else "",
                "is_shown": str(index == visit.shown).lower(),
                "is_beside": str(is_beside).lower(),
                "can_compare": visit.can_compare(index),
                "compare": "Leave the floor" if is_beside else "Compare",
                "poses": variant.poses,
                "width": width,
                "height": height,
            }
        )
    return items


def downloads_value(files: Mapping[str, Path], *, is_drawing: bool) -> dict[str, Any]:
    """Return what the list of downloads shows.

    Args:
        files: By their endings, from `Studio.write`.
        is_drawing: Whether the video comes later.
    """
    return {
        "video": _file(files[".mp4"]) if ".mp4" in files else None,
        "is_drawing": is_drawing and ".mp4" not in files,
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
    return gr.FileData(path=str(path), orig_name=path.name).model_dump()
