// The simulator's panel: a form that sends as a customer (or as the business), and the webhooks that were sent, each
// with its bytes and with what was stored. What comes from the server is only ever set as text.

const REFRESH = 1500; // milliseconds between two looks
const SHOWN = 200; // webhooks in the list
const CHOICES = 100; // messages that can be answered or changed
const KIND_OF_FAMILY = { image: "image", video: "video", audio: "audio" };
const WORDS = "[data-for=caption] input, [data-for=text] textarea, [data-for=new-text] textarea"; // said once
const ABOUT_OTHERS = ["reaction", "edit", "revoke", "status"];

const byId = (id) => document.getElementById(id);
const config = await (await fetch("/simulator/config")).json();
const form = byId("form");

/** Make an element: `properties` are set on it, `children` are nodes or text. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function readableSize(bytes) {
  if (typeof bytes !== "number") return "";
  if (bytes < 1000) return `${bytes} B`;
  const unit = bytes >= 1e6 ? ["megabyte", 1e6] : ["kilobyte", 1e3];
  const style = { style: "unit", unit: unit[0], maximumFractionDigits: 1 };
  return new Intl.NumberFormat(undefined, style).format(bytes / unit[1]);
}

const joined = (...words) => words.filter(Boolean).join(" · ");

/** Ask the simulator; throws an Error that says why in words. */
async function ask(path, fields = null) {
  let response;
  try {
    response = await fetch(path, fields ? { method: "POST", body: fields } : {});
  } catch {
    throw new Error("The simulator does not answer.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function formData(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return data;
}

function say(place, words, bad = false) {
  place.textContent = words;
  place.classList.toggle("bad", bad);
}

/** Do what a button asks for, once at a time, and say how it went. */
async function act(button, place, doing, action) {
  button.disabled = true;
  say(place, doing);
  try {
    say(place, ...(await action()));
    await refresh();
  } catch (error) {
    say(place, error.message, true);
  } finally {
    button.disabled = false;
  }
}

/** Put how webhooks were answered into words: [words, whether it is bad]. */
function answered(posts) {
  const refused = posts.find((post) => post.status !== 200);
  if (refused) return [`The webhook answered ${refused.status ?? "nothing"}${times(refused)}: ${refused.answer}`, true];
  if (posts.length > 1) return [`The webhook answered 200 to ${posts.length} POSTs.`, false];
  return [`The webhook answered 200${times(posts[0])}.`, false];
}

const times = (post) => (post.attempts === 1 ? "" : ` after ${post.attempts} attempts`);

// ---- the webhooks that were sent ---------------------------------------------------------------------------------

const kindName = (kind) => byId("kind").querySelector(`option[value="${CSS.escape(kind)}"]`)?.textContent ?? kind;

/** One webhook in the list: a line, and behind it its bytes and what was stored. */
class PostView {
  #post;
  #loaded = false;
  #messages = [];
  #events = [];
  #chosen = make("select");
  #stored = make("div", { className: "items" });
  #items = new Map(); // key in the table → its element
  #nothing = make("p", { className: "fine" }, "Nothing of it is in the table.");
  #changed = make("p", { className: "fine" }, "Of the message that it is about:");

  constructor(post) {
    this.#post = post;
    this.body = make("div", { className: "fields" });
    this.details = make("details", { className: "post", ontoggle: () => this.#toggled() }, this.#summary(), this.body);
    this.element = make("li", {}, this.details);
    this.element.dataset.number = String(post.id);
  }

  get isOpen() {
    return this.details.open;
  }

  get isShown() {
    return this.isOpen && this.#loaded;
  }

  #summary() {
    const { messages: [first], count, time, status, replay_of: original, size } = this.#post;
    const what = first ? (count > 1 ? `${count} × ${kindName(first.kind)}` : kindName(first.kind)) : "No message";
    const at = new Date(time * 1000);
    const fine = joined(first?.words, status === 200 ? "" : `answered ${status ?? "nothing"}`,
      original ? `number ${original} again` : "", readableSize(size));
    return make("summary", {},
      make("span", { className: "line" },
        make("strong", {}, what),
        make("bdi", { className: "who" }, first ? (first.echo ? `to ${first.name}` : first.name) : ""),
        make("time", { dateTime: at.toISOString() }, at.toLocaleTimeString())),
      make("span", { className: status === 200 ? "fine" : "fine bad", dir: "auto" }, fine));
  }

  async #toggled() {
    if (!this.isOpen || this.#loaded) return;
    const place = make("p", { className: "fine" }, "Looking…");
    this.body.replaceChildren(place);
    try {
      const { headers, body, messages, events } = await ask(`/simulator/webhooks/${this.#post.id}`);
      this.#loaded = true;
      this.#messages = messages;
      this.#events = events;
      this.body.replaceChildren(...this.#controls(), ...this.#storedPart(), ...this.#webhookPart(headers, body));
      await this.refresh();
    } catch (error) {
      say(place, error.message, true);
    }
  }

  #controls() {
    const outcome = make("p", { className: "fine", role: "status" });
    const hasMedia = this.#messages.some((message) => message.media_ids.length > 0);
    const breakable = hasMedia && config.faults.length > 0;
    const fault = make("select", {}, ...faultOptions());
    const again = make("button", { type: "button" }, "Send again");
    const forget = make("button", { type: "button" }, "Forget its media");
    const webhook = this.#post.id;
    again.onclick = () => act(again, outcome, "Sending…", async () =>
      answered((await ask("/simulator/replay", formData({ webhook, fault: fault.value }))).webhooks));
    forget.onclick = () => act(forget, outcome, "Forgetting…", async () =>
      [forgotten((await ask("/simulator/forget", formData({ webhook }))).forgotten)]);
    return [
      breakable ? make("label", {}, "Break ", fault) : null,
      make("div", { className: "buttons" }, again, breakable ? forget : null, this.#openLink()),
      outcome,
    ].filter(Boolean);
  }

  /** Link to the media of the chosen message, as an agent's page would. */
  #openLink() {
    const link = make("a", { className: "button", target: "_blank", rel: "noopener" }, "Open the media");
    const point = () => {
      const message = this.#message;
      link.hidden = !message?.media_ids.length;
      const address = new URL(`/media/messages/${message?.message_id}`, config.api_url);
      address.searchParams.set("token", config.media_token);
      link.href = address.href;
    };
    this.#chosen.addEventListener("change", point);
    queueMicrotask(point); // when the messages can be chosen
    return link;
  }

  get #message() {
    return this.#messages[this.#chosen.value || 0];
  }

  #storedPart() {
    const choices = this.#messages.map((message, place) =>
      make("option", { value: place }, joined(`${place + 1}`, kindName(message.kind), message.words)));
    this.#chosen.replaceChildren(...choices);
    this.#chosen.addEventListener("change", () => this.refresh().catch(() => {})); // the next look says it
    const several = this.#messages.length > 1;
    return [
      make("h3", {}, "What was stored"),
      several ? make("label", {}, "Message ", this.#chosen) : null,
      this.#stored,
    ].filter(Boolean);
  }

  #webhookPart(headers, body) {
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\n`).join("");
    return [make("h3", {}, "The webhook"), block("The webhook as it was sent", `${head}\n${body}`)];
  }

  /** Read what is stored of the chosen message, and of the one that it changes. */
  async refresh() {
    const message = this.#message;
    const ids = [message?.message_id, message?.about].filter(Boolean);
    const query = new URLSearchParams(ids.map((id) => ["message_id", id]));
    const items = ids.length > 0 ? (await ask(`/simulator/stored?${query}`)).items : [];
    if (message !== this.#message) return; // another one was chosen meanwhile
    const changed = items.filter((item) => item.pk === `MSG#${message.about}`);
    const own = [...items.filter((item) => !changed.includes(item)), ...this.#events];
    this.#show([...this.#elements(own), ...(changed.length > 0 ? [this.#changed, ...this.#elements(changed)] : [])]);
  }

  #elements(items) {
    const inOrder = items.toSorted((one, other) => (other.sk === "MESSAGE") - (one.sk === "MESSAGE"));
    return inOrder.map((item) => {
      const key = `${item.pk} ${item.sk}`;
      if (!this.#items.has(key)) this.#items.set(key, itemView(item));
      const view = this.#items.get(key);
      view.update(item);
      return view.element;
    });
  }

  /** Show these; what is on the screen already is not touched, for somebody may be reading or selecting. */
  #show(elements) {
    const shown = elements.length > 0 ? elements : [this.#nothing];
    const { children } = this.#stored;
    const same = shown.length === children.length && shown.every((element, place) => element === children[place]);
    if (!same) this.#stored.replaceChildren(...shown);
  }
}

function forgotten(count) {
  return `Graph has forgotten ${count === 1 ? "1 file" : `${count} files`}. Copies that were made stay.`;
}

/** A long text in a box that scrolls, also by keyboard. */
function block(name, text) {
  const box = make("pre", { tabIndex: 0, textContent: text, dir: "ltr" });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", name);
  return box;
}

function itemView(item) {
  const facts = make("span", { className: "fine" });
  const box = block(`The item ${item.sk}`, "");
  const line = make("summary", {}, make("strong", {}, item.sk), " ", facts);
  const element = make("details", { className: "item" }, line, box);
  const update = (newer) => {
    const text = JSON.stringify(newer, null, 2);
    if (box.textContent !== text) box.textContent = text;
    facts.textContent = factsOf(newer);
  };
  return { element, update };
}

const attempts = (count) => (count ? `${count} ${count === 1 ? "attempt" : "attempts"}` : "");

function factsOf(item) {
  const { sk, status, size, error_code: code } = item;
  if (sk === "MESSAGE") return joined(item.direction, item.type, item.media_unavailable);
  if (sk === "MEDIA") return joined(status, readableSize(size), code, attempts(item.attempts));
  if (sk === "EVENT") return joined(item.reason, item.field);
  return "timestamp" in item ? new Date(item.timestamp * 1000).toLocaleString() : "";
}

const views = new Map(); // webhook's number → PostView
const known = []; // the newest messages, the newest first
let newest = 0;

function noted(posts) {
  if (posts.length === 0) return;
  newest = posts.at(-1).id;
  byId("empty").hidden = true;
  for (const post of posts.slice(-SHOWN)) {
    const view = new PostView(post);
    views.set(post.id, view);
    byId("posts").prepend(view.element);
    // A replay tells nothing new, and neither does a status.
    if (!post.replay_of) known.unshift(...post.messages.filter(({ kind }) => !ABOUT_OTHERS.includes(kind)).reverse());
  }
  known.length = Math.min(known.length, CHOICES);
  for (const id of [...views.keys()].slice(0, -SHOWN)) {
    views.get(id).element.remove();
    views.delete(id);
  }
  offerMessages();
}

// ---- events ------------------------------------------------------------------------------------------------------

const SHOWN_EVENTS = 50;
let newestEvent = "";

function eventLine(event) {
  const { message_id: id, media_type: media, error_code: code } = event.detail;
  return make("li", {},
    make("time", { dateTime: event.time }, new Date(event.time).toLocaleTimeString()), " ",
    make("strong", {}, event["detail-type"]), ` ${joined(media, code)} `,
    make("code", {}, id));
}

function renderEvents(events) {
  if (events.length === 0 || events.at(-1).id === newestEvent) return;
  newestEvent = events.at(-1).id;
  byId("heard").textContent = events.length === 1 ? "1 event" : `${events.length} events`;
  byId("events").replaceChildren(...events.slice(-SHOWN_EVENTS).reverse().map(eventLine));
}

// ---- keeping up --------------------------------------------------------------------------------------------------

let looking = Promise.resolve();

/** Look once, after any look that is under way: two at a time would list a webhook twice. */
function refresh() {
  looking = looking.catch(() => {}).then(look);
  return looking;
}

async function look() {
  const asked = [ask(`/simulator/webhooks?after=${newest}`), ask("/simulator/events")];
  const [{ webhooks }, events] = await Promise.all(asked);
  noted(webhooks);
  renderEvents(events);
  await Promise.all([...views.values()].filter((view) => view.isShown).map((view) => view.refresh()));
}

async function keepRefreshing() {
  try {
    if (!document.hidden) await refresh();
  } catch (error) {
    say(byId("outcome"), error.message, true);
  }
  setTimeout(keepRefreshing, REFRESH);
}

// ---- form --------------------------------------------------------------------------------------------------------

const faultOptions = () => config.faults.map(({ name, label }) => make("option", { value: name }, label));
const chosenKind = () => byId("kind").selectedOptions[0];
const stranger = () => byId("contact").value === "";
const contact = () => (stranger() ? namedStranger() : config.contacts[byId("contact").value]);

function namedStranger() {
  const [name, phone, user] = ["name", "wa_id", "user_id"].map((field) => form.elements[`contact.${field}`].value);
  return { name, wa_id: phone, user_id: user };
}

/** Show the fields that the kind needs, and leave the others out of the form. */
function fitFields() {
  const wanted = new Set(chosenKind().dataset.fields.split(" "));
  if (wanted.has("file") && !config.uploads) {
    wanted.delete("file");
    wanted.add("id");
  }
  if (config.faults.length === 0) wanted.delete("fault");
  for (const field of document.querySelectorAll("[data-for]")) {
    field.hidden = !wanted.has(field.dataset.for);
    const inputs = field.matches("fieldset") ? [field] : field.querySelectorAll("input, select, textarea");
    for (const input of inputs) input.disabled = field.hidden;
  }
  const needsFile = chosenKind().value !== "flow_reply";
  byId("file").required = byId("media-id").required = needsFile;
  byId("file-label").textContent = needsFile ? "File" : "Photo that was picked (none is needed)";
  byId("stranger").hidden = byId("stranger").disabled = !stranger();
  byId("echo").disabled = !config.by_business.includes(chosenKind().value);
  if (byId("echo").disabled) byId("customer").checked = true;
  offerMessages();
}

/** Offer the messages of this chat to be answered or changed; a status is for what the business has sent. */
function offerMessages() {
  const who = contact();
  const chat = byId("group").value || who.user_id || who.wa_id;
  const echo = byId("echo").checked;
  const here = known.filter((message) => message.chat === chat);
  const own = here.filter((message) => message.echo === echo);
  const kind = chosenKind().value;
  const targets = kind === "reaction" ? here : kind === "status" ? here.filter((message) => message.echo) : own;
  const missing = kind === "status" ? "as the business" : "in this chat";
  fill(byId("target"), targets, targets.length === 0 ? `none: first send something ${missing}` : "");
  fill(byId("reply"), here, "none");
}

/** Put messages into a select, and keep what is chosen; `first` is the choice of none. */
function fill(select, messages, first) {
  const { value } = select;
  const options = messages.map(({ wamid, echo, name, kind, words }) =>
    make("option", { value: wamid }, joined(echo ? "the business" : name, kindName(kind), words)));
  select.replaceChildren(...(first ? [make("option", { value: "" }, first)] : []), ...options);
  if (messages.some((message) => message.wamid === value)) select.value = value;
}

/** Choose the kind that suits the file; voice notes and stickers are ogg and webp, as WhatsApp makes them. */
function guessKind() {
  const [file] = byId("file").files;
  if (!file || chosenKind().value === "flow_reply") return;
  const name = file.name.toLowerCase();
  if (/\.(ogg|oga|opus)$/.test(name)) byId("kind").value = "voice";
  else if (name.endsWith(".webp")) byId("kind").value = "sticker";
  else byId("kind").value = KIND_OF_FAMILY[file.type.split("/")[0]] ?? "document";
  fitFields();
}

function filledIn() {
  const data = new FormData(form);
  for (const [name, value] of Object.entries(contact())) data.set(`contact.${name}`, value);
  data.set("age", String(byId("age").value * byId("unit").value));
  return data;
}

function send(event) {
  event.preventDefault();
  act(byId("send"), byId("outcome"), "Sending…", async () => {
    const { webhooks } = await ask("/simulator/send", filledIn());
    for (const field of form.querySelectorAll(WORDS)) field.value = "";
    // The page around this one may want to look at once.
    if (window.parent !== window) window.parent.postMessage({ type: "simulator:sent" }, location.origin);
    return answered(webhooks);
  });
}

function personName({ name, wa_id: phone, user_id: user, username }) {
  return `${name} (${[phone && "number", user && "user id", username && "user name"].filter(Boolean).join(", ")})`;
}

byId("number").textContent = `${config.display_phone_number} · phone_number_id ${config.phone_number_id}`;
byId("contact").append(
  ...config.contacts.map((person, place) => make("option", { value: place }, personName(person))),
  make("option", { value: "" }, "Somebody else…"));
byId("group").append(...config.groups.map(({ id, name }) => make("option", { value: id }, name)));
byId("fault").append(...faultOptions());
byId("file").addEventListener("change", guessKind);
form.addEventListener("change", (event) => event.target !== byId("file") && fitFields());
form.addEventListener("submit", send);
byId("more").addEventListener("invalid", () => { byId("more").open = true; }, true);
byId("forget-all").hidden = !config.uploads;
byId("forget-all").addEventListener("click", () =>
  act(byId("forget-all"), byId("forgotten"), "Forgetting…", async () =>
    [forgotten((await ask("/simulator/forget", new FormData())).forgotten)]));
fitFields();
keepRefreshing();
