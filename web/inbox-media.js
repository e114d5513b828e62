// Media in the inbox: <whatsapp-media> elements with all that the read API says of them.

import { make } from "./inbox-nodes.js";
import "./whatsapp-media.js";

/** Give what makes the elements and keeps them up to date, for the inbox's settings. */
export function mediaTools({ apiUrl, getToken, media: way }) {
  const states = new WeakMap();

  function mediaElement({ path, kind, media, alt, caption }) {
    const { mime_type: mimeType, size } = media;
    const filename = kind === "document" ? media.filename : undefined; // others have none but what we have made up
    const properties = { kind, alt, filename, mimeType, size };
    const element = make("whatsapp-media", known(properties));
    if (caption) {
      caption.slot = "caption";
      element.append(caption);
    }
    states.set(element, { path, state: media.state });
    address(element, apiUrl + path);
    return element;
  }

  async function address(element, url) {
    if (way === "bearer") element.getToken = getToken;
    if (way !== "address") element.src = url;
    else element.src = `${url}?${new URLSearchParams({ token: await getToken(false) })}`;
  }

  /** What the API says now of the media in a bubble, by path: what was waiting or had failed looks again. */
  function mediaChanged(bubble, media) {
    for (const element of bubble.querySelectorAll("whatsapp-media")) {
      const told = states.get(element);
      const { state, size } = media[told.path] ?? {};
      if (size && !element.size) element.size = size;
      if (state !== told.state && ["pending", "error", "gone"].includes(element.state)) element.retry();
      told.state = state;
    }
  }

  return { mediaElement, mediaChanged };
}

function known(properties) {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined));
}
