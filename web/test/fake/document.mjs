// The shared document of a scripted session: a y-websocket server with the rights and close codes of the gateway.

import * as decoding from "lib0/decoding";
import * as encoding from "lib0/encoding";
import * as authProtocol from "y-protocols/auth";
import { applyAwarenessUpdate, Awareness, encodeAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness";
import * as syncProtocol from "y-protocols/sync";
import * as Y from "yjs";
import { spread } from "../../dist/pure/position.js";

const SYNC = 0;
const AWARENESS = 1;
const AUTH = 2;
const FULL_BYTES = 4 << 20;

export class FakeDocument {
  constructor(session) {
    this.session = session;
    this.doc = new Y.Doc();
    this.awareness = new Awareness(this.doc);
    this.awareness.setLocalState(null);
    clearInterval(this.awareness._checkInterval); // it would keep the process of a test alive
    /** Each connection's token, and the clients that spoke by it. */
    this.sockets = new Map();
    /** How many updates were taken from clients. */
    this.updates = 0;
    this.doc.on("update", (update, origin) => this.send(SYNC, (encoder) => syncProtocol.writeUpdate(encoder, update), origin));
    this.awareness.on("update", ({ added, updated, removed }, origin) => {
      const clients = [...added, ...updated, ...removed];
      for (const client of [...added, ...updated]) this.sockets.get(origin)?.clients.add(client);
      this.send(AWARENESS, (encoder) => encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(this.awareness, clients)));
    });
  }

  get cells() { return this.doc.getArray("cells"); }

  get exists() { return this.cells.length > 0 || this.sockets.size > 0; }

  /** Makes the document of cells, unless it has some. */
  seed({ title, cells }) {
    if (this.cells.length > 0) return false;
    const positions = spread(cells.length);
    this.doc.transact(() => {
      if (title) this.doc.getMap("meta").set("title", title);
      this.cells.push(cells.map(({ id, kind = "code", source }, at) => new Y.Map([["id", id], ["kind", kind], ["source", new Y.Text(source)], ["position", positions[at]]])));
    });
    return true;
  }

  connect(ws, token) {
    ws.binaryType = "nodebuffer";
    this.sockets.set(ws, { token, clients: new Set() });
    ws.on("message", (data) => this.receive(ws, data));
    ws.on("close", () => {
      const { clients } = this.sockets.get(ws);
      this.sockets.delete(ws);
      removeAwarenessStates(this.awareness, [...clients], null);
    });
    this.send(SYNC, (encoder) => syncProtocol.writeSyncStep1(encoder, this.doc), null, ws);
    const present = [...this.awareness.getStates().keys()];
    if (present.length > 0) this.send(AWARENESS, (encoder) => encoding.writeVarUint8Array(encoder, encodeAwarenessUpdate(this.awareness, present)), null, ws);
  }

  receive(ws, data) {
    const decoder = decoding.createDecoder(new Uint8Array(data));
    const kind = decoding.readVarUint(decoder);
    if (kind === AWARENESS) return applyAwarenessUpdate(this.awareness, decoding.readVarUint8Array(decoder), ws);
    if (kind !== SYNC) return ws.close(1007, "a broken frame");
    const step = decoding.readVarUint(decoder);
    if (step === syncProtocol.messageYjsSyncStep1) return this.send(SYNC, (encoder) => syncProtocol.readSyncStep1(decoder, encoder, this.doc), null, ws);
    const update = decoding.readVarUint8Array(decoder);
    if (!this.changes(update)) return; // the answer of a client that has nothing new
    if (!this.session.mayEdit(this.sockets.get(ws).token)) {
      return this.send(AUTH, (encoder) => authProtocol.writePermissionDenied(encoder, "you may not edit this document"), null, ws);
    }
    if (Y.encodeStateAsUpdate(this.doc).length + update.length > (this.session.gateway.options.documentBytes ?? FULL_BYTES)) return ws.close(4431, "the document would be larger than 4 MiB");
    this.updates += 1;
    Y.applyUpdate(this.doc, update, ws);
  }

  /** Whether an update has anything that the document does not. */
  changes(update) {
    const { structs, ds } = Y.decodeUpdate(update);
    return structs.length > 0 || ds.clients.size > 0;
  }

  send(kind, write, except = null, to = null) {
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, kind);
    write(encoder);
    const bytes = encoding.toUint8Array(encoder);
    for (const ws of to ? [to] : this.sockets.keys()) if (ws !== except) ws.send(bytes);
  }

  /** Who came by a token that is revoked is out. */
  dismiss(token) {
    for (const [ws, one] of this.sockets) if (one.token === token) ws.close(4401, "the token is not valid any more");
  }

  /** Breaks connections without a closing handshake: all, or those of one token. */
  cut(token = null) {
    for (const [ws, one] of this.sockets) if (token === null || one.token === token) ws.terminate();
  }
}
