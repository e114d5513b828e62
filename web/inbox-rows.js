// The rows of a thread: what there is to show, in order, and the elements that show it and are brought up to date.

import { bodyOf } from "./inbox-bodies.js";
import { hue, icon, make, spoken, theirs } from "./inbox-nodes.js";
import { words } from "./inbox-text.js";
import { clock, dayName, reason, senderName, statusWord, summary } from "./inbox-words.js";

const RUN = 5 * 60; // seconds between two messages that still belong together
const CHANGES = new Set(["edit", "revoke"]);
const PASSING = new Set(["status", "statuses", "state", "error", "retry_at", "size", "sha256", "quoted"]);
const REMARKS = new Set(["system", "request_welcome"]);

// ---- what there is (pure) ----------------------------------------------------------------------------------------

/**
 * Give the rows for messages in any order, oldest first: `{key, day}`, `{key, remark, timestamp}`, or
 * `{key, message, reactions, quoted, first, inGroup}`.
 */
export function rowsOf(messages, { inGroup = false, now = Date.now() } = {}) {
  const byId = new Map(messages.map((message) => [message.message_id, message]));
  const reactions = reactionsOf(messages);
  const rows = [];
  let before = {};
  for (const message of messages.filter(isShown).toSorted(inOrder)) {
    const day = dayName(message.timestamp, now);
    const row = rowOf(message, byId, reactions, inGroup);
    if (!row.message && !row.remark) continue;
    if (day !== before.day) rows.push({ key: `day-${day}`, day });
    row.first = day !== before.day || !isSameRun(before.message, message);
    rows.push(row);
    before = { day, message: row.message };
  }
  return rows;
}

/** By time, then by id: the order of the API. */
export function inOrder(one, other) {
  if (one.timestamp !== other.timestamp) return one.timestamp - other.timestamp;
  return Number(one.message_id > other.message_id) - Number(one.message_id < other.message_id);
}

function isShown({ type }) {
  return !CHANGES.has(type);
}

function rowOf(message, byId, reactions, inGroup) {
  const { message_id: key, type, timestamp, context, reaction } = message;
  if (type === "reaction") {
    const known = byId.has(reaction?.message_id) || !reaction?.emoji || message.revoked;
    const said = `${senderName(message)} reacted ${reaction?.emoji} to an earlier message.`;
    return { key, timestamp, remark: known ? "" : said };
  }
  if (REMARKS.has(type)) return { key, timestamp, remark: summary(message).said };
  const answered = context?.message_id;
  const quoted = answered ? (byId.get(answered) ?? context.quoted ?? { message_id: answered }) : null;
  return { key, message, reactions: [...(reactions.get(key)?.values() ?? [])], quoted, inGroup };
}

/** The newest reaction of each person, by the message that it is about. */
function reactionsOf(messages) {
  const found = new Map();
  for (const message of messages.filter(({ reaction, revoked }) => reaction && !revoked).toSorted(inOrder)) {
    const { message_id: target, emoji } = message.reaction;
    const sender = message.direction === "outbound" ? "" : (message.from?.contact_id ?? message.contact_id);
    if (!found.has(target)) found.set(target, new Map());
    found.get(target).delete(sender);
    if (emoji) found.get(target).set(sender, { emoji, name: senderName(message) });
  }
  return found;
}

function isSameRun(before, message) {
  return before?.direction === message.direction
    && before.from?.contact_id === message.from?.contact_id
    && message.timestamp - before.timestamp < RUN;
}

// ---- the elements ------------------------------------------------------------------------------------------------

/** Make the element of a row: `{element, update(row)}`; `tools`: `mediaElement`, `mediaChanged`, `jump(message_id)`. */
export function rowElement(row, tools) {
  if (row.day) return dayElement(row);
  if (row.remark) return remarkElement(row);
  return messageElement(row, tools);
}

function dayElement({ day }) {
  const element = make("li", { className: "day" }, day);
  return { element, update() {} };
}

function remarkElement({ key, remark, timestamp }) {
  const properties = { className: "remark", id: `message-${key}`, dir: "auto" };
  const element = make("li", properties, remark, " ", timeElement(timestamp));
  return { element, update() {} };
}

