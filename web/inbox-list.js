// The conversations: the newest first, older ones as the reader scrolls, and which of them hold something new.

import { avatar, icon, make, spoken, theirs } from "./inbox-nodes.js";
import { statusIcon } from "./inbox-rows.js";
import { conversationName, shortTime, senderName, summary } from "./inbox-words.js";

const PAGE = 50;
const NEAR = "400px";
const STEPS = { ArrowDown: 1, ArrowUp: -1 };

/** Show the conversations in `{scroller, list, empty, more}`; `failed(error)` hears what goes wrong while scrolling. */
export function listView({ scroller, list, empty, more }, api, { failed }) {
  const known = new Map(); // contact_id → {conversation, seen, item}
  let cursor = null;
  let since = null;
  let loading = false;
  let chosen = null;

  // ---- loading ---------------------------------------------------------------------------------------------------

  /** Bring the list up to date: what is new, or, with `whole`, the newest page anew. */
  async function refresh(whole) {
    if (!whole && since) return news();
    const page = await api.conversations({ limit: PAGE });
    const isFirst = !since;
    if (isFirst) cursor = page.cursor;
    else forget(page.conversations);
    since ??= page.since;
    merge(page.conversations, isFirst);
    if (isFirst) watchEnd();
    return undefined;
  }

  async function news() {
    let page;
    do {
      page = await api.conversations({ limit: PAGE, since });
      since = page.since;
      merge(page.conversations);
    } while (page.more);
  }

  async function older() {
    if (!cursor || loading) return;
    loading = true;
    more.classList.add("busy");
    try {
      const page = await api.conversations({ limit: PAGE, cursor });
      cursor = page.cursor;
      merge(page.conversations, true);
    } finally {
      loading = false;
      more.classList.remove("busy");
    }
    watchEnd();
  }

  const end = new IntersectionObserver(([entry]) => entry.isIntersecting && older().catch(failed), {
    root: scroller,
    rootMargin: `${NEAR} 0px`,
  });

  function watchEnd() {
    end.unobserve(more);
    end.observe(more);
  }

  // ---- showing ---------------------------------------------------------------------------------------------------

  /** What the newest page no longer holds although its time is there is another's now, or erased. */
  function forget(page) {
    const ids = new Set(page.map(({ contact_id: id }) => id));
    const oldest = Math.min(...page.map(({ timestamp }) => timestamp));
    for (const [id, { conversation, item }] of known) {
      if (ids.has(id) || conversation.timestamp <= oldest) continue;
      item.remove();
      known.delete(id);
    }
  }

  function merge(conversations, seen = false) {
    for (const conversation of conversations) {
      const { contact_id: id } = conversation;
      const entry = known.get(id) ?? { item: make("li"), seen: seen ? keyOf(conversation) : "" };
      known.set(id, Object.assign(entry, { conversation }));
    }
    render();
  }

  function render() {
    const inOrder = [...known.values()].toSorted(newestFirst);
    inOrder.forEach((entry, place) => {
      update(entry);
      if (list.children[place] !== entry.item) list.insertBefore(entry.item, list.children[place] ?? null);
    });
    empty.hidden = inOrder.length > 0;
  }

  function update(entry) {
    const { conversation } = entry;
    const isChosen = conversation.contact_id === chosen;
    if (isChosen || conversation.last_message?.direction === "outbound") entry.seen = keyOf(conversation);
    const isNew = entry.seen !== keyOf(conversation);
    const shown = JSON.stringify([conversation, isChosen, isNew, shortTime(conversation.timestamp)]);
    if (entry.shown === shown) return;
    entry.shown = shown;
    entry.isNew = isNew;
    const link = entry.item.firstChild ?? entry.item.appendChild(make("a", { className: "conversation" }));
    link.href = `#${encodeURIComponent(conversation.contact_id)}`;
    link.classList.toggle("unread", isNew);
    if (isChosen) link.ariaCurrent = "true";
    else link.ariaCurrent = null;
    link.replaceChildren(...lineOf(conversation, isNew));
  }

  /** Mark the conversation that is open. */
  function choose(contactId) {
    chosen = contactId;
    render();
  }

  function step(event) {
    const links = [...list.querySelectorAll(".conversation")];
    const place = links.indexOf(document.activeElement);
    const next = links[place + STEPS[event.key]];
    if (place < 0 || !next) return;
    event.preventDefault();
    next.focus();
  }

  list.addEventListener("keydown", step);
  return {
    refresh,
    choose,
    find: (contactId) => known.get(contactId)?.conversation,
    focus: (contactId) => known.get(contactId)?.item.firstChild.focus(),
    unread: () => [...known.values()].filter(({ isNew }) => isNew).length,
  };
}

function newestFirst({ conversation: one }, { conversation: other }) {
  return other.timestamp - one.timestamp || (one.contact_id < other.contact_id ? 1 : -1);
}

function keyOf({ timestamp, last_message: last }) {
  return last?.message_id ?? String(timestamp);
}

function lineOf(conversation, isNew) {
  const { kind, name, contact_id: id, timestamp } = conversation;
  const dateTime = new Date(timestamp * 1000).toISOString();
  return [
    avatar(kind === "group" ? "" : name, id, kind === "group" ? "group" : "contact"),
    make("span", { className: "name" }, theirs(conversationName(conversation))),
    make("time", { dateTime }, shortTime(timestamp)),
    make("span", { className: "last" }, ...lastNodes(conversation)),
    isNew ? make("span", { className: "new" }, spoken("new")) : "",
  ].filter(Boolean);
}

function lastNodes({ last_message: last, preview, kind }) {
  if (!last) return [make("span", { className: "said" }, theirs(preview ?? ""))];
  const { symbol, said } = summary(last);
  const isOutbound = last.direction === "outbound";
  const sender = isOutbound ? "" : kind === "group" ? `${senderName(last)}: ` : "";
  return [
    isOutbound && last.status ? statusIcon(last.status) : "",
    isOutbound ? spoken("You: ") : "",
    symbol ? icon(symbol) : "",
    make("span", { className: "said" }, theirs(sender + said)),
  ].filter(Boolean);
}
