// Jupyter's widgets within a frame, handed into it as text when a widget is first shown.
//
//   page ── steps ──► start() ──► Manager ──► models and views
//    ▲                               │
//    └── comm, library wanted ───────┘
//
// The page validates whatever comes from here: what a widget runs may change everything in this window.

import { Widget } from "@lumino/widgets";
import type { WidgetContent, WidgetStep } from "../message.js";
import { Manager } from "./manager.js";
import type { Tools } from "./manager.js";

/** Shows a widget in `host`; answers what takes in later steps. */
function start(host: HTMLElement, content: WidgetContent, tools: Tools): (steps: WidgetStep[]) => void {
  const style = document.createElement("style");
  style.textContent = WIDGETS_CSS;
  document.head.append(style);
  const manager = new Manager(tools);
  manager.take(content.models.map(({ id, state }) => ({ open: id, state })));
  // Without models the page says what became of the widget.
  if (content.models.length > 0) manager.show(content.root).then((view) => Widget.attach(view.luminoWidget, host)).catch((error: unknown) => tools.failed(String(error)));
  return (steps) => manager.take(steps);
}

/** The bundler fills it in. */
declare const WIDGETS_CSS: string;
(globalThis as unknown as { cellgateWidgets: unknown }).cellgateWidgets = start;
