// What people wrote, as nodes: WhatsApp's *bold*, _italic_, ~strike~, `code` and ```monospace```, and links.
// https://faq.whatsapp.com/539178204879377

import { make } from "./inbox-nodes.js";

const MARKS = { "*": "strong", _: "em", "~": "s" };
// Letters that turn the direction of others could make an address look like another one.
const IN_ADDRESS = String.raw`[^\s<>"\u200e\u200f\u202a-\u202e\u2066-\u2069]`;
const TOKENS = new RegExp(
  [
    String.raw`\x60{3}(?<block>[^]+?)\x60{3}`,
    String.raw`\x60(?<code>[^\x60\n]+)\x60`,
    String.raw`(?<![\p{L}\p{N}])(?<address>(?:https?:\/\/|www\.)${IN_ADDRESS}+)`,
    ...Object.entries(MARKS).map(([mark, tag]) => {
      const outside = String.raw`[\p{L}\p{N}${mark}]`;
      return String.raw`(?<!${outside})[${mark}](?!\s)(?<${tag}>[^${mark}\n]+)(?<!\s)[${mark}](?!${outside})`;
    }),
  ].join("|"),
  "gu",
);
const AFTER_ADDRESS = /[.,;:!?'"*_~»”’]+$/u;
const FEW_EMOJI = /^(?:\p{Extended_Pictographic}[\p{Extended_Pictographic}\p{Emoji_Modifier}\u200d\ufe0f]*\s*){1,3}$/u;

/** Give the nodes of a text; nothing in it is ever read as HTML. */
export function formatted(text) {
  const nodes = document.createDocumentFragment();
  let end = 0;
  for (const found of text.matchAll(TOKENS)) {
    nodes.append(text.slice(end, found.index), ...nodesOf(found));
    end = found.index + found[0].length;
  }
  nodes.append(text.slice(end));
  return nodes;
}

/** A text as a paragraph of its own, in the direction of its letters. */
export function words(text, className = "words") {
  const paragraph = make("p", { className, dir: "auto" }, formatted(text));
  paragraph.classList.toggle("few-emoji", text.length < 40 && FEW_EMOJI.test(text));
  return paragraph;
}

/** The same text on one line, without its marks. */
export function plain(text) {
  return formatted(text.slice(0, 300)).textContent.replace(/\s+/gu, " ").trim();
}

/** A link out of the page, or only its words when it leads anywhere but to the web. */
export function link(address, ...children) {
  const safe = webAddress(address);
  const properties = { href: safe, target: "_blank", rel: "noopener noreferrer" };
  return safe === null ? make("span", {}, ...children) : make("a", properties, ...children);
}

function nodesOf({ groups }) {
  if (groups.block !== undefined) return [make("code", { className: "block" }, groups.block.replace(/^\n|\n$/gu, ""))];
  if (groups.code !== undefined) return [make("code", {}, groups.code)];
  if (groups.address !== undefined) return linked(groups.address);
  const [tag, content] = Object.entries(groups).find(([, value]) => value !== undefined);
  return [make(tag, {}, formatted(content))];
}

/** An address, and the punctuation that only stands behind it. */
function linked(found) {
  const open = found.split("(").length >= found.split(")").length;
  const address = (open ? found : found.replace(/\)[^)]*$/u, "")).replace(AFTER_ADDRESS, "");
  return [link(address, address), found.slice(address.length)];
}

function webAddress(address) {
  try {
    const url = new URL(/^www\./iu.test(address) ? `https://${address}` : address);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
