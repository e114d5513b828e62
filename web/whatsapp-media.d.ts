/** Types of whatsapp-media.js; what all of it does: docs/element.md. */

export type MediaKind = "image" | "sticker" | "voice" | "audio" | "video" | "document";

/** Exactly one at a time. */
export type MediaState = "loading" | "pending" | "ready" | "error" | "gone";

/** The codes of docs/errors.md, and what the browser itself finds out. */
export type MediaCode =
  | "unauthenticated"
  | "message_not_found"
  | "no_media"
  | "media_unavailable"
  | "media_expired"
  | "media_too_large"
  | "media_corrupt"
  | "access_token_invalid"
  | "graph_refused"
  | "media_host_refused"
  | "rate_limited"
  | "graph_unavailable"
  | "graph_timeout"
  | "internal_error"
  | "pending"
  | "offline"
  | "network"
  | "unplayable";

/** Words that are no reason: kinds and buttons. */
export type MediaWord = MediaKind | "download" | "close" | "retry" | "speed";

export type MediaTexts = Record<MediaWord | MediaCode, string>;

/** What `statechange`, `load` and `error` tell. A proxy newer than this file may know more codes. */
export interface MediaDetail {
  readonly state: MediaState;
  readonly code: MediaCode | "" | (string & {});
  readonly retryable: boolean;
}

export type MediaEvent = CustomEvent<MediaDetail>;

/** Gives a media token, or nothing; `renew` is true when the last one was refused. */
export type TokenProvider = (renew: boolean) => string | null | undefined | Promise<string | null | undefined>;

type Text = string | null | undefined;
type Numeric = string | number | null | undefined;

export interface WhatsAppMediaEventMap extends Omit<HTMLElementEventMap, "load" | "error"> {
  statechange: MediaEvent;
  load: MediaEvent;
  error: MediaEvent;
}

export class WhatsAppMedia extends HTMLElement {
  /** The words of all elements: change them to translate. */
  static texts: MediaTexts;
  /** Register the element under this name; done for `whatsapp-media` by the import. Twice is harmless. */
  static define(tag?: string): void;

  get src(): string | null;
  set src(value: Text);
  get kind(): string | null;
  set kind(value: MediaKind | Text);
  get filename(): string | null;
  set filename(value: Text);
  get mimeType(): string | null;
  set mimeType(value: Text);
  /** Bytes. */
  get size(): string | null;
  set size(value: Numeric);
  /** Seconds. */
  get duration(): string | null;
  set duration(value: Numeric);
  get caption(): string | null;
  set caption(value: Text);
  get alt(): string | null;
  set alt(value: Text);
  /** Pixels; only their ratio counts. */
  get width(): string | null;
  set width(value: Numeric);
  get height(): string | null;
  set height(value: Numeric);
  get loading(): string | null;
  set loading(value: "lazy" | "eager" | Text);

  getToken: TokenProvider | undefined;
  /** The words of this element; those that are set replace those of all. */
  get texts(): MediaTexts;
  set texts(value: Partial<MediaTexts> | undefined);
  get state(): MediaState;

  /** Load again what has failed or is on its way; nothing happens to what is shown. */
  retry(): void;

  addEventListener<K extends keyof WhatsAppMediaEventMap>(
    type: K,
    listener: (this: WhatsAppMedia, event: WhatsAppMediaEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** The attributes as JSX takes them, for React and others. */
export interface WhatsAppMediaAttributes {
  src?: string;
  kind?: MediaKind;
  filename?: string;
  "mime-type"?: string;
  size?: number | string;
  duration?: number | string;
  caption?: string;
  alt?: string;
  width?: number | string;
  height?: number | string;
  loading?: "lazy" | "eager";
  getToken?: TokenProvider;
  texts?: Partial<MediaTexts>;
  onstatechange?: (event: MediaEvent) => void;
  onload?: (event: MediaEvent) => void;
  onerror?: (event: MediaEvent) => void;
}

declare global {
  interface HTMLElementTagNameMap {
    "whatsapp-media": WhatsAppMedia;
  }
}
