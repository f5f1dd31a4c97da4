// Search in pages that are opened from a folder, where browsers start no workers: the worker's script runs in a hidden
// frame of the page.
class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.appendChild(frame)
    this.inside = frame.contentWindow
    this.inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
    const script = this.inside.document.createElement("script")
    this.loaded = new Promise(resolve => { script.onload = resolve })
    script.src = url
    this.inside.document.body.appendChild(script)
  }
  postMessage(data) {
    this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
  }
  terminate() {}
}
if (location.protocol === "file:") window.Worker = FrameWorker
