// What the gateway and Yjs clients say of a shared document, as docs/protocol.md has it.

import type { CellKind } from "../pure/document.js";

/** A cell as a document is seeded with it. */
export interface SeedCell { id: string; kind: CellKind; language?: string; source: string }

/** What a client says of its user, in the awareness of the document. */
export interface PersonState {
  user?: { name?: string; color?: string; participant?: number };
  /** Where their cursor is, as y-codemirror.next writes it. */
  cursor?: { anchor: unknown; head: unknown } | null;
  /** The cell they are in. */
  cell?: string | null;
}

/** Why a document's connection was closed for good; after all other codes a client connects again. */
export const DocumentClose = { Unauthorised: 4401, Forbidden: 4403, NoSuchSession: 4404, DocumentFull: 4431 } as const;
