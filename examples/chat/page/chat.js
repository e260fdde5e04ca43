// The page: opens a chat, shows its log as it grows, and sends what is written. The chat's id stands in the page's
// address, so that a reload or another tab shows the same chat.

import { element } from "./markdown.js";
import { Transcript } from "./transcript.js";

const byId = (id) => document.getElementById(id);
const [message, send, stopButton, trouble, live, start] = ["message", "send", "stop", "trouble", "live", "start"].map(byId);
const chat = { id: new URLSearchParams(location.search).get("chat"), source: undefined, transcript: undefined, seen: 0, isAnswering: false, isOver: false };

/** Sends a request; throws with the server's words. */
async function ask(path, body) {
  const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The chat's server does not answer. Check that it runs, and try again.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.error ?? `The server answered with HTTP status ${response.status}.`), { status: response.status });
  return answer;
}

const addressOf = (id) => `/api/chats/${id}`;

/** Shows the chat's log from its beginning on; of a chat that this page has made, all of it is new. */
function follow({ isNew = false } = {}) {
  start.hidden = true;
  chat.seen = 0;
  chat.transcript = new Transcript(byId("transcript"), addressOf(chat.id), {
    stopCell: (cell) => attempt(() => ask(`${addressOf(chat.id)}/stop`, { cell })),
    sayAgain: say,
    announce: (text) => { live.textContent = text; },
  });
  if (isNew) chat.transcript.goLive();
  const source = new EventSource(`${addressOf(chat.id)}/events`);
  chat.source = source;
  let lost;
  source.onopen = () => {
    clearTimeout(lost);
    trouble.textContent = "";
  };
  source.onmessage = ({ data, lastEventId }) => {
    const number = Number(lastEventId);
    if (number <= chat.seen) return;
    chat.seen = number;
    take(JSON.parse(data), number);
  };
  source.addEventListener("live", () => {
    chat.transcript.goLive();
    toEnd(true);
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) return void explain();
    clearTimeout(lost);
    lost = setTimeout(() => { trouble.textContent = "The connection is lost. Reconnects automatically."; }, 1500);
  };
}

/** The browser has given the log up: asks for it in a way that shows what the server says. */
async function explain() {
  const asking = new AbortController();
  let again = 2_000;
  try {
    const response = await fetch(`${addressOf(chat.id)}/events`, { signal: asking.signal });
    if (!response.ok) {
      trouble.textContent = (await response.json()).error;
      if (response.status === 404) return end();
      again = 10_000;
    }
  } catch {
    trouble.textContent = "The chat's server does not answer. Reconnects automatically.";
  } finally {
    asking.abort();
  }
  setTimeout(follow, again);
}

function take(event, number) {
  const wasAtEnd = isAtEnd();
  chat.transcript.take(event, number);
  if (event.type === "message") answering(true);
  if (event.type === "end") answering(false);
  if (event.type === "closed") {
    chat.source.close();
    end();
  }
  if (wasAtEnd || event.type === "message") requestAnimationFrame(() => toEnd(false));
}

const isAtEnd = () => document.documentElement.scrollHeight - innerHeight - scrollY < 80;
const toEnd = (always) => requestAnimationFrame(() => { if (always || !isAtEnd()) scrollTo(0, document.documentElement.scrollHeight); });

/** What may be done while an answer is given, and what when it has ended. */
function answering(is) {
  const hadFocus = document.activeElement === stopButton;
  chat.isAnswering = is;
  stopButton.disabled = false;
  stopButton.hidden = !is;
  send.hidden = is;
  if (hadFocus && !is) message.focus();
}

function end() {
  chat.isOver = true;
  answering(false);
  send.disabled = message.disabled = true;
}

/** Does something, and shows what went wrong. */
async function attempt(action) {
  try {
    await action();
    trouble.textContent = "";
  } catch (error) {
    trouble.textContent = error.message;
    throw error;
  }
}

async function say(text) {
  if (text.trim() === "" || chat.isAnswering || chat.isOver || send.disabled) return;
  send.disabled = true;
  try {
    await attempt(async () => {
      if (!chat.id) {
        chat.id = (await ask("/api/chats", {})).id;
        history.replaceState(null, "", `/?chat=${chat.id}`);
        follow({ isNew: true });
      }
      await ask(`${addressOf(chat.id)}/messages`, { text });
      message.value = "";
      grow();
    });
  } catch {
    // It is shown, and the text stays for another attempt.
  } finally {
    send.disabled = chat.isOver;
  }
}

function grow() {
  message.style.height = "auto";
  message.style.height = `${Math.min(message.scrollHeight + 2, innerHeight / 3)}px`;
}

byId("composer").onsubmit = (event) => {
  event.preventDefault();
  void say(message.value);
};
message.oninput = grow;
message.onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void say(message.value);
};
stopButton.onclick = () => {
  stopButton.disabled = true;
  attempt(() => ask(`${addressOf(chat.id)}/stop`, {})).catch(() => { stopButton.disabled = false; });
};
document.onkeydown = (event) => { if (event.key === "Escape" && !stopButton.hidden && !stopButton.disabled) stopButton.click(); };
byId("new").onclick = () => { location.href = "/"; };

attempt(async () => {
  const info = await ask("/api/info");
  message.maxLength = info.longestMessage;
  byId("model").textContent = info.isScripted ? "Scripted model" : info.model;
  byId("about").textContent = info.isScripted
    ? "A script stands in for a language model: it knows the questions below. Its code is real, and runs in a session whose variables stay until the chat ends. Python that you write between two lines of three backticks (```) runs as it is."
    : "The model writes Python, which runs in a session whose variables stay until the chat ends.";
  byId("suggestions").replaceChildren(...info.suggestions.map((text) => element("button", [text], { type: "button", onclick: () => void say(text) })));
}).catch(() => {});
if (chat.id && /^[\w-]+$/.test(chat.id)) follow();
else chat.id = null;
message.focus();
