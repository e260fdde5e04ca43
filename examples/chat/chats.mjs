// `Chats`: all chats of this server. Ends those that are idle, and makes room when there are many.

import { Chat, LIMITS, NotPossible } from "./chat.mjs";

export class Chats {
  #chats = new Map();
  #timer;

  constructor(gateway, model, limits = {}) {
    this.gateway = gateway;
    this.model = model;
    this.limits = { ...LIMITS, ...limits };
    this.#timer = setInterval(() => this.#endIdle(), Math.min(this.limits.idleMs, 30_000)).unref();
  }

  create() {
    if (this.#chats.size >= this.limits.chats && !this.#makeRoom()) {
      throw new NotPossible(503, `All ${this.limits.chats} chats of this server are in use. Try again later.`);
    }
    const chat = new Chat(this.gateway, this.model, this.limits);
    this.#chats.set(chat.id, chat);
    return chat;
  }

  get(id) {
    const chat = this.#chats.get(id);
    if (!chat) throw new NotPossible(404, "This chat is over: its variables and files are gone. Start a new one.");
    return chat;
  }

  async end(chat, text) {
    this.#chats.delete(chat.id);
    await chat.close(text);
  }

  /** Ends all. */
  async close() {
    clearInterval(this.#timer);
    await Promise.all([...this.#chats.values()].map((chat) => this.end(chat, "The server was stopped: the variables and files of this chat are gone.")));
  }

  #endIdle() {
    const minutes = Math.max(1, Math.round(this.limits.idleMs / 60_000));
    for (const chat of this.#chats.values()) {
      if (chat.isAnswering || Date.now() - chat.used < this.limits.idleMs) continue;
      void this.end(chat, `Nothing was said for ${minutes} minutes, so this chat has ended: its variables and files are gone. Start a new one.`);
    }
  }

  /** Ends the chat that was unused for longest, among those that no tab shows. */
  #makeRoom() {
    const unseen = [...this.#chats.values()].filter((chat) => !chat.isAnswering && chat.log.readers === 0);
    const oldest = unseen.sort((a, b) => a.used - b.used)[0];
    if (oldest) void this.end(oldest, "This chat has ended to make room for others: its variables and files are gone.");
    return oldest !== undefined;
  }
}
