// The settings of the image, which are the query of the address. The fragment, which no server sees, holds the
// bookmarks and the styles that no seed makes.

const WRITE_EVERY = 300; // milliseconds; browsers refuse an address that changes more often

export function encoded(pairs) {
  return [...pairs].map(([name, value]) =>
    `${name}=${encodeURIComponent(value).replace(/%3A/g, ":").replace(/%2C/g, ",")}`).join("&");
}

class State extends EventTarget {
  constructor() {
    super();
    this.values = new Map(new URLSearchParams(location.search));
    this.fragment = new Map(new URLSearchParams(location.hash.slice(1)));
    this.timer = 0;
  }

  get(name, plain = "") { return this.values.get(name) ?? plain; }

  number(name, plain) {
    const value = Number(this.values.get(name) ?? plain);
    return Number.isFinite(value) ? value : plain;
  }

  // Set several settings at once; null leaves one out. `from` is the control that changed them.
  set(changes, from = null) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === "") this.values.delete(name);
      else this.values.set(name, String(value));
    }
    this.write();
    this.dispatchEvent(new CustomEvent("change", { detail: { from, names: Object.keys(changes) } }));
  }

  replace(query, from = null) {
    this.values = new Map(new URLSearchParams(query));
    this.write();
    this.dispatchEvent(new CustomEvent("change", { detail: { from, names: null } }));
  }

  keep(name, value) { // in the fragment
    if (value) this.fragment.set(name, value); else this.fragment.delete(name);
    this.write();
  }

  query() { return encoded(this.values); }

  address() {
    const query = this.query();
    const fragment = encoded(this.fragment);
    return location.pathname + (query ? `?${query}` : "") + (fragment ? `#${fragment}` : "");
  }

  write() {
    if (!this.timer) this.timer = setTimeout(() => this.flush(), WRITE_EVERY);
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = 0;
    history.replaceState(null, "", this.address());
  }

  // A list such as 0:1.5,3:-2 as a map from numbers.
  entries(name) {
    const found = new Map();
    for (const part of this.get(name).split(",").filter(Boolean)) {
      const [place, value] = part.split(":");
      found.set(Number(place), value === undefined ? 1 : Number(value));
    }
    return found;
  }

  setEntries(name, entries, from) {
    const text = [...entries].filter(([, value]) => value !== 0).map(([place, value]) => `${place}:${value}`).join(",");
    this.set({ [name]: text || null }, from);
  }

  span(name, plain) {
    const [first, last] = this.get(name).split("-");
    return first === "" ? plain : [Number(first), Number(last ?? first)];
  }
}

export const state = new State();
