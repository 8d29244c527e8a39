// The one stream of everything that this page may see, while somebody listens.
import { client, noticed } from './api.js'

const listeners = new Set()
let following = null
let open = false

// Whether the stream stands: who begins to listen then hears no stream.connected, and misses nothing from here on.
export const connected = () => open

async function follow(signal) {
  try {
    for await (const event of client.watch({ all: true }, { signal, types: 'task.*', replay: false })) {
      if (event.type === 'stream.connected') open = true
      for (const f of [...listeners]) f(event)
    }
  } catch (error) {
    noticed(error)
  }
  if (!signal.aborted) open = false
}

// f is given each event of tasks until the signal ends. stream.connected comes first, and after a reset again.
export function listen(f, signal) {
  listeners.add(f)
  if (!following) follow((following = new AbortController()).signal)
  signal.addEventListener('abort', () => {
    listeners.delete(f)
    if (listeners.size) return
    following?.abort()
    following = null
    open = false
  })
}
