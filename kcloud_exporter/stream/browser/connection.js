// The stream: opens it, opens it again when it is lost, and says when what is shown has grown old.

const WAITS = [1, 2, 5, 10];

export class Connection {
  constructor(onState, onChange) {
    Object.assign(this, { onState, onChange, source: null, timer: 0, tries: 0, status: "connecting", heard: 0, patience: 60 });
    setInterval(() => this.look(), 1000);
  }

  open(cluster) {
    clearTimeout(this.timer);
    this.source?.close();
    const url = new URL("api/v1/monitoring/events/power", document.baseURI);
    url.searchParams.set("view", "live");
    if (cluster) url.searchParams.set("cluster", cluster);
    const source = new EventSource(url);
    this.source = source;
    source.addEventListener("live", (event) => {
      const state = JSON.parse(event.data);
      Object.assign(this, { tries: 0, heard: Date.now(), patience: 3 * state.interval_seconds + 2, made: Date.parse(state.timestamp) });
      this.tell("live");
      this.onState(state);
    });
    // A browser tries again by itself when a connection is lost, but not when the answer was an error.
    source.addEventListener("error", () => {
      this.tell("lost");
      if (source.readyState === EventSource.CLOSED && source === this.source) {
        const wait = WAITS[Math.min(this.tries, WAITS.length - 1)];
        this.tries += 1;
        this.timer = setTimeout(() => this.open(cluster), wait * 1000);
      }
    });
  }

  look() {
    if (this.status === "live" && Date.now() - this.heard > this.patience * 1000) this.tell("stale");
    this.onChange(this.status, false);
  }

  tell(status) {
    const changed = status !== this.status;
    this.status = status;
    this.onChange(status, changed);
  }
}
