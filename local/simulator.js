// The simulator page: a form that sends as a customer, and the newest messages with their media.
// What comes from the server is only ever set as text or as the address of a media element.

const REFRESH = 1500; // milliseconds between two looks at the table
const PATIENCE = 10; // seconds: the longest wait before a pending media is asked for again
const KIND_OF_FAMILY = { image: "image", video: "video", audio: "audio" };

const byId = (id) => document.getElementById(id);
const config = await (await fetch("/simulator/config")).json();

/** Make an element: `properties` are set on it, `children` are nodes or text. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function readableSize(bytes) {
  if (typeof bytes !== "number") return "";
  const unit = bytes >= 1e6 ? ["megabyte", 1e6] : bytes >= 1e3 ? ["kilobyte", 1e3] : ["byte", 1];
  const style = { style: "unit", unit: unit[0], maximumFractionDigits: 1 };
  return new Intl.NumberFormat(undefined, style).format(bytes / unit[1]);
}

// ---- media -------------------------------------------------------------------------------------------------------

/** The media of one message: shows it, or says why it cannot, and tries again where that may help. */
class MediaFrame {
  #message;
  #retries = 0;
  #state = "loading";
  #timer = 0;

  constructor(message) {
    this.#message = message;
    this.element = make("div", { className: "frame" });
    this.start();
  }

  /** The table says that the media is settled now: what was waiting or had failed looks again. */
  settled() {
    if (this.#state !== "shown" && this.#state !== "loading") this.start();
  }

  start() {
    clearTimeout(this.#timer);
    this.#state = "loading";
    if (this.#message.type === "document") {
      this.#note("pending", "Looking for the file…");
      this.#ask();
    } else {
      this.#show(this.#player());
    }
  }

  #address(query = {}) {
    const address = new URL(`/media/messages/${encodeURIComponent(this.#message.message_id)}`, config.api_url);
    address.searchParams.set("token", config.media_token);
    if (this.#retries > 0) address.searchParams.set("retry", String(this.#retries));
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return address.href;
  }

  #player() {
    const { type, caption, profile_name: name } = this.#message;
    const src = this.#address();
    const done = () => { this.#state = "shown"; player.classList.remove("loading"); };
    const failed = () => this.#ask();
    let player;
    if (type === "video" || type === "audio") {
      player = make(type, { controls: true, preload: "metadata", src, onloadedmetadata: done, onerror: failed });
    } else {
      const alt = caption || `${type === "sticker" ? "Sticker" : "Picture"} from ${name ?? "a customer"}`;
      player = make("img", { className: type, alt, src, onload: done, onerror: failed });
    }
    player.classList.toggle("loading", type !== "audio");
    return player;
  }

  /** Ask the media proxy what it knows, as JSON: an error event of a media element gives no reason. */
  async #ask() {
    try {
      const response = await fetch(this.#address(), { headers: { Accept: "application/json" } });
      this.#answered(response.status, await response.json(), Number(response.headers.get("Retry-After")));
    } catch {
      this.#failed({ code: "unreachable", title: "The media proxy cannot be reached", retryable: true });
    }
  }

  #answered(status, answer, retryAfter) {
    if (status === 202) this.#wait(retryAfter || answer.retry_after);
    else if (status !== 200) this.#failed(answer);
    else if (this.#message.type === "document") this.#show(this.#document(answer.media));
    else if (this.#retries === 0) this.#again();
    else this.#unplayable(answer.media);
  }

  #again() {
    this.#retries += 1;
    this.start();
  }

  #wait(retryAfter) {
    this.#state = "pending";
    this.#note("pending", "On its way from WhatsApp…");
    this.#timer = setTimeout(() => this.start(), Math.min(retryAfter || 2, PATIENCE) * 1000);
  }

  /** Show a problem (RFC 9457): what, why, its code, and a button where trying again may help. */
  #failed({ title, detail, code, retryable, retry_after: seconds }) {
    this.#state = "failed";
    const later = seconds ? `Worth trying again in ${seconds} s.` : "";
    const button = retryable ? make("button", { type: "button", onclick: () => this.#again() }, "Try again") : null;
    this.#note("failed", title || "No reason was given", [detail, later].filter(Boolean).join(" "), code, button);
  }

  #unplayable(media) {
    this.#state = "shown";
    this.#note("failed", "This browser cannot show the file", "", media?.mime_type, this.#download());
  }

  #document(media) {
    this.#state = "shown";
    const extension = /\.([A-Za-z0-9]{1,5})$/.exec(media?.filename ?? "")?.[1].toUpperCase();
    const facts = [extension ?? media?.mime_type, readableSize(media?.size)].filter(Boolean).join(" · ");
    const name = make("span", { className: "name" }, media?.filename || "Document", make("small", {}, facts));
    const open = make("a", { className: "button", href: this.#address(), target: "_blank", rel: "noopener" }, "Open");
    return make("div", { className: "document" }, name, open, this.#download());
  }

  #download() {
    return make("a", { className: "button", href: this.#address({ download: "1" }) }, "Download");
  }

  #note(state, title, detail = "", code = "", button = null) {
    this.#show(make("div", { className: `note ${state}`, role: "status" },
      make("strong", {}, title),
      detail && make("p", {}, detail),
      code && make("code", {}, code),
      button));
  }

  #show(node) {
    this.element.replaceChildren(node);
  }
}

