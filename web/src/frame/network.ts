// Takes away what opens connections that no content security policy covers, before any output runs.
//
// The header Connection-Allowlist of the frame's document forbids all of it already, where a browser
// knows that header (Chromium from 152 on). This is what the other browsers have, and it keeps
// Chromium from ending the page's process over a frame within the frame that tries. What it cannot take away
// there is a `<link rel=preconnect>` that a script makes, which connects the moment it is inserted.
//
// Output runs in the same window and may change everything in it. So all that is needed later is
// held here from the beginning, and called in no way that goes by something changeable.

/** Constructors of peer connections and of transports, and what reaches devices in the same network. */
const CONSTRUCTORS = /^(?:webkit|moz)?RTC|^WebTransport|^WebSocketStream$|^(?:TCP|TCPServer|UDP)Socket$|^Presentation|^PaymentRequest$|^IdentityCredential/;

/** Functions that send something of their own accord. */
const FUNCTIONS = ["sendBeacon", "fetchLater", "registerProtocolHandler"];

/** New windows have constructors of their own, and links and rules have the browser connect. */
const FORBIDDEN = "iframe, frame, object, embed, fencedframe, portal, link, meta[http-equiv], script[type=speculationrules i]";
const FRAMES = "iframe, frame, object, embed, fencedframe, portal";

const { apply } = Reflect;
const { remove, matches } = Element.prototype;
const ofDocument = Document.prototype.querySelector;
const ofFragment = DocumentFragment.prototype.querySelector;
const Observer = MutationObserver;
const { observe } = MutationObserver.prototype;
// Without a prototype, which output could give options of its own.
const EVERYTHING: MutationObserverInit = Object.assign(Object.create(null), { childList: true, subtree: true });

type Root = Document | DocumentFragment;
type Find = (selectors: string) => Element | null;

/** Removes what may not be there; says whether a frame was among it. */
function clean(root: Root, querySelector: Find): boolean {
  let frames = false;
  for (;;) {
    const found: Element | null = apply(querySelector, root, [FORBIDDEN]);
    if (!found) return frames;
    frames ||= apply(matches, found, [FRAMES]);
    apply(remove, found, []);
  }
}

/** Cleans a tree, and whatever comes into it before it can load. */
function guard(root: Root, querySelector: Find, onFrame: () => void): void {
  const look = () => { if (clean(root, querySelector)) onFrame(); };
  look();
  apply(observe, new Observer(look), [root, EVERYTHING]);
}

function forget(owner: object, keep: (name: string) => boolean): void {
  for (const name of Object.getOwnPropertyNames(owner)) {
    if (!keep(name)) delete (owner as Record<string, unknown>)[name];
  }
}

/** Parses HTML without anything in it being loaded; `onFrame` is told of frames within it. */
export function parse(html: string, onFrame: () => void): DocumentFragment {
  const template = document.createElement("template");
  template.innerHTML = html;
  if (clean(template.content, ofFragment)) onFrame();
  return template.content;
}

/** Cuts this window off. `onFrame` is told when a frame within it was removed. */
export function cutOff(onFrame: () => void): void {
  forget(globalThis, (name) => !CONSTRUCTORS.test(name) && !FUNCTIONS.includes(name));
  forget(Navigator.prototype, (name) => !FUNCTIONS.includes(name) && name !== "presentation");
  // What would make trees that are not watched, or the document another one.
  for (const owner of [Element, Element.prototype, ShadowRoot.prototype, Document, Document.prototype]) {
    forget(owner, (name) => !/HTMLUnsafe$/.test(name) && !/^(?:open|write|writeln)$/.test(name));
  }
  const { attachShadow } = Element.prototype;
  Element.prototype.attachShadow = function attach(init: ShadowRootInit): ShadowRoot {
    // A copy of a tree would not be watched.
    const root = apply(attachShadow, this, [{ ...init, clonable: false }]) as ShadowRoot;
    guard(root, ofFragment, onFrame);
    return root;
  };
  guard(document, ofDocument, onFrame);
}
