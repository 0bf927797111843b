"""How the Space looks: theme, style sheet, and the texts around the controls."""

from __future__ import annotations

from html import escape
from typing import Any

from .limits import SpaceLimits

HEADER = """
<header class="masthead">
  <h1>InfiniteDance</h1>
  <p>A song goes in, a 3D dance comes out.</p>
</header>
"""
_NOTES = """
<footer class="notes">
  <p>Songs and dances are deleted from here after {minutes:g} minutes.{license} Left limbs are blue, right limbs
  orange; rings mark feet that stand.</p>
</footer>
"""
CSS = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
.masthead { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; padding: 8px 2px 0; }
.masthead h1 { margin: 0; font-size: 26px; font-weight: 700; letter-spacing: -0.02em; color: var(--body-text-color); }
.masthead p, .notes p { margin: 0; color: var(--body-text-color-subdued); }
.notes p { font-size: 13px; max-width: 80ch; }
.html-container { padding: 0 !important; }
#columns {
  display: grid; gap: 16px; align-items: stretch;
  grid-template: "inputs results" auto "making results" 1fr "options options" auto / minmax(288px, 4fr) 7fr;
}
#columns > * { min-width: 0 !important; }
#more .row > *, #more .form > * { flex: 1 1 240px; }
#inputs { grid-area: inputs; } #making { grid-area: making; }
#options { grid-area: options; } #results { grid-area: results; }
#stage, #stage .html-container, #stage .html-container > div { display: flex; flex-direction: column; flex: 1 0 auto; }
#stage-box { flex: 1 0 auto; }
#stage .stage-host, #stage .stage-empty { flex: 1 0 560px; display: flex; flex-direction: column; }
#stage [data-testid="status-tracker"] .error, #stage .clear-status { display: none; }
#stage [data-testid="status-tracker"] { inset: 0; height: auto; }
#stage .progress-level {
  position: absolute; left: 50%; top: 60%; transform: translate(-50%, -50%); width: min(440px, 88%);
  padding: 14px 18px; box-sizing: border-box; border-radius: 10px; background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary);
}
#stage .progress-bar-wrap {
  width: 100%; height: 8px; border: 0; border-radius: 4px; background: var(--border-color-primary); overflow: hidden;
}
#stage .meta-text, #stage .meta-text-center { display: none; }
#stage .pending .stage-empty p { visibility: hidden; }
#stage .progress-level-inner, #stage .progress-text { font-family: inherit; font-size: 14px; }
#stage .stage-empty {
  align-items: center; justify-content: center; gap: 16px;
  border: 1px dashed var(--border-color-primary); border-radius: 12px; color: var(--body-text-color-subdued);
  background: var(--background-fill-secondary); text-align: center; padding: 24px; box-sizing: border-box;
}
#stage .stage-empty[hidden], #stage .stage-host[hidden] { display: none; }
#stage .stage-empty svg { width: 96px; height: 96px; fill: currentColor; stroke: currentColor; opacity: 0.45; }
#stage .stage-empty p { margin: 0; max-width: 32ch; }
#stage-box { position: relative; gap: 0; }
#cancel {
  position: absolute; left: 50%; top: calc(60% + 66px); transform: translateX(-50%); z-index: 60; width: auto;
  min-width: 120px;
}
#actions { gap: 8px; flex-wrap: wrap; }
#actions button { flex: 1 1 auto; min-width: 0; padding: 10px 14px; font-size: 15px; white-space: nowrap; }
#actions #another { flex-grow: 3; }
.problem {
  margin: 0; padding: 10px 14px; border-radius: 8px; border-left: 4px solid #d92d20; color: #8a1c12;
  background: #fdecea; font-size: 14px;
}
.dark .problem { color: #ffc9c4; background: #3a1a1c; border-left-color: #f97066; }
.problem-slot:not(:has(.problem)), #editor:has(.is-empty) { display: none; }
#editor {
  padding: 14px; border: 1px solid var(--border-color-primary); border-radius: var(--block-radius);
  background: var(--block-background-fill);
}
#inputs:has(#editor .has-song) :is(#example, #song .component-wrapper, #song .source-selection) {
  display: none;
}
#inputs:has(#song-problem .problem) #song:has(audio, .component-wrapper) :is(audio, .component-wrapper),
#inputs:has(#song-problem .problem) #song:has(audio, .component-wrapper) .source-selection {
  display: none;
}
#inputs:has(#editor .has-song, #song-problem .problem) #song { min-height: 44px; }
#editor .waiting { margin: 0; padding: 10px 2px; color: var(--body-text-color-subdued); }
.gallery ul { display: flex; gap: 10px; margin: 0; padding: 2px 2px 8px; list-style: none; overflow-x: auto; }
.gallery li { flex: 0 0 172px; min-width: 0; display: flex; flex-direction: column; gap: 6px; }
.gallery button { font: inherit; color: inherit; cursor: pointer; border-radius: 10px; text-align: left; }
.gallery .pick {
  display: block; width: 100%; box-sizing: border-box; padding: 8px 10px; background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary);
}
.gallery .pick:hover, .gallery .compare:hover { border-color: var(--color-accent); }
.gallery li.shown .pick { border-color: var(--color-accent); box-shadow: 0 0 0 1px var(--color-accent); }
.gallery li.beside .pick { border-color: #ee6c3a; box-shadow: 0 0 0 1px #ee6c3a; }
.gallery button:focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px; }
.gallery svg { display: block; width: 100%; height: 84px; fill: none; stroke-width: 11; stroke-linecap: round; }
.gallery .trunk { stroke: #8b95a3; } .gallery .left { stroke: #1f9ad6; } .gallery .right { stroke: #ee6c3a; }
.gallery circle { fill: #8b95a3; }
.gallery b, .gallery span { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.gallery span { font-size: 12px; color: var(--body-text-color-subdued); }
.gallery .compare {
  padding: 4px 10px; background: none; border: 1px solid var(--border-color-primary); font-size: 13px;
  text-align: center;
}
:is(.evaluation, .downloads, .gallery) h2 { margin: 4px 0 8px; font-size: 16px; font-weight: 650; }
.evaluation > p { margin: 0 0 6px; }
.evaluation .good b { color: #157f3c; } .evaluation .weak b { color: #b54708; }
.dark .evaluation .good b { color: #6ce9a6; } .dark .evaluation .weak b { color: #fdb022; }
.evaluation summary { cursor: pointer; color: var(--link-text-color); padding: 4px 0; }
#card .evaluation table { width: 100%; margin: 0; border-collapse: collapse; font-size: 14px; }
#card .evaluation :is(table, thead, tbody, tr, th, td) { border: 0; background: none; }
#card .evaluation :is(th, td) {
  padding: 8px 12px 8px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--border-color-primary);
}
.evaluation td { white-space: nowrap; font-variant-numeric: tabular-nums; }
.evaluation thead th { font-weight: 500; color: var(--body-text-color-subdued); font-size: 12px; }
.evaluation tbody th { font-weight: 600; }
.evaluation small { display: block; font-weight: 400; color: var(--body-text-color-subdued); }
.evaluation p { margin: 10px 0 0; }
.downloads { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 12px 24px; align-items: start; }
.downloads h2, .downloads .missing { grid-column: 1 / -1; margin-bottom: 0; }
.downloads .film { max-width: 560px; }
.downloads video { width: 100%; border-radius: 10px; background: #0003; }
.downloads .waiting {
  margin: 0; width: 100%; aspect-ratio: 16 / 9; display: grid; place-items: center; border-radius: 10px;
  border: 1px dashed var(--border-color-primary); color: var(--body-text-color-subdued);
}
.downloads ul { list-style: none; margin: 0; padding: 0; font-size: 14px; }
.downloads li {
  display: grid; grid-template-columns: 92px 1fr auto; gap: 8px; align-items: baseline; padding: 5px 0;
  border-bottom: 1px solid var(--border-color-primary);
}
.downloads a { font-weight: 600; color: var(--link-text-color); }
.downloads small, .downloads span { color: var(--body-text-color-subdued); }
.downloads .missing { margin: 0; font-size: 13px; color: var(--body-text-color-subdued); }
.dark input[type="range"] { --neutral-200: #3a4252; }
@media (max-width: 900px) {
  .downloads { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 640px) {
  #columns { grid-template: "inputs" auto "options" auto "making" auto "results" auto / minmax(0, 1fr); }
  .evaluation :is(th, td) { font-size: 13px; }
  #stage .stage-empty { flex-basis: 320px; }
}
"""


def notes(limits: SpaceLimits, license: str | None) -> str:
    """Return what stands at the foot of the page; `license` is that of the model, if its card states one."""
    told = "" if license is None else f" The dances are under the license of the model, {escape(license)}."
    return _NOTES.format(minutes=limits.keep_minutes, license=told)


def make_theme() -> Any:
    """Return the Gradio theme: the viewer's colors, and fonts of the visitor's system, so that none is fetched."""
    import gradio as gr

    return gr.themes.Soft(
        primary_hue="violet",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#11141a",
        background_fill_secondary_dark="#151920",
        input_background_fill_dark="#11141a",
        link_text_color="#5b45e0",
        link_text_color_dark="#a99bff",
        block_background_fill="white",
        block_background_fill_dark="#1a1f29",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="#2a303b",
        block_shadow="none",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="#3a4252",
        button_border_width="1px",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#3a4252",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#1a1f29",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*body_text_color",
        block_label_text_color_dark="*body_text_color",
        button_primary_background_fill="#5b45e0",
        button_primary_background_fill_dark="#5b45e0",
        button_primary_background_fill_hover="#4733c4",
        button_primary_background_fill_hover_dark="#6f5bea",
    )
