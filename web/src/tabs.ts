// The gateway's token in a second tab: tabs of one browser tell each other, so that it is asked for once. It is
// written down nowhere: when the last tab is closed it is gone.

import { gatewayToken } from "./credentials.js";

const CHANNEL = "cellgate.token";
const WAIT_MS = 400; // for the answer of another tab

interface Ask { ask: string }
interface Tell { answer: string; token: string }

/** Answers tabs that ask, from now on. */
export function tellTabs(): void {
  if (typeof BroadcastChannel === "undefined") return;
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }: MessageEvent<Partial<Ask>>) => {
    const token = gatewayToken();
    if (typeof data?.ask === "string" && token) channel.postMessage({ answer: data.ask, token } satisfies Tell);
  };
}

/** The token that another tab has, if there is one. */
export function askTabs(): Promise<string | null> {
  if (typeof BroadcastChannel === "undefined") return Promise.resolve(null);
  return new Promise((resolve) => {
    const channel = new BroadcastChannel(CHANNEL);
    const ask = crypto.getRandomValues(new Uint32Array(2)).join("-");
    const end = (token: string | null) => {
      clearTimeout(timer);
      channel.close();
      resolve(token);
    };
    const timer = setTimeout(() => end(null), WAIT_MS);
    channel.onmessage = ({ data }: MessageEvent<Partial<Tell>>) => { if (data?.answer === ask && typeof data.token === "string") end(data.token); };
    channel.postMessage({ ask } satisfies Ask);
  });
}
