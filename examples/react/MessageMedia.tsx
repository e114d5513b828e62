/** The media of a message, for React 19: copy this file, jsx.d.ts, and whatsapp-media.js with its types. */

import { useCallback, useEffect, useRef, useState, type ReactNode } from "react";
import { WhatsAppMedia, type MediaEvent, type MediaState } from "../../web/whatsapp-media.js";

/** A message as the read API gives it; of its media, what there is. */
export interface Message {
  message_id: string;
  media_src: string;
  media: {
    type: "image" | "sticker" | "audio" | "video" | "document";
    voice?: boolean;
    mime_type?: string;
    filename?: string;
    size?: number;
    state: "ready" | "pending" | "failed";
  };
}

export interface MessageMediaProps {
  apiUrl: string;
  message: Message;
  caption?: ReactNode;
  /** Asks your back end for a media token, as docs/integrate.md shows; `renew` when the last one was refused. */
  getToken: (renew: boolean) => Promise<string>;
}

export function MessageMedia({ apiUrl, message, caption, getToken }: MessageMediaProps) {
  const element = useRef<WhatsAppMedia>(null);
  const [state, setState] = useState<MediaState>("loading");
  const changed = useCallback((event: MediaEvent) => setState(event.detail.state), []);
  const { type, voice, mime_type: mimeType, filename, size, state: stored } = message.media;

  useEffect(() => {
    if (stored === "ready") element.current?.retry(); // what was on its way has come; what is shown stays
  }, [stored]);

  return (
    <whatsapp-media
      ref={element}
      className={`media media-${state}`}
      src={apiUrl + message.media_src}
      kind={voice ? "voice" : type}
      mime-type={mimeType}
      filename={filename}
      size={size}
      getToken={getToken}
      onstatechange={changed}
    >
      {caption && <span slot="caption">{caption}</span>}
    </whatsapp-media>
  );
}

/** Translate once, for all. */
export function translate(texts: Partial<typeof WhatsAppMedia.texts>): void {
  Object.assign(WhatsAppMedia.texts, texts);
}