function messageElement(row, tools) {
  const element = make("li", { className: "message", id: `message-${row.key}`, tabIndex: -1 });
  const bubble = make("div", { className: "bubble" });
  const sender = make("p");
  const quote = make("button", { type: "button", className: "quote" });
  const meta = make("span", { className: "meta", dir: "ltr" });
  const reactions = make("ul", { className: "reactions" });
  const why = make("p", { className: "why", dir: "auto" });
  element.append(bubble);
  quote.addEventListener("click", () => tools.jump(row.quoted.message_id));
  const changed = changes();

  function update(next) {
    row = next;
    const { message, quoted, first } = row;
    element.classList.toggle("first", first);
    element.classList.toggle("outbound", message.direction === "outbound");
    if (changed("body", contentOf(message))) fill(message);
    if (changed("sender", senderContent(row))) sayWho(sender, row);
    if (quoted && changed("quote", quotedContent(quoted))) quote.replaceChildren(...quoteNodes(quoted));
    if (changed("meta", metaContent(message))) meta.replaceChildren(...metaNodes(message));
    if (changed("why", whyNot(message))) show(why, whyNot(message) ? [icon("alert"), whyNot(message)] : []);
    if (changed("reactions", row.reactions)) show(reactions, reactionNodes(row.reactions));
    if (changed("media", mediaOf(message))) tools.mediaChanged(bubble, mediaOf(message));
  }

  function fill(message) {
    const body = safeBody(message, tools.mediaElement);
    bubble.replaceChildren(sender, ...(row.quoted ? [quote] : []), ...body, ...editNodes(message));
    const [last] = [...bubble.querySelectorAll(":scope > .words, :scope > whatsapp-media > .words")].slice(-1);
    (last ?? bubble).append(meta);
  }

  function show(part, nodes) {
    part.replaceChildren(...nodes);
    element.append(...[reactions, why].filter((each) => each.hasChildNodes()));
    if (nodes.length === 0) part.remove();
  }

  update(row);
  return { element, update };
}

/** Tell of each part whether it is another than the last time. */
function changes() {
  const last = new Map();
  return (part, value) => {
    const text = JSON.stringify(value);
    const isNew = last.get(part) !== text;
    last.set(part, text);
    return isNew;
  };
}

/** What of a message decides its body: all but what changes while it stays the same. */
function contentOf(message) {
  return JSON.parse(JSON.stringify(message, (name, value) => (PASSING.has(name) ? undefined : value)));
}

/** All media of a message, by the path of each. */
function mediaOf(message) {
  const all = [message, message.edited, ...(message.further_media ?? [])];
  return Object.fromEntries(all.filter((each) => each?.media_src).map((each) => [each.media_src, each.media ?? {}]));
}

/** One message that cannot be shown must not take the others with it. */
function safeBody(message, mediaElement) {
  try {
    return bodyOf(message, mediaElement);
  } catch {
    return [make("p", { className: "quiet" }, icon("unsupported"), "This message cannot be shown.")];
  }
}

function senderContent({ message, first, inGroup }) {
  return [senderName(message), message.from?.contact_id, first && inGroup && message.direction !== "outbound"];
}

/** In a group the first message of a run is headed by who writes; elsewhere it is for those who hear the page. */
function sayWho(sender, row) {
  const [name, id, isHeading] = senderContent(row);
  sender.className = isHeading ? `sender hue-${hue(id ?? "")}` : "spoken";
  sender.replaceChildren(theirs(name), isHeading ? spoken(":") : ": ");
}

function editNodes({ text, caption, edited, revoked }) {
  const original = caption ?? text;
  if (!edited || revoked || !original) return [];
  return [make("details", { className: "before" }, make("summary", {}, "Before the edit"), words(original))];
}

function quotedContent(quoted) {
  return [quoted.direction, quoted.from, quoted.type ? summary(quoted) : null];
}

function quoteNodes(quoted) {
  if (!quoted.type) return [spoken("Answer to: "), make("span", { className: "said" }, "A message that is not here")];
  const { symbol, said } = summary(quoted);
  return [
    spoken("Answer to "),
    make("b", {}, theirs(senderName(quoted))),
    make("span", { className: "said" }, symbol ? icon(symbol) : "", symbol ? " " : "", theirs(said)),
  ];
}

// ---- time and ticks ----------------------------------------------------------------------------------------------

function metaContent({ timestamp, status, edited, revoked, direction }) {
  return [timestamp, status, Boolean(edited), Boolean(revoked), direction];
}

function metaNodes({ timestamp, status, edited, revoked, direction }) {
  const ticks = direction === "outbound" && status ? [statusIcon(status)] : [];
  return [edited && !revoked ? "edited" : "", timeElement(timestamp), ...ticks].filter(Boolean);
}

/** The ticks of a status, and its word for who hears or points at them. */
export function statusIcon(status) {
  const symbol = { failed: "alert", sent: "sent" }[status] ?? "delivered";
  const seen = ["read", "played"].includes(status) ? " seen" : "";
  const className = `ticks ${status}${seen}`;
  return make("span", { className, title: statusWord(status) }, icon(symbol), spoken(statusWord(status)));
}

function timeElement(timestamp) {
  const dateTime = new Date(timestamp * 1000).toISOString();
  return make("time", { dateTime, title: new Date(timestamp * 1000).toLocaleString() }, clock(timestamp));
}

function whyNot({ status, statuses = [] }) {
  if (status !== "failed") return "";
  return `Not delivered: ${reason(statuses.find((each) => each.status === "failed")?.errors)}`;
}

function reactionNodes(reactions) {
  const names = new Map();
  for (const { emoji, name } of reactions) names.set(emoji, [...(names.get(emoji) ?? []), name]);
  return [...names].map(([emoji, who]) =>
    make("li", { title: who.join(", ") },
      emoji, who.length > 1 ? make("small", {}, String(who.length)) : "", spoken(` from ${who.join(", ")}`)));
}
