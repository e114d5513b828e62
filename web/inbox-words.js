// What the inbox says of messages, people and times, in a few words. Pure, but for the clock and the reader's language.

import { plain } from "./inbox-text.js";

const MEDIA = {
  image: "Photo",
  video: "Video",
  audio: "Audio",
  voice: "Voice message",
  document: "Document",
  sticker: "Sticker",
};
// What WhatsApp shows in its app and does not hand on: `unsupported.type`, as people call it.
const NOT_HANDED_ON = {
  button: "a button",
  gif: "a GIF",
  group_invite: "an invitation to a group",
  image: "a photo",
  interactive: "an interactive message",
  link_preview: "a link with a preview",
  list: "a list",
  location: "a live location",
  media_placeholder: "a photo, video or file",
  order: "an order",
  pin: "a pinned message",
  poll_creation: "a poll",
  poll_update: "a vote in a poll",
  product: "a product",
  reaction: "a reaction",
};
const STATUSES = { sent: "Sent", delivered: "Delivered", read: "Read", played: "Played", failed: "Not delivered" };
const DAY = 24 * 3600 * 1000;
const PHONE = /^\d{6,15}$/u;

// ---- messages ----------------------------------------------------------------------------------------------------

/** The kind of a message that is a medium, else its type: a form may carry media, and is a form. */
export function kindOf({ type, media }) {
  return type in MEDIA ? mediaKind(media ?? { type }) : type;
}

/** Tell voice messages from other audio. */
export function mediaKind({ type, voice }) {
  return type === "audio" && voice ? "voice" : type;
}

/** Tell whether this is a kind of medium. */
export function isMedium(kind) {
  return kind in MEDIA;
}

/** A kind of medium as people call it. */
export function mediaWord(kind) {
  return MEDIA[kind] ?? "File";
}

/** What a message says after its edits: `{text, caption, media, media_src}`. */
export function current(message) {
  const { text, caption, media, media_src } = { ...message, ...message.edited };
  return { text, caption, media, media_src };
}

/** Say in one line what a message is: an icon's name, or none, and words. */
export function summary(message) {
  if (message.revoked) return line("deleted", "Deleted message");
  const { text, caption, media } = current(message);
  const kind = kindOf({ ...message, media });
  if (!isMedium(kind)) return (LINES[kind] ?? unknownLine)({ ...message, text });
  return line(kind, plain(caption || text || "") || (kind === "document" && media?.filename) || MEDIA[kind]);
}

function line(symbol, said) {
  return { symbol, said };
}

const LINES = {
  text: ({ text }) => line("", plain(text ?? "")),
  button: ({ text, button }) => line("reply", text || button?.text || "Pressed a button"),
  contacts: ({ contacts }) => line("contact", contacts?.map(contactName).join(", ") || "Contact"),
  interactive: (message) => line(isForm(message) ? "form" : "reply", answerTitle(message)),
  location: ({ location }) => line("location", location?.name || location?.address || "Location"),
  order: ({ order }) => line("order", `Order: ${counted(order?.items?.length ?? 0, "product")}`),
  reaction: ({ reaction }) => line("", reaction?.emoji ? `Reacted ${reaction.emoji}` : "Took a reaction back"),
  request_welcome: () => line("", "Opened the chat"),
  system: ({ text }) => line("", text || "Something about this contact changed"),
  unsupported: ({ unsupported }) => line("unsupported", notHandedOn(unsupported?.type)),
};

function unknownLine({ type }) {
  return line("unsupported", `Message of the type “${type}”`);
}

/** Tell whether an answer is that of a form (WhatsApp Flows). */
export function isForm({ interactive }) {
  return interactive?.type === "nfm_reply";
}

/** What somebody answered, in one line. */
export function answerTitle({ text, interactive }) {
  if (isForm({ interactive })) return "Form sent";
  const { type, title, body } = interactive ?? {};
  return title || text || body || (type === "call_permission_reply" ? "Answered whether you may call" : "Answered");
}

/** What WhatsApp did not hand on, as people call it. */
export function notHandedOn(type) {
  return capital(NOT_HANDED_ON[type] ?? "a message of a kind of its own");
}

/** The name of a contact card. */
export function contactName({ name, organization, phones }) {
  return name || organization || phones?.[0]?.phone || "Contact";
}

/** A delivery status in a word. */
export function statusWord(status) {
  return STATUSES[status] ?? status;
}

/** Say why a message was not delivered, in WhatsApp's own words. */
export function reason(errors) {
  const { code, title, details } = errors?.[0] ?? {};
  const why = details || title || "WhatsApp gives no reason";
  return code === undefined ? why : `${why} (${code})`;
}

// ---- people ------------------------------------------------------------------------------------------------------

/** Who wrote a message: a name, else a number, else that nobody knows. */
export function senderName({ direction, from }) {
  return direction === "outbound" ? "You" : personName(from);
}

/** A person's name, else their number. */
export function personName(person) {
  return person?.name || readablePhone(person?.phone) || "Unknown contact";
}

/** A conversation's name: of the person, or that it is a group. */
export function conversationName(conversation) {
  return conversation.kind === "group" ? conversation.name || "Group chat" : personName(conversation);
}

/** A number as it is dialled from anywhere. */
export function readablePhone(phone) {
  return PHONE.test(phone ?? "") ? `+${phone}` : phone ?? "";
}

// ---- times and numbers -------------------------------------------------------------------------------------------

/** The time of day of a moment in Unix seconds. */
export function clock(timestamp) {
  return new Date(timestamp * 1000).toLocaleTimeString(undefined, { hour: "numeric", minute: "2-digit" });
}

/** Name the day of a moment: today, yesterday, a day of this week, else the date. */
export function dayName(timestamp, now = Date.now()) {
  const moment = new Date(timestamp * 1000);
  const days = Math.round((midnight(new Date(now)) - midnight(moment)) / DAY);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days > 1 && days < 7) return moment.toLocaleDateString(undefined, { weekday: "long" });
  const year = moment.getFullYear() === new Date(now).getFullYear() ? undefined : "numeric";
  return moment.toLocaleDateString(undefined, { day: "numeric", month: "long", year });
}

/** When something was, for the list: the time today, else the day. */
export function shortTime(timestamp, now = Date.now()) {
  const day = dayName(timestamp, now);
  if (day === "Today") return clock(timestamp);
  const old = now / 1000 - timestamp > 6 * DAY / 1000;
  return old ? new Date(timestamp * 1000).toLocaleDateString(undefined, { dateStyle: "short" }) : day;
}

/** A price; a currency that nobody knows is written behind it. */
export function price(amount, currency) {
  try {
    return new Intl.NumberFormat(undefined, { style: "currency", currency }).format(amount);
  } catch {
    return [amount, currency].filter((part) => part !== undefined).join(" ");
  }
}

/** A number and its noun. */
export function counted(number, noun) {
  return `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
}

/** The text with its first letter large. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function midnight(moment) {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
}