// ---- messages ----------------------------------------------------------------------------------------------------

const shown = new Map(); // message id → {element, update}

function kindOf(message) {
  if (message.type === "audio") return message.voice ? "voice note" : "audio";
  return message.animated ? "animated sticker" : message.type;
}

/** Say where the media is: a class for its colour, and words from its item in the table. */
function mediaState(message) {
  const { status, error_code: code, attempts, size, resolved_source: source } = message.media;
  if (message.media_unavailable) return ["failed", `never delivered: ${message.media_unavailable}`];
  if (!message.provider_media_id) return ["", ""];
  const tried = attempts > 0 ? `${attempts} ${attempts === 1 ? "attempt" : "attempts"}` : "";
  const joined = (...words) => words.filter(Boolean).join(" · ");
  switch (status) {
    case "ready": return ["ready", joined("cached", readableSize(size), source, tried)];
    case "failed": return ["failed", joined("given up", code, tried)];
    case "waiting": return ["pending", joined("waiting", code, tried, nextAttempt(message.media))];
    case "queued": return ["pending", joined("queued for the worker", tried)];
    case "fetching": return ["pending", joined("being fetched", tried)];
    default: return ["pending", "not tried yet"];
  }
}

function nextAttempt({ next_attempt_at: at }) {
  if (typeof at !== "number") return "";
  const seconds = Math.ceil(at - Date.now() / 1000);
  return seconds > 0 ? `next attempt in ${seconds} s` : "next attempt is due";
}

function messageCard(message) {
  const at = new Date(message.timestamp * 1000);
  const hasMedia = Boolean(message.provider_media_id || message.media_unavailable);
  const frame = hasMedia ? new MediaFrame(message) : null;
  const state = make("span");
  const element = make("li", { className: "message" },
    make("div", { className: "line" },
      make("strong", {}, message.profile_name ?? "Unknown"),
      make("span", { className: "kind" }, kindOf(message)),
      make("time", { dateTime: at.toISOString() }, at.toLocaleTimeString())),
    frame?.element ?? null,
    make("p", { className: "words", hidden: !(message.caption || message.text) }, message.caption || message.text || ""),
    make("div", { className: "fine" }, make("code", {}, message.message_id), state));
  let status = message.media.status;
  const update = (newer) => {
    [state.className, state.textContent] = mediaState(newer);
    if (newer.media.status !== status && ["ready", "failed"].includes(newer.media.status)) frame?.settled();
    status = newer.media.status;
  };
  return { element, update };
}

function render(messages) {
  byId("empty").hidden = messages.length > 0;
  const list = byId("messages");
  messages.forEach((message, index) => {
    if (!shown.has(message.message_id)) shown.set(message.message_id, messageCard(message));
    const card = shown.get(message.message_id);
    card.update(message);
    if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
  });
  while (list.children.length > messages.length) list.lastChild.remove();
}

