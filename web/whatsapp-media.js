// docs/element.md

const ATTRIBUTES = "src kind filename mime-type size duration caption alt width height loading".split(" ");
const TAGS = { __proto__: null, image: "img", sticker: "img", video: "video", voice: "audio", audio: "audio" };
const DOWNLOAD = "download=1";
const CSS = `
:host{display:block;width:fit-content;max-width:100%}
:host([hidden]){display:none}
*{box-sizing:border-box;margin:0;border:0 solid}
.root{position:relative;width:var(--whatsapp-media-width,20em);max-width:100%;--s:var(--whatsapp-media-surface,color-mix(in srgb,currentColor 8%,transparent));--a:var(--whatsapp-media-accent,#1a9c74)}
.sticker{width:12em}
.frame{position:relative;display:grid;place-items:center;place-content:center;overflow:clip;max-height:24em;border-radius:.6em;background:var(--s)}
.image .frame{aspect-ratio:4/3}
.video .frame{aspect-ratio:16/9}
.sticker .frame{aspect-ratio:1}
.frame,.document,.retry{outline:1px solid #0000}
.audio .frame{min-height:3.4em}
.open,img,video,audio{position:absolute;inset:0;width:100%;height:100%;object-fit:cover}
.sticker img,dialog img,video{object-fit:contain}
.voice audio{padding-inline-end:3.6em}
.ready:is(.sticker,.audio) .frame{background:none}
.retry,.speed,.icon{display:none}
.root:not(.ready) :is(.open,.media),.gone .download{visibility:hidden}
button,a{padding:.5em 1em;font:inherit;font-weight:600;color:inherit;background:var(--s);cursor:pointer;text-decoration:none;white-space:nowrap;border-radius:9em}
.open{padding:0;border-radius:0;cursor:zoom-in}
:focus-visible{outline:3px solid var(--a);outline-offset:-3px}
.spinner{position:absolute;width:1.8em;height:1.8em;border:3px solid var(--s);border-top-color:var(--a);border-radius:9em;opacity:0;pointer-events:none}
.root:is(.loading,.pending) .spinner{animation:t 1s linear .3s infinite}
.pending:not(.document) .spinner{position:static}
@keyframes t{from,to{opacity:1}to{rotate:1turn}}
@media(prefers-reduced-motion){.spinner{animation-duration:9s!important}}
.note{padding:0 1em;text-align:center}
:is(.error,.gone) .note::before{content:"!"/"";display:block;width:2em;margin:.8em auto 0;border:2px solid;line-height:2;border-radius:9em;opacity:.5}
.message:not(:empty){padding:.8em 0}
.ready .note{position:absolute;inset:auto 0 0;background:Canvas;color:CanvasText}
.again .retry,.voice.ready .speed{display:inline-block}
.retry{margin-bottom:1em}
.audio :is(.frame,.note){display:flex;align-items:center;gap:.5em;font-size:.95em}
.audio .retry,.audio .note::before{margin:0;flex:none}
.speed{position:absolute;inset-inline-end:0}
.info{display:flex;align-items:center;gap:.5em;font-size:.85em}
.filename{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.facts{white-space:nowrap;opacity:.8}
.download{margin-inline-start:auto;background:none}
.unplayable .download::after{content:" " attr(aria-label)}
.document{display:grid;border-radius:.6em;background:var(--s);padding:.7em}
.document .frame{display:contents}
.document .spinner{top:1.2em;inset-inline-start:1.4em}
.document .info{order:-1;display:grid;grid-template-columns:auto minmax(0,1fr) auto;gap:0 .7em;font-size:1em}
.document .icon{display:grid;place-items:center;grid-row:1/3;min-width:4em;height:4em;border-radius:.5em;background:var(--s);font-size:.8em;font-weight:700}
.document bdi{justify-self:start;max-width:100%}
.document .facts{grid-area:2/2;font-size:.85em}
.document .download{grid-area:1/3/3}
.caption{white-space:pre-wrap;overflow-wrap:anywhere}
dialog{min-width:100%;min-height:100%;background:#000;color:#fff}
dialog :is(button,a){position:absolute;top:1em;inset-inline-end:1em;background:#000b}
dialog a{inset-inline-end:5em}
`;

let sheet, link; // a server that renders has no document

