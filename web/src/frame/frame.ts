// Runs inside a sandboxed frame without an origin: shows one piece of HTML, a script or a chart
// that a cell produced, and reports its height. It gets its content by a message and has no network.

import { cutOff, parse } from "./network.js";
import type { FrameReport, Repaint, Show, Steps, WidgetContent, WidgetStep } from "./message.js";

const output = document.getElementById("output")!;
const report = (message: FrameReport) => parent.postMessage(message, "*");
const onFrame = () => report({ cellgate: "failed", reason: "frames within output are not shown" });

cutOff(onFrame);

/** Scripts that come in by innerHTML do not run; copies of them do, in their order. */
function revive(root: ParentNode): void {
  for (const dead of root.querySelectorAll("script")) {
    const script = document.createElement("script");
    for (const { name, value } of dead.attributes) script.setAttribute(name, value);
    script.textContent = dead.textContent;
    dead.replaceWith(script);
  }
}

function load(source: string): void {
  const script = document.createElement("script");
  script.textContent = source;
  document.head.append(script);
}

async function show(message: Show): Promise<void> {
  document.documentElement.dataset.theme = message.theme;
  if (message.library) load(message.library);
  const dark = message.theme === "dark";
  switch (message.kind) {
    case "html":
      output.replaceChildren(parse(String(message.content), onFrame));
      revive(output);
      return;
    case "script": {
      // What Jupyter calls `element`: where the script may draw.
      (globalThis as unknown as { element: HTMLElement }).element = output;
      load(String(message.content));
      return;
    }
    case "plotly": {
      const figure = message.content as { data?: unknown; layout?: Record<string, unknown>; config?: object };
      const ink = dark ? "#dcdfe4" : "#1f2328";
      const layout = {
        paper_bgcolor: "transparent", plot_bgcolor: "transparent", height: 420, ...figure.layout,
        ...(dark && { font: { color: ink, ...(figure.layout?.font as object) } }),
      };
      const { Plotly } = globalThis as unknown as { Plotly: Library };
      const data = drawable(figure.data);
      const known = Plotly.PlotSchema.get().traces;
      // The library would draw what it does not know as a line, without a word.
      const unknown = [...new Set(data.map((trace) => trace.type ?? "scatter"))].filter((type) => !(type in known));
      if (unknown.length > 0) {
        return report({ cellgate: "cannot", text: `This page cannot draw a Plotly chart of the kind ${unknown.join(", ")}. fig.write_html("chart.html") writes a page that draws it: take it from the files of the session.` });
      }
      await Plotly.newPlot(output, data, layout, { responsive: true, displaylogo: false, ...figure.config });
      return;
    }
    case "widget": {
      const { cellgateWidgets } = globalThis as unknown as { cellgateWidgets: WidgetLibrary };
      takeSteps = cellgateWidgets(output, message.content as WidgetContent, {
        send: (id, token, data, buffers) => report({ cellgate: "comm", id, token, data, buffers, touched: navigator.userActivation.hasBeenActive }),
        cannot: (text) => report({ cellgate: "cannot", text }),
        failed: (reason) => report({ cellgate: "failed", reason }),
        html: (host, text) => {
          host.replaceChildren(parse(text, onFrame));
          revive(host);
        },
        script: (host, text) => {
          (globalThis as unknown as { element: HTMLElement }).element = host;
          load(text);
        },
      });
      for (const steps of early.splice(0)) takeSteps(steps);
      return;
    }
    case "vega": {
      const { vegaEmbed } = globalThis as unknown as { vegaEmbed(...all: unknown[]): Promise<unknown> };
      await vegaEmbed(output, message.content, { actions: false, theme: dark ? "dark" : undefined, config: { background: "transparent" } });
      return;
    }
  }
}

interface Trace { type?: string }
interface Library {
  newPlot(...all: unknown[]): Promise<unknown>;
  PlotSchema: { get(): { traces: Record<string, unknown> } };
}

/** The traces, those for WebGL as what they look like: Plotly Express makes such of more than a thousand points. */
function drawable(data: unknown): Trace[] {
  const traces = (Array.isArray(data) ? data : []) as Trace[];
  return traces.map((trace) => (trace.type === "scattergl" || trace.type === "heatmapgl" ? { ...trace, type: trace.type.slice(0, -2) } : trace));
}

/** What `widgets/library.ts` puts into the window. */
type WidgetLibrary = (host: HTMLElement, content: WidgetContent, tools: {
  send(id: string, token: string, data: unknown, buffers: ArrayBuffer[]): void;
  cannot(text: string): void;
  failed(reason: string): void;
  html(host: HTMLElement, text: string): void;
  script(host: HTMLElement, text: string): void;
}) => (steps: WidgetStep[]) => void;

let shown: Show | null = null;
let takeSteps: ((steps: WidgetStep[]) => void) | null = null;
const early: WidgetStep[][] = [];

addEventListener("message", (event: MessageEvent<Show | Repaint | Steps>) => {
  if (event.source !== parent) return;
  const { data } = event;
  if ("steps" in data) {
    if (takeSteps) takeSteps(data.steps);
    else early.push(data.steps);
    return;
  }
  if (!shown && "kind" in data) {
    shown = data;
  } else if (shown) {
    document.documentElement.dataset.theme = data.theme;
    // Charts draw their own ink; HTML and scripts have theirs, and must not run twice.
    if (shown.kind !== "plotly" && shown.kind !== "vega") return;
    shown = { ...shown, theme: data.theme, library: undefined };
    output.replaceChildren();
  } else {
    return;
  }
  show(shown).catch((error: unknown) => report({ cellgate: "failed", reason: String(error) }));
});

addEventListener("error", (event) => report({ cellgate: "failed", reason: event.message }));

new ResizeObserver(() => {
  report({ cellgate: "height", height: Math.ceil(document.documentElement.getBoundingClientRect().height) });
}).observe(document.documentElement);

report({ cellgate: "ready" });
