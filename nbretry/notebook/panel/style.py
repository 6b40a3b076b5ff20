"""The panel's style sheet. Its colours follow the page's theme, and its rules apply only inside the panel."""

from __future__ import annotations

from nbretry.notebook.panel.adding import ADDING_STYLE
from nbretry.notebook.panel.picker import PICKER_STYLE
from nbretry.notebook.panel.settings_view import SETTINGS_STYLE

__all__ = ["STYLE"]

_BASE = """
.nbretry-panel { box-sizing: border-box; width: 100%; margin: 2px 0; padding: 12px 14px 10px;
  border: 1px solid var(--jp-border-color1, rgba(128, 128, 128, 0.4)); border-radius: 8px; overflow: hidden;
  color: var(--jp-ui-font-color1, inherit); container-type: inline-size; }
.nbretry-panel .widget-html, .nbretry-panel .jupyter-widget-html { height: auto; min-width: 0; }
.nbretry-panel .widget-html-content { line-height: 1.5; min-width: 0; }
.nbretry-panel .nbretry-style, .nbretry-panel .nbretry-hidden { display: none; }
.nbretry-panel button { width: auto; min-width: 6em; }
.nbretry-panel .nbretry-quiet { color: var(--jp-ui-font-color2, inherit); }
.nbretry-panel .nbretry-tabs { margin: 0 0 6px; }
.nbretry-panel .nbretry-tabs > .lm-TabBar .lm-TabBar-tab, .nbretry-panel .nbretry-tabs .p-TabBar-tab {
  flex: 0 1 auto; min-width: 0; }
.nbretry-panel .nbretry-tabs > .widget-tab-contents { padding: 10px 12px; overflow: hidden; }
.nbretry-panel .nbretry-code { width: auto; }
.nbretry-panel .nbretry-code pre { margin: 4px 0 0; padding: 8px 10px; white-space: pre-wrap; overflow-wrap: anywhere;
  line-height: 1.45; font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px);
  color: var(--jp-content-font-color1, inherit); background: var(--jp-cell-editor-background, transparent);
  border: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); border-radius: 3px; }
.nbretry-panel .nbretry-bar { flex-wrap: wrap; align-items: center; gap: 8px; margin: 4px 0; overflow: hidden; }
.nbretry-panel .nbretry-bar > * { margin: 2px 0; }
.nbretry-panel .nbretry-bar > .nbretry-turns { flex: 1 1 auto; min-width: 7em; }
.nbretry-panel .nbretry-bar > .widget-checkbox { width: auto; }
.nbretry-panel .nbretry-insert { display: none; }
.jp-NotebookPanel .nbretry-panel .nbretry-insert { display: block; }
.nbretry-panel .nbretry-insert button { margin: 0; }
.nbretry-panel .widget-checkbox { align-items: center; }
.nbretry-panel .widget-label-basic { display: flex; align-items: center; gap: 6px; line-height: 1.5; }
.nbretry-panel .widget-checkbox input { margin: 0; flex: none; }
.nbretry-panel .nbretry-stacked { flex-direction: column; align-items: stretch; height: auto; width: auto;
  margin: 4px 0; }
.nbretry-panel .nbretry-stacked > label { width: auto; max-width: none; text-align: left; margin: 0;
  color: var(--jp-ui-font-color2, inherit); font-size: 0.85em; font-weight: 600; }
.nbretry-panel .nbretry-stacked > textarea { width: 100%; box-sizing: border-box; resize: vertical; }
.nbretry-panel .nbretry-answer-view { margin-top: 4px; }
.nbretry-panel .nbretry-answer-view > * { margin: 0; overflow: hidden; }
.nbretry-panel .nbretry-happened .widget-html-content { color: var(--jp-ui-font-color1, inherit);
  font-size: var(--jp-ui-font-size1, 13px); }
.nbretry-panel .nbretry-text > div { flex: 1 1 auto; line-height: 1.5; min-width: 0; overflow-x: auto;
  overflow-wrap: break-word; color: var(--jp-content-font-color1, inherit);
  font-size: var(--jp-content-font-size1, inherit); }
.nbretry-panel .nbretry-text > div > :first-child { margin-top: 4px; }
.nbretry-panel .nbretry-note .widget-html-content { white-space: pre-wrap; margin: 2px 0; font-size: 0.9em;
  overflow-wrap: anywhere; }
.nbretry-panel button:focus-visible, .nbretry-panel input:focus-visible, .nbretry-panel textarea:focus-visible,
.nbretry-panel select:focus-visible, .nbretry-panel summary:focus-visible,
.nbretry-panel .nbretry-tabs [role="tab"]:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: -1px; }
.nbretry-panel input:focus-visible, .nbretry-panel textarea:focus-visible, .nbretry-panel select:focus-visible {
  box-shadow: inset 0 0 0 1px var(--jp-brand-color1, #1976d2); }
"""

STYLE = "\n".join([_BASE, PICKER_STYLE, SETTINGS_STYLE, ADDING_STYLE])
"""The whole style sheet, as CSS; the rules of `StaticPicture.style` are added to it."""
