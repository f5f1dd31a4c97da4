// Requests of this page: it has a name of its own, one request of a kind is under way, and only the newest one waits.

const visitor = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Dropped extends Error {}

export async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: { "X-Visitor": visitor, ...options.headers } });
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  if (answer.status === 409) throw new Dropped();
  let told = null;
  try { told = (await answer.json()).error; } catch { /* no JSON */ }
  throw new Error(told ?? `the server answers ${answer.status}`);
}

export const askJson = async (address, options) => (await ask(address, options)).json();
export const post = (address, body, options = {}) => askJson(address, { method: "POST", body, ...options });

// Runs `work(value, since)` for the newest value; `since` is when that value was asked for.
export class Newest {
  constructor(work, failed) {
    this.work = work;
    this.failed = failed;
    this.waiting = null;
    this.isBusy = false;
  }

  async ask(value, since = performance.now()) {
    this.waiting = [value, since];
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.waiting) {
      const [next, then] = this.waiting;
      this.waiting = null;
      try {
        await this.work(next, then);
      } catch (error) {
        if (!(error instanceof Dropped)) this.failed(error);
      }
    }
    this.isBusy = false;
  }
}

// Follows a long work until it is done; `shown` gets what is known of it each time.
export async function follow(job, shown, every = 120) {
  let known = job;
  shown(known);
  while (!known.done) {
    await new Promise((resolve) => setTimeout(resolve, every));
    known = await askJson(`jobs/${job.job}`);
    shown(known);
  }
  if (known.error) throw new Error(known.error);
  return known;
}