function make(tag, part = "", properties, ...children) {
  const node = Object.assign(document.createElement(tag), { part, className: part }, properties);
  node.append(...children);
  return node;
}

function address(src, query = "") {
  const { protocol, search } = Object.assign((link ??= make("a")), { href: src });
  if (query) link.search = search + (search && "&") + query;
  return src && protocol.startsWith("http") ? link.href : "";
}

export class WhatsAppMedia extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ATTRIBUTES;

  static texts = {
    image: "Photo",
    sticker: "Sticker",
    voice: "Voice message",
    audio: "Audio",
    video: "Video",
    document: "Document",
    download: "Download",
    close: "Close",
    retry: "Try again",
    speed: "Playback speed",
    pending: "On its way from WhatsApp",
    offline: "You are offline.",
    network: "The server cannot be reached.",
    unplayable: "This browser cannot show this file. Download it instead.",
    unauthenticated: "Your session has ended. Sign in again.",
    message_not_found: "File not found.",
    no_media: "This message has no file.",
    media_unavailable: "WhatsApp did not deliver this file. Ask for it to be sent again.",
    media_expired: "WhatsApp no longer has this file. Ask for it to be sent again.",
    media_too_large: "This file is too large.",
    media_corrupt: "The file arrived damaged.",
    access_token_invalid: "WhatsApp does not accept our access token.",
    graph_refused: "WhatsApp refuses to give this file.",
    media_host_refused: "The file is on a server that we do not trust.",
    rate_limited: "WhatsApp is busy.",
    graph_unavailable: "WhatsApp cannot be reached.",
    graph_timeout: "WhatsApp took too long to answer.",
    internal_error: "Something went wrong on our side.",
  };

  #ui = {};
  #states;
  #texts;
  #state = "loading";
  #code;
  #run;
  #stale;

  static define(tag = "whatsapp-media") {
    const registry = globalThis.customElements;
    registry?.get(tag) ?? registry?.define(tag, class extends this {});
  }

  constructor() {
    super();
    const part = (tag, name, properties, ...children) => (this.#ui[name] = make(tag, name, properties, ...children));
    const root = this.attachShadow({ mode: "open" });
    if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
    root.append(
      part("div", "root", {},
        part("div", "frame", {},
          part("span", "spinner"),
          make("div", "note", {},
            part("p", "message", { role: "status" }),
            make("slot", "", { name: "help" }),
            part("button", "retry", { onclick: () => this.retry() })),
          part("button", "speed", { onclick: () => this.#faster() })),
        part("div", "info", {},
          part("span", "icon", { ariaHidden: true }),
          part("bdi", "filename"),
          part("bdi", "facts"),
          part("a", "download", { textContent: "↓", onclick: (event) => this.#download(event) })),
        make("div", "caption", { dir: "auto" }, part("slot", "slot", { name: "caption" }))));
    this.#states = this.attachInternals?.().states;
  }

  get state() {
    return this.#state;
  }

  get texts() {
    return { __proto__: null, ...this.constructor.texts, ...this.#texts };
  }

  set texts(texts) {
    this.#texts = texts;
    this.#changed();
  }

  connectedCallback() {
    for (const [name, value] of Object.entries(this)) {
      delete this[name];
      this[name] = value;
    }
    if (!this.#run) this.#changed("src");
  }

  disconnectedCallback() {
    queueMicrotask(() => this.isConnected || this.#stop()); // it may only be moved
  }

  attributeChangedCallback(name, old, value) {
    if (old !== value) this.#changed(name);
  }

  retry() {
    const run = this.#run;
    if (!run || /ready|loading/.test(this.#state)) return;
    run.tries = 0;
    run.asked = undefined;
    this.#show("loading", "", this.#state === "error"); // the button keeps the focus
    this.#soon(0);
  }

  async #changed(name) {
    this.#stale ||= /src|kind|mime/.test(name);
    await null;
    if (!this.isConnected) return;
    if (this.#stale) this.#start();
    else this.#render();
  }

  #start() {
    this.#stop();
    const observer = new IntersectionObserver((entries) => {
      if (entries.at(-1).isIntersecting) this.#load(observer.disconnect());
    }, { rootMargin: "300px", scrollMargin: "300px" });
    this.#stale = false;
    this.#run = { observer, abort: new AbortController(), known: {}, tries: 0, retries: 0 };
    this.#show("loading");
    if (!this.src) return;
    if (this.loading === "eager") this.#load();
    else observer.observe(this);
  }

  #stop() {
    const { abort, observer, timer, media, open, dialog } = this.#run ?? {};
    this.#run = undefined;
    abort?.abort();
    observer?.disconnect();
    clearTimeout(timer);
    dialog?.remove();
    media?.removeAttribute("src");
    media?.load?.();
    (open ?? media)?.remove();
  }

  #soon(seconds) {
    clearTimeout(this.#run.timer);
    this.#run.timer = setTimeout(() => this.#load(), seconds * 1000);
  }

  async #load(query) {
    const run = this.#run;
    const kind = this.#kind();
    let url = this.src;
    if (run.asking || !kind || (kind === "document" ? !this.#fact("filename") : this.getToken)) {
      const answer = await this.#ask(query);
      if (run !== this.#run) return;
      if (!answer.url) return this.#failed(answer);
      url = answer.url;
    }
    const tag = TAGS[this.#kind()];
    if (!tag) return this.#show("ready");
    const media = run.media ??= this.#mount(tag);
    const type = this.#fact("mime-type");
    if (type && media.canPlayType?.(type) === "") return this.#failed({ code: "unplayable" });
    media.src = url;
    if (media.preload === "none") this.#show("ready");
  }

  async #ask(query, renew = false) {
    const run = this.#run;
    try {
      const token = await this.getToken?.(renew);
      const response = await fetch(address(this.src, query), {
        headers: { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
        credentials: token ? "omit" : "include",
        signal: run.abort.signal,
      });
      const { status } = response;
      if (status === 401 && token && !renew) return this.#ask(query, true);
      const body = await response.json().catch(() => ({}));
      Object.assign(run.known, body.media);
      const code = status === 202 ? "pending" : "internal_error";
      return { code, retryable: status > 428, retry_after: response.headers.get("Retry-After"), ...body, url: address(body.url) };
    } catch {
      return { code: navigator.onLine ? "network" : "offline", retryable: true };
    }
  }

  #mount(tag) {
    const { signal } = this.#run.abort;
    const preload = tag === "audio" && this.duration ? "none" : "metadata";
    const media = make(tag, "media", { controls: true, playsInline: true, preload });
    const on = (type, act) => media.addEventListener(type, act, { signal });
    on("error", () => this.#broken());
    on(tag === "img" ? "load" : "loadedmetadata", () => this.#loaded());
    if (this.#kind() === "image") this.#run.open = make("button", "open", { onclick: () => this.#enlarge() }, media);
    this.#ui.frame.prepend(this.#run.open ?? media);
    return media;
  }

  #loaded() {
    const { media, resume } = this.#run;
    this.#run.resume = undefined;
    if (resume) media.currentTime = resume.at;
    if (resume?.play) media.play().catch(() => {});
    this.#show("ready");
  }

  #broken() {
    const run = this.#run;
    const { error, currentTime: at, paused } = run.media;
    if (at || paused === false) run.resume = { at, play: !paused };
    if (performance.now() - run.asked < 3e4) return this.#failed({ code: error?.code === 2 ? "network" : "unplayable", retryable: true });
    run.asked = performance.now();
    run.asking = true;
    run.media.preload = "metadata";
    this.#show("loading");
    this.#load(`retry=${++run.retries}`);
  }

  #failed({ code, retryable, retry_after: after }) {
    const run = this.#run;
    run.asking = true;
    const pending = code === "pending";
    const unplayable = code === "unplayable";
    this.#show(pending ? code : retryable || unplayable ? "error" : "gone", code, retryable);
    const pause = Math.max(after | 0, 2 ** Math.min(run.tries++, 5)) + Math.random();
    if (pending || (retryable && !unplayable && run.tries < 4)) this.#soon(pause);
    if (code === "offline") addEventListener("online", () => this.retry(), { once: true, signal: run.abort.signal });
  }

  async #download(event) {
    event.preventDefault();
    const run = this.#run;
    if (!run.media) this.#show("loading");
    const answer = await this.#ask(DOWNLOAD);
    if (run !== this.#run) return;
    if (answer.url || (answer.code === "network" && !this.getToken)) {
      make("a", "", { href: answer.url || this.#ui.download.href, target: answer.url ? "" : "_blank" }).click();
      if (!run.media) this.#show("ready");
    } else if (run.media && this.#state === "ready") this.#show("ready", answer.code);
    else this.#failed(answer);
  }

  #faster() {
    const { media } = this.#run;
    media.playbackRate = media.defaultPlaybackRate = { 1: 1.5, 1.5: 2 }[media.playbackRate] ?? 1;
    this.#render();
  }

  #enlarge() {
    const { alt, src } = this.#run.media;
    const { ariaLabel, href, onclick } = this.#ui.download;
    const close = () => dialog.close();
    const dialog = this.#run.dialog = make("dialog", "dialog", { ariaLabel: alt, onclose: () => dialog.remove() },
      make("button", "close", { ariaLabel: this.texts.close, textContent: "✕", onclick: close }),
      make("img", "", { alt, src, onclick: close }),
      make("a", "", { ariaLabel, href, onclick, textContent: "↓" }));
    this.#ui.root.append(dialog);
    dialog.showModal();
  }

  #fact(name) {
    return this.getAttribute(name) ?? this.#run?.known[name.replace("-", "_")] ?? "";
  }

  #kind() {
    const type = this.#fact("mime-type");
    const kind = this.kind ?? this.#run?.known.type ?? type.split("/")[0];
    if (kind === "audio" && !this.kind && type.startsWith("audio/ogg")) return "voice";
    return !kind || TAGS[kind] ? kind : "document";
  }

  #show(state, code = "", retryable = false) {
    const same = state === this.#state && code === this.#code;
    this.#state = state;
    this.#code = code;
    this.#render(retryable);
    if (same) return;
    this.setAttribute("state", state);
    this.#states?.clear();
    this.#states?.add(state);
    const detail = { state, code, retryable };
    for (const type of ["statechange", { ready: "load", error: "error", gone: "error" }[state]]) {
      if (type) this.dispatchEvent(new CustomEvent(type, { detail }));
    }
  }

  #render(retryable = this.#ui.root.classList.contains("again")) {
    const { root, frame, message, retry, speed, icon, filename, facts, download, slot } = this.#ui;
    const { texts } = this;
    const media = this.#run?.media;
    const kind = this.#kind() || "document";
    const code = this.#code;
    const name = this.#fact("filename") || texts[kind];
    const caption = this.#fact("caption");
    const extension = /[./](\w{1,5})(;|$)/.exec(this.#fact("filename") || this.#fact("mime-type"))?.[1].toUpperCase() ?? "";
    const seconds = Math.round(this.duration ?? media?.duration);
    const megabytes = this.#fact("size") / 1e6;
    const say = (node, text) => node.textContent === text || (node.textContent = text);
    root.className = `root ${kind} ${TAGS[kind]} ${this.#state} ${code} ${retryable ? "again" : ""}`;
    frame.ariaBusy = /ing/.test(this.#state);
    frame.style.aspectRatio = this.width && `${this.width}/${this.height}`;
    say(message, code && (texts[code] ?? texts.internal_error));
    say(retry, texts.retry);
    say(speed, `${media?.playbackRate}×`);
    speed.ariaLabel = `${texts.speed} ${speed.textContent}`;
    say(icon, extension);
    say(filename, name);
    say(facts, [
      extension,
      megabytes > 0 && (megabytes < 1 ? `${Math.ceil(megabytes * 1000)} kB` : `${megabytes.toFixed(1)} MB`),
      seconds > 0 && seconds < 1e6 && `${(seconds / 60) | 0}:${String(seconds % 60).padStart(2, 0)}`,
    ].filter(Boolean).join(" · "));
    download.href = address(this.src, DOWNLOAD);
    download.ariaLabel = texts.download;
    say(slot, caption);
    if (media) media.alt = media.ariaLabel = this.alt ?? (caption || name);
  }
}

for (const name of ATTRIBUTES) {
  Object.defineProperty(WhatsAppMedia.prototype, name.replace(/-./, ([, letter]) => letter.toUpperCase()), {
    get() {
      return this.getAttribute(name);
    },
    set(value) {
      if (value == null) this.removeAttribute(name);
      else this.setAttribute(name, value);
    },
  });
}
WhatsAppMedia.prototype.getToken = undefined;
WhatsAppMedia.define();
