// The inbox of the local run: its settings, and the simulator beside it. Served in place of web/inbox-settings.js.

const BESIDE = matchMedia("(min-width: 72rem)"); // else the simulator lies over the inbox

export async function settings() {
  const config = await (await fetch("/simulator/config")).json();
  offerSimulator();
  return {
    apiUrl: config.api_url,
    phoneNumberId: config.phone_number_id,
    title: `+${config.display_phone_number}`,
    getToken: () => config.media_token,
    media: "address", // the token stays the same, so the browser's cache knows an address again
  };
}

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Put the simulator's page into a panel, and a button for it above the conversations. */
function offerSimulator() {
  const frame = make("iframe", { title: "Simulator" });
  const close = make("button", { type: "button", className: "close", ariaLabel: "Close the simulator" }, "×");
  const panel = make("dialog", { className: "simulator", ariaLabel: "Simulator" }, close, frame);
  const toggle = make("button", { type: "button", className: "simulate" }, "Simulator");

  const open = () => {
    if (!frame.src) frame.src = "/simulator";
    panel.close();
    if (BESIDE.matches) panel.show();
    else panel.showModal();
    toggle.ariaExpanded = "true";
  };
  toggle.addEventListener("click", () => (panel.open ? panel.close() : open()));
  close.addEventListener("click", () => panel.close());
  panel.addEventListener("close", () => { toggle.ariaExpanded = String(panel.open); });
  BESIDE.addEventListener("change", () => panel.open && (BESIDE.matches ? open() : panel.close()));
  addEventListener("message", ({ origin, data }) => {
    if (origin === location.origin && data?.type === "simulator:sent") dispatchEvent(new Event("inbox-news"));
  });

  document.head.append(make("link", { rel: "stylesheet", href: "/inbox-simulator.css" }));
  document.querySelector(".list .bar").append(toggle);
  document.body.append(panel);
  toggle.ariaExpanded = "false";
  if (BESIDE.matches) {
    open();
    document.activeElement.blur(); // a dialog takes the focus
  }
}
