// Messages of comms, the channels between widgets and the interpreter (Jupyter's protocol of the same name).

/** What a client sends by a comm. It is run like a silent cell without code: `started`, then one `done`, under `id`. */
export interface CommSend {
  type: "comm_open" | "comm_msg" | "comm_close";
  comm_id: string;
  /** Of `comm_open`. */
  target_name?: string;
  data?: unknown;
  metadata?: Record<string, unknown>;
  /** Bytes, in base64. */
  buffers?: string[];
  /** Chosen by the client, unique within the session. */
  id?: string;
}
