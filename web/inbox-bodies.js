// A message → the nodes of what it says, by its type. Pure; media elements are made by a function that is given.

import { avatar, icon, make, theirs } from "./inbox-nodes.js";
import { link, words } from "./inbox-text.js";
import {
  answerTitle, capital, contactName, counted, current, isForm, isMedium, kindOf, mediaKind, mediaWord, notHandedOn,
  price, readablePhone, reason, senderName,
} from "./inbox-words.js";

const KIND_NOT_SUPPORTED = 131051; // which the words say already

/**
 * Give the nodes of what a message says. `mediaElement(attributes)` makes the element of a medium:
 * `{path, kind, media, alt, caption}`, caption a node or null.
 */
export function bodyOf(message, mediaElement) {
  if (message.revoked) return [quiet("deleted", "This message was deleted.")];
  const shown = { ...message, ...current(message) };
  const kind = kindOf(shown);
  const build = isMedium(kind) && shown.media_src ? mediaBody : (BODIES[kind] ?? unknown);
  const body = build(shown, mediaElement);
  return [...labels(shown), ...body, ...(shown.truncated ? [fine("Parts of it were too large to be kept here.")] : [])];
}

// ---- above the words ---------------------------------------------------------------------------------------------

function labels({ context = {}, referral }) {
  const forwarded = context.frequently_forwarded ? "Forwarded many times" : context.forwarded ? "Forwarded" : "";
  return [
    forwarded && make("p", { className: "label" }, icon("forwarded"), forwarded),
    context.product && card("product",
      fine("About the product"),
      title(context.product.product_id ?? "of your catalogue")),
    referral && card("referral",
      fine("Came by an advertisement"),
      title(referral.headline || "without a headline"),
      referral.body && fine(referral.body),
      referral.source_url && link(referral.source_url, referral.source_url)),
  ].filter(Boolean);
}

// ---- media -------------------------------------------------------------------------------------------------------

function mediaBody(message, mediaElement) {
  const said = message.caption || message.text;
  return [mediaElement(mediumOf(message, message, said ? words(said) : null))];
}

function mediumOf({ media_src: path, media = {} }, message, caption = null) {
  const kind = mediaKind(media);
  return { path, kind, media, alt: `${mediaWord(kind)} from ${senderName(message)}`, caption };
}

/** All media of a form: the first stands in the message itself. */
function parts(message, mediaElement) {
  const media = [message, ...(message.further_media ?? [])].filter((part) => part.media_src);
  const elements = media.map((part) => mediaElement(mediumOf(part, message)));
  return elements.length > 0 ? [make("div", { className: "parts" }, ...elements)] : [];
}

// ---- by type -----------------------------------------------------------------------------------------------------

const BODIES = {
  text: ({ text }) => [text ? words(text) : quiet("unsupported", "A text without words.")],
  button: ({ text, button }) => [answer("reply", text || button?.text || "Pressed a button")],
  contacts: ({ contacts }) => contacts?.map(contactCard) ?? [quiet("contact", "A contact without details.")],
  interactive,
  location: ({ location }) => [location ? locationCard(location) : quiet("location", "A location without a place.")],
  order: ({ order, text }) => [orderCard(order ?? {}), ...noted(order?.text ?? text)],
  unsupported,
  unknown: unsupported,
};

function unknown(message, mediaElement) {
  return [
    quiet("unsupported", `A message of the type “${message.type}”, which this inbox cannot show.`),
    ...noted(message.text),
    ...parts(message, mediaElement),
  ];
}

function unsupported({ unsupported: what, errors }) {
  const said = `${notHandedOn(what?.type)}. WhatsApp does not hand it on; it can be seen in its app.`;
  const why = (errors ?? []).filter(({ code }) => code !== KIND_NOT_SUPPORTED);
  return [quiet("unsupported", said), ...(why.length > 0 ? [fine(reason(why))] : [])];
}

function interactive(message, mediaElement) {
  const { description, body, answers = [], title: heading } = message.interactive ?? {};
  return [
    answer(isForm(message) ? "form" : "reply", answerTitle(message)),
    ...[description, heading && body].filter(Boolean).map(fine), // the body of a form says "Sent" and no more
    ...(answers.length > 0 ? [make("dl", { className: "facts" }, ...answers.flatMap(fact))] : []),
    ...parts(message, mediaElement),
  ];
}

function fact({ name, values }) {
  return [make("dt", {}, theirs(capital(name.replaceAll("_", " ")))), make("dd", {}, theirs(values.join(", ")))];
}

function locationCard({ latitude, longitude, name, address, url }) {
  const isKnown = Number.isFinite(latitude) && Number.isFinite(longitude);
  const map = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
  const element = card("place",
    title(name || "Location"),
    address && fine(address),
    isKnown && fine(`${latitude.toFixed(5)}, ${longitude.toFixed(5)}`),
    isKnown && link(map, "Open the map"),
    url && link(url, url));
  element.prepend(make("div", { className: "map" }, icon("location")));
  return element;
}

function contactCard(contact) {
  const name = contactName(contact);
  const details = [
    contact.organization !== name && contact.organization && fine(contact.organization),
    ...(contact.phones ?? []).map(({ phone, type }) => reached("tel:", digits(phone), readablePhone(phone), type)),
    ...(contact.emails ?? []).map(({ email, type }) => reached("mailto:", encodeURIComponent(email), email, type)),
  ];
  const element = card("person", title(name), ...details);
  element.prepend(avatar(name, name));
  return element;
}

function reached(scheme, address, shown, type) {
  const way = address ? make("a", { href: scheme + address }, theirs(shown)) : theirs(shown);
  return make("p", {}, way, type ? make("small", { className: "fine" }, ` ${type.toLowerCase()}`) : "");
}

function digits(phone) {
  return phone.replaceAll(/[^+\d]/gu, "");
}

function orderCard({ items = [] }) {
  const goods = items.map(({ product_id: name, quantity = 1, price: each, currency }) =>
    make("li", {},
      make("span", {}, `${quantity} × `, theirs(name || "Product")),
      each === undefined ? "" : make("span", {}, price(each * quantity, currency))));
  const sums = new Map();
  for (const { quantity = 1, price: each = 0, currency = "" } of items) {
    sums.set(currency, (sums.get(currency) ?? 0) + each * quantity);
  }
  const total = [...sums].map(([currency, sum]) => price(sum, currency)).join(" + ");
  const sum = make("li", { className: "sum" }, make("span", {}, "Together"), make("span", {}, total));
  const list = make("ul", { className: "goods" }, ...goods, items.length > 1 ? sum : "");
  const heading = make("p", { className: "title" }, icon("order"), ` Order: ${counted(items.length, "product")}`);
  return card("order", heading, list);
}

// ---- pieces ------------------------------------------------------------------------------------------------------

function card(name, ...children) {
  return make("div", { className: `card ${name}` }, make("div", {}, ...children.filter(Boolean)));
}

function title(text) {
  return make("p", { className: "title", dir: "auto" }, text);
}

function fine(text) {
  return make("p", { className: "fine", dir: "auto" }, text);
}

function answer(symbol, text) {
  return make("p", { className: "answer" }, icon(symbol), theirs(text));
}

function quiet(symbol, text) {
  return make("p", { className: "quiet" }, icon(symbol), make("span", {}, text));
}

function noted(text) {
  return text ? [words(text)] : [];
}