// ---- events ------------------------------------------------------------------------------------------------------

const SHOWN_EVENTS = 50;
let newestEvent = "";

function eventLine(event) {
  const { message_id: id, media_type: media, error_code: code } = event.detail;
  return make("li", {},
    make("time", { dateTime: event.time }, new Date(event.time).toLocaleTimeString()), " ",
    make("strong", {}, event["detail-type"]), ` ${[media, code].filter(Boolean).join(" · ")} `,
    make("code", {}, id));
}

function renderEvents(events) {
  if (events.length === 0 || events.at(-1).id === newestEvent) return;
  newestEvent = events.at(-1).id;
  byId("heard").textContent = events.length === 1 ? "1 event" : `${events.length} events`;
  byId("events").replaceChildren(...events.slice(-SHOWN_EVENTS).reverse().map(eventLine));
}

async function refresh() {
  const [messages, events] = await Promise.all([fetch("/simulator/messages"), fetch("/simulator/events")]);
  if (messages.ok) render(await messages.json());
  if (events.ok) renderEvents(await events.json());
}

async function keepRefreshing() {
  try {
    if (!document.hidden) await refresh();
  } catch {
    say("The simulator does not answer any more.", true);
  }
  setTimeout(keepRefreshing, REFRESH);
}

// ---- form --------------------------------------------------------------------------------------------------------

function say(words, bad = false) {
  byId("outcome").textContent = words;
  byId("outcome").classList.toggle("bad", bad);
}

/** Show the fields that the kind needs, and leave the others out of the form. */
function fitFields() {
  const text = byId("kind").value === "text";
  const captioned = ["image", "video", "document"].includes(byId("kind").value);
  const wanted = {
    upload: !text && config.uploads,
    id: !text && !config.uploads,
    caption: captioned,
    text,
    fault: !text && config.faults.length > 0,
  };
  for (const field of document.querySelectorAll("[data-for]")) {
    field.hidden = !wanted[field.dataset.for];
    const inputs = field.matches("fieldset") ? [field] : field.querySelectorAll("input, select, textarea");
    for (const input of inputs) input.disabled = field.hidden;
  }
}

/** Choose the kind that suits the file; voice notes and stickers are ogg and webp, as WhatsApp makes them. */
function guessKind() {
  const [file] = byId("file").files;
  if (!file) return;
  const name = file.name.toLowerCase();
  if (/\.(ogg|oga|opus)$/.test(name)) byId("kind").value = "voice";
  else if (name.endsWith(".webp")) byId("kind").value = "sticker";
  else byId("kind").value = KIND_OF_FAMILY[file.type.split("/")[0]] ?? "document";
  fitFields();
}

async function send(event) {
  event.preventDefault();
  byId("send").disabled = true;
  say("Sending…");
  try {
    const response = await fetch("/simulator/send", { method: "POST", body: new FormData(byId("form")) });
    const answer = await response.json();
    if (response.ok) sent(answer.delivery);
    else say(answer.error, true);
    await refresh();
  } catch {
    say("The simulator does not answer.", true);
  } finally {
    byId("send").disabled = false;
  }
}

function sent({ status, attempts, answer }) {
  for (const name of ["caption", "text"]) byId("form").elements[name].value = "";
  const times = attempts === 1 ? "" : ` after ${attempts} attempts`;
  if (status === 200) say(`The webhook answered 200${times}.`);
  else say(`The webhook answered ${status ?? "nothing"}${times}: ${answer}`, true);
}

byId("number").textContent = `to ${config.display_phone_number}, phone_number_id ${config.phone_number_id}`;
byId("fault").append(...config.faults.map(({ name, label }) => make("option", { value: name }, label)));
byId("kind").addEventListener("change", fitFields);
byId("file").addEventListener("change", guessKind);
byId("form").addEventListener("submit", send);
fitFields();
keepRefreshing();
