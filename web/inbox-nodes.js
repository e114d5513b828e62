// Elements, icons and avatars. What comes from outside is only ever set as text, never parsed.

const SVG = "http://www.w3.org/2000/svg";
const HUES = 8; // classes hue-0 … hue-7 of the style sheet

// Lines on a grid of 24 by 24.
const ICONS = {
  alert: "M12 7.5v5.5M12 16.6v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  audio: "M9 18V6l10-2v11M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM19 15a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
  back: "M19 12H5M11 6l-6 6 6 6",
  call: "M6 3.5h3.2l1.6 4.4-2.1 1.5a12 12 0 0 0 5.9 5.9l1.5-2.1 4.4 1.6V18a2.5 2.5 0 0 1-2.7 2.5C10.6 20 4 13.4 3.5 6.2A2.5 2.5 0 0 1 6 3.5z",
  chat: "M4 5h16v11H10l-4.5 4V16H4z",
  contact: "M12 12a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM5 20a7 7 0 0 1 14 0",
  deleted: "M5.7 5.7l12.6 12.6M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  document: "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
  down: "M6 10l6 6 6-6",
  form: "M5 4h14v16H5zM8.5 9h7M8.5 12.5h7M8.5 16h4",
  forwarded: "M13 6l6 5.5-6 5.5v-3.5c-4 0-6.5 1-8.5 4 .4-4.5 3-7.8 8.5-8.3z",
  group: "M9 11.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM3 19a6 6 0 0 1 12 0M16 6a3 3 0 0 1 0 5.5M17.5 14a5.5 5.5 0 0 1 3.5 5",
  image: "M4 5h16v14H4zM4 16l4.5-4.5 4 4 2.5-2.5 5 5M15.5 9.5v.1",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
  location: "M12 21c4-4.5 6.5-7.7 6.5-11a6.5 6.5 0 0 0-13 0c0 3.3 2.5 6.5 6.5 11zM12 12.3a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6z",
  mail: "M3.5 6h17v12h-17zM3.5 7l8.5 6 8.5-6",
  order: "M4 5h2.2l2 10h9.3l2-7.5H7M10 19v.1M16.5 19v.1",
  reply: "M10 7L5 11.5l5 4.5M5 11.5h8a6 6 0 0 1 6 6",
  sent: "M5 12.5l4.5 4.5L19 7.5",
  delivered: "M2.5 12.5L7 17l9-9.5M11.5 16l1 1 9-9.5",
  sticker: "M13.5 20H7a3 3 0 0 1-3-3V7a3 3 0 0 1 3-3h10a3 3 0 0 1 3 3v6.5zM13.5 20v-3.5a3 3 0 0 1 3-3H20M9 9.5v.1M15 9.5v.1",
  unsupported: "M9.3 9.5a2.7 2.7 0 1 1 4 2.4c-.9.5-1.3 1-1.3 2M12 17v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  video: "M3.5 6.5h12v11h-12zM15.5 10.5l5-3v9l-5-3",
  voice: "M12 14.5a3 3 0 0 0 3-3v-5a3 3 0 0 0-6 0v5a3 3 0 0 0 3 3zM6 11.5a6 6 0 0 0 12 0M12 17.5V21",
};

/** Make an element: `properties` are set on it, `children` are nodes or text; what is null or empty is left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** Text that somebody wrote, in the direction of its own letters, whatever stands around it. */
export function theirs(text) {
  return make("bdi", {}, text);
}

/** Words for those who hear the page. */
export function spoken(text) {
  return make("span", { className: "spoken" }, text);
}

/** A drawing; it says nothing to those who hear the page. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A coloured disc with somebody's initials, or a figure where there are none; `key` chooses the colour. */
export function avatar(name, key, figure = "contact") {
  const letters = initials(name);
  const disc = make("span", { className: `avatar hue-${hue(key)}` }, letters || icon(figure));
  disc.setAttribute("aria-hidden", "true");
  return disc;
}

/** One of the colours of the style sheet, the same for a key each time. */
export function hue(key) {
  let sum = 0;
  for (const letter of String(key)) sum = (sum * 31 + letter.codePointAt(0)) % 65521;
  return sum % HUES;
}

function initials(name) {
  const words = String(name ?? "").match(/\p{L}[\p{L}\p{M}'’-]*/gu) ?? [];
  const chosen = words.length > 1 ? [words[0], words.at(-1)] : words;
  return chosen.map((word) => [...word][0].toLocaleUpperCase()).join("");
}
