// The open conversation: its messages as far as they are loaded, and where the reader is among them.

import { icon } from "./inbox-nodes.js";
import { inOrder, rowElement, rowsOf } from "./inbox-rows.js";
import { counted } from "./inbox-words.js";

const PAGE = 50;
const NEAR = "700px"; // older messages are loaded before the reader comes to them
const END = 60; // pixels from the end that still count as the end
const FOUND = 2000; // milliseconds that a message that was jumped to stands out
const PAGES_BACK = 20; // as far as a jump loads

/**
 * Show conversations in `{log, messages, more, pill}`. `failed(error)` is told what goes wrong while older messages
 * are loaded, and `say(words)` what the reader should know.
 */
export function threadView({ log, messages: list, more, pill }, api, mediaTools, { failed, say }) {
  const tools = { ...mediaTools, jump };
  let open = null; // {contactId, ids, messages, rows, cursor, since, aborter}
  let unseen = 0;

  // ---- loading ---------------------------------------------------------------------------------------------------

  /** Show another conversation, empty until `refresh`; null shows none. */
  function show(contactId) {
    open?.aborter.abort();
    const nothing = { ids: [], messages: new Map(), rows: new Map(), aborter: new AbortController() };
    open = contactId && { contactId, ...nothing };
    list.replaceChildren();
    log.scrollTop = 0;
    setUnseen(0);
    more.classList.toggle("busy", Boolean(open));
  }

  /** Bring it up to date: what is new, or, with `whole`, the newest page with its ticks. Gives the newest answer. */
  async function refresh(whole) {
    const now = open;
    if (!now) return null;
    if (!whole && now.since) return news(now);
    const page = await api.messages(now.contactId, { limit: PAGE }, now.aborter.signal);
    const isFirst = !now.since;
    if (isFirst) Object.assign(now, { cursor: page.cursor, since: page.since });
    now.ids = page.contact_ids;
    merge(now, page.messages, { announce: !isFirst });
    if (isFirst) watchStart();
    return page;
  }

  async function news(now) {
    let page;
    do {
      page = await api.messages(now.contactId, { limit: PAGE, since: now.since }, now.aborter.signal);
      now.since = page.since;
      merge(now, page.messages, { announce: true });
    } while (page.more);
    return page;
  }

  async function older() {
    const now = open;
    if (!now?.cursor || now.loading) return now?.loading;
    more.classList.add("busy");
    now.loading = api.messages(now.contactId, { limit: PAGE, cursor: now.cursor }, now.aborter.signal);
    try {
      const page = await now.loading;
      now.cursor = page.cursor;
      merge(now, page.messages);
    } finally {
      now.loading = null;
      if (now === open) more.classList.remove("busy");
    }
    return watchStart();
  }

  // It tells of changes only: after a page that did not fill the room, it has to look anew.
  const start = new IntersectionObserver(
    ([entry]) => entry.isIntersecting && older()?.catch(failed),
    { root: log, rootMargin: `${NEAR} 0px` },
  );

  function watchStart() {
    more.classList.remove("busy");
    start.unobserve(more);
    start.observe(more);
  }

  // ---- showing ---------------------------------------------------------------------------------------------------

  function merge(now, messages, { announce = false } = {}) {
    if (now !== open || messages.length === 0) return;
    const newest = [...now.messages.values()].sort(inOrder).at(-1);
    const fresh = messages.filter((each) => each.type !== "reaction" && (!newest || inOrder(each, newest) > 0));
    for (const message of messages) now.messages.set(message.message_id, message);
    log.ariaLive = announce ? "polite" : "off"; // what is old is not read out
    const wasAtEnd = isAtEnd();
    keepingPlace(() => render(now));
    if (announce && !wasAtEnd) setUnseen(unseen + fresh.length);
  }

  function render({ messages, rows, ids }) {
    const all = [...messages.values()];
    const inGroup = all.some(({ from }) => from?.contact_id && !ids.includes(from.contact_id));
    const wanted = rowsOf(all, { inGroup });
    const left = new Set(rows.keys());
    wanted.forEach((row, place) => {
      if (rows.has(row.key)) rows.get(row.key).update(row);
      else rows.set(row.key, rowElement(row, tools));
      const { element } = rows.get(row.key);
      if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
      left.delete(row.key);
    });
    for (const key of left) {
      rows.get(key).element.remove();
      rows.delete(key);
    }
  }

  /** Change the messages, and leave what the reader looks at where it is; who is at the end stays there. */
  function keepingPlace(change) {
    const atEnd = isAtEnd();
    const top = log.getBoundingClientRect().top;
    const seen = [...list.children].find((row) => row.getBoundingClientRect().bottom > top);
    const before = seen?.getBoundingClientRect().top;
    change();
    if (atEnd) log.scrollTop = 0;
    else if (seen?.isConnected) log.scrollTop += seen.getBoundingClientRect().top - before;
  }

  function isAtEnd() {
    return Math.abs(log.scrollTop) < END;
  }

  // ---- moving about ----------------------------------------------------------------------------------------------

  function setUnseen(number) {
    unseen = number;
    const words = unseen > 0 ? counted(unseen, "new message") : "";
    pill.hidden = !open || isAtEnd();
    pill.classList.toggle("plain", unseen === 0);
    if (pill.dataset.words === words) return;
    pill.dataset.words = words;
    pill.ariaLabel = words ? `${words}: go to the end` : "Go to the end";
    pill.replaceChildren(icon("down"), words);
  }

  function toEnd() {
    log.scrollTo({ top: 0, behavior: motion() });
    log.focus({ preventScroll: true });
  }

  /** Go to a message, and load what lies between. */
  async function jump(id) {
    const now = open;
    try {
      for (let pages = 0; !now.rows.has(id) && now.cursor && pages < PAGES_BACK; pages++) await older();
    } catch (error) {
      return failed(error);
    }
    const { element } = now.rows.get(id) ?? {};
    if (now !== open) return undefined;
    if (!element) return say("That message is not here any more.");
    element.scrollIntoView({ block: "center", behavior: motion() });
    element.focus({ preventScroll: true });
    element.classList.add("found");
    return setTimeout(() => element.classList.remove("found"), FOUND);
  }

  log.addEventListener("scroll", () => setUnseen(isAtEnd() ? 0 : unseen), { passive: true });
  pill.addEventListener("click", toEnd);
  return { show, refresh };
}

function motion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
}
