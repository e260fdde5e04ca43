// Vega and Vega-Lite as one script for the frame: `vegaEmbed` is what it leaves behind.
import embed from "vega-embed";

(globalThis as unknown as { vegaEmbed: unknown }).vegaEmbed = embed;
