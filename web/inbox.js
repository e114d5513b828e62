// The inbox: conversations on one side, the messages of one of them on the other, kept up to date without a reload.
// The address's hash is the contact_id of the open conversation. A page that hears of new messages in a way of its own
// (a socket, a push) may say so: window.dispatchEvent(new Event("inbox-news")).

import { readApi } from "./inbox-api.js";
import { listView } from "./inbox-list.js";
import { mediaTools } from "./inbox-media.js";
import { avatar, icon, make, theirs } from "./inbox-nodes.js";
import { settings } from "./inbox-settings.js";
import { threadView } from "./inbox-thread.js";
import { conversationName, readablePhone } from "./inbox-words.js";

const PAUSE = 3; // seconds between two looks at what is new
const LONGEST_PAUSE = 60; // seconds, after one failure upon the other
const WHOLE = 30; // seconds between two looks at all of the newest page: its ticks, and the state of its media
const SAID = 6000; // milliseconds that a remark stays

const byId = (id) => document.getElementById(id);
let remark = 0; // the timer of what is said for a moment
const config = await settings().catch((error) => {
  tell(["The inbox does not know where to ask: it could not get its settings."], true);
  throw error;
});
const api = readApi(config);
const list = listView(
  {
    scroller: byId("list-scroller"),
    list: byId("conversations"),
    empty: byId("no-conversations"),
    more: byId("more-conversations"),
  },
  api,
  { failed },
);
const thread = threadView(
  { log: byId("log"), messages: byId("messages"), more: byId("more-messages"), pill: byId("pill") },
  api,
  mediaTools(config),
  { failed, say },
);

// ---- the open conversation ---------------------------------------------------------------------------------------

const open = { id: null, isMissing: false, person: undefined };

function route() {
  const id = hashId();
  if (id === open.id) return;
  const before = open.id;
  Object.assign(open, { id, isMissing: false, person: undefined });
  byId("inbox").toggleAttribute("data-open", Boolean(id));
  thread.show(id);
  list.choose(id);
  showBar();
  if (!id) list.focus(before);
  else if (document.activeElement !== document.body) byId("log").focus({ preventScroll: true });
  look();
}

function hashId() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null;
  }
}

function showBar() {
  for (const id of ["thread-bar", "log"]) byId(id).hidden = !open.id || open.isMissing;
  byId("nothing").hidden = Boolean(open.id) && !open.isMissing;
  byId("nothing").lastElementChild.textContent = open.isMissing
    ? "This conversation is not here, or it is not yours to see."
    : "Choose a conversation.";
  if (!open.id) return;
  const person = list.find(open.id) ?? open.person;
  const isGroup = person?.kind === "group";
  byId("thread-title").replaceChildren(theirs(person ? conversationName(person) : "Conversation"));
  byId("thread-about").textContent = person?.name ? readablePhone(person.phone) : "";
  byId("thread-avatar").replaceChildren(avatar(isGroup ? "" : person?.name, open.id, isGroup ? "group" : "contact"));
}

async function refreshThread(whole) {
  const { id } = open;
  try {
    const page = await thread.refresh(whole);
    if (!page || id !== open.id) return;
    open.isMissing = false;
    open.person ??= page.messages.find(({ from }) => from)?.from;
    if (page.contact_id !== id) rename(page.contact_id);
  } catch (error) {
    if (error.status !== 404) throw error;
    open.isMissing = id === open.id;
  }
}

/** The same person under the id that stands in the list. */
function rename(id) {
  open.id = id;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  list.choose(id);
}

// ---- looking for what is new -------------------------------------------------------------------------------------

const title = document.title;
let timer = 0;
let looking = null; // the look that is going on
let wanted = false; // another one after it
let failures = 0;
let lastWhole = -Infinity;

/** Look now, and again after a while; a hidden page looks once it is seen. */
async function look() {
  clearTimeout(timer);
  if (looking) wanted = true;
  if (looking || document.hidden) return;
  looking = lookOnce();
  const pause = await looking;
  looking = null;
  clearTimeout(timer);
  timer = setTimeout(look, wanted ? 0 : pause * 1000);
  wanted = false;
}

/** Gives the seconds until the next look. */
async function lookOnce() {
  const whole = performance.now() - lastWhole > WHOLE * 1000;
  try {
    await list.refresh(whole);
    showBar();
    await refreshThread(whole);
    if (whole) lastWhole = performance.now();
    if (failures > 0) quiet();
    failures = 0;
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
    else wanted = true; // another conversation was opened meanwhile
  }
  showBar();
  const unread = list.unread();
  document.title = unread > 0 ? `(${unread}) ${title}` : title;
  return failures === 0 ? PAUSE : pauseAfter(failures);
}

function pauseAfter(times) {
  return Math.min(LONGEST_PAUSE, PAUSE * 2 ** times) * (1 + Math.random() / 4);
}

/** All of the newest page, too: something may have changed that a look at what is new does not tell. */
function lookAtAll() {
  lastWhole = -Infinity;
  look();
}

// ---- what the reader is told -------------------------------------------------------------------------------------

function failed(error) {
  if (error.name === "AbortError") return;
  failures += 1;
  const again = make("button", { type: "button", onclick: lookAtAll }, "Try again");
  tell([explained(error), again], error.status === 401);
}

function explained({ status, code }) {
  if (status === 401) return "Your session has ended. Sign in again, then try again.";
  if (status === 0 && !navigator.onLine) return "You are offline. The inbox goes on when you are back.";
  if (status === 0) return "The server cannot be reached.";
  if (status === 429 || status >= 500) return "The server has trouble answering.";
  return `The server refuses this (${code || status || "unexpected error"}).`;
}

function say(words) {
  tell([words]);
  remark = setTimeout(quiet, SAID);
}

function tell(nodes, isBad = false) {
  clearTimeout(remark);
  const notice = byId("notice");
  notice.hidden = false;
  notice.classList.toggle("bad", isBad);
  if (notice.firstChild?.textContent !== nodes[0]) notice.replaceChildren(...nodes); // or it is read out each time
}

function quiet() {
  byId("notice").hidden = true;
  byId("notice").replaceChildren();
}

byId("number").textContent = config.title;
byId("back").append(icon("back"));
byId("nothing").prepend(icon("chat"));
byId("thread").addEventListener("keydown", ({ key }) => {
  if (key === "Escape" && open.id) location.hash = "";
});
for (const event of ["online", "inbox-news"]) addEventListener(event, lookAtAll);
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", lookAtAll);
route();
look();
