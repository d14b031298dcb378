// The numbers as they come: everything once and then what changes; gone while nobody looks, back when somebody does.

const SILENT_MS = 7000; // the server says something every two seconds
const AGAIN_MS = 2000;

export const live = { fields: new Map(), top: new Map(), state: { state: "connecting" }, partial: new Set(), tiles: [], end: 0 };

export function watch(changed, minuteClosed) {
  let source = null, heard = Date.now(), again = 0;

  function become(state) {
    live.state = state;
    changed();
  }

  function listen() {
    clearTimeout(again);
    source?.close();
    heard = Date.now();
    const own = source = new EventSource("stream");
    const on = (event, take) => own.addEventListener(event, (message) => {
      heard = Date.now();
      take(JSON.parse(message.data));
    });
    on("beat", () => {});
    on("numbers", (told) => {
      if (told.whole) live.fields.clear();
      for (const [name, text] of Object.entries(told.set)) live.fields.set(name, text);
      for (const name of told.gone) live.fields.delete(name);
      for (const [name, pairs] of Object.entries(told.top ?? {})) live.top.set(name, pairs);
      live.partial = new Set(told.partial ?? []);
      become(told);
    });
    on("minutes", (told) => {
      live.tiles = told.tiles;
      live.end = told.end;
      minuteClosed();
      changed();
    });
    own.addEventListener("error", () => {
      if (own === source) lost(own.readyState === EventSource.CLOSED);
    });
  }

  async function lost(refused) {
    become({ state: "gone" });
    if (!refused) return; // the browser itself tries again
    again = setTimeout(listen, AGAIN_MS);
    const asking = new AbortController();
    try {
      const answer = await fetch("stream", { signal: asking.signal });
      if (answer.ok) asking.abort();
      else become({ state: "gone", why: (await answer.text()).trim() });
    } catch {
      // still gone, as was said
    }
  }

  setInterval(() => {
    if (document.hidden || Date.now() - heard < SILENT_MS) return;
    become({ state: "gone" });
    listen();
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    clearTimeout(again);
    source.close();
  });
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
}
