// An <img>, <video> or <audio> tells that it has failed, but never why. The API does: then the page waits, or says it.
// In the head and not deferred, so that it listens before the first of them fails.

const LONGEST = 20; // looks at one media
const UNKNOWN = "The media cannot be loaded.";

document.addEventListener("error", ({ target }) => {
  if (target.matches?.("img, video, audio")) look(target).catch(() => say(target, UNKNOWN));
}, true);

async function look(element) {
  const tries = Number(element.dataset.tries ?? 0) + 1;
  element.dataset.tries = tries;
  const answer = await fetch(element.src, { headers: { Accept: "application/json" } });
  const told = await answer.json();
  const again = answer.status === 202 || answer.ok || told.retryable;
  if (!again || tries > LONGEST) return say(element, told.title ?? UNKNOWN);
  const wait = Number(answer.headers.get("Retry-After")) || Math.min(tries, 10); // seconds
  setTimeout(() => show(element, answer.status === 200 ? tries : 0), wait * 1000);
}

/** Load it anew; with `retry`, the API looks whether the bytes are really there. */
function show(element, retry) {
  const address = new URL(element.src);
  if (retry) address.searchParams.set("retry", retry);
  element.src = address;
}

function say(element, text) {
  const note = document.createElement("p");
  note.setAttribute("role", "alert");
  note.textContent = text;
  element.replaceWith(note);
}
