// The figures of the server over the time that this page is open. They are asked for when something happens, and for as
// long as something is unfinished; a page in which nothing happens asks nothing.
import { client, get, session } from './api.js'
import { listen } from './live.js'

const BUSY = 2000 // between two looks, ms
const WAITING = 10000
const KEPT = 300

export const stats = new EventTarget() // 'sample'
stats.latest = null
stats.samples = [] // {t, pending, running, rate (finished a minute), wait50, wait99 (seconds)}

let before = null
let timer = null
let due = 0

// The lines of one histogram, all types together: {count, buckets: [[bound, count]]}, of what was counted since the start.
function histogram(text, name) {
  const buckets = new Map()
  for (const [, bound, count] of text.matchAll(new RegExp(`^${name}_bucket\\{(?:.*,)?le="([^"]+)"\\} (\\d+)`, 'gm'))) {
    buckets.set(bound, (buckets.get(bound) ?? 0) + Number(count))
  }
  return { count: buckets.get('+Inf') ?? 0, buckets }
}

// Seconds within which this part of what came between the two fell; null where nothing came.
function quantile(part, now, then) {
  const total = now.count - then.count
  if (total <= 0) return null
  let least = 0
  for (const [bound, count] of now.buckets) {
    if (count - (then.buckets.get(bound) ?? 0) >= part * total) return bound === '+Inf' ? least : Number(bound)
    least = Number(bound)
  }
  return least
}

async function look() {
  timer = null
  if (!session.admin || document.hidden) return
  try {
    const [latest, metrics] = await Promise.all([get('/stats'), client.fetch('GET', '/metrics').then(answer => answer.text())])
    const t = Date.now()
    const now = { t, ended: histogram(metrics, 'leat_run_seconds'), wait: histogram(metrics, 'leat_claim_wait_seconds') }
    const sample = { t, pending: latest.queue.pending, running: latest.queue.running, rate: 0, wait50: null, wait99: null }
    if (before) {
      // after a quiet time, what ended did so just now
      sample.rate = Math.max(0, now.ended.count - before.ended.count) * 60000 / Math.min(t - before.t, WAITING)
      sample.wait50 = quantile(0.5, now.wait, before.wait)
      sample.wait99 = quantile(0.99, now.wait, before.wait)
    }
    before = now
    stats.latest = latest
    stats.samples.push(sample)
    if (stats.samples.length > KEPT) stats.samples.shift()
    stats.dispatchEvent(new Event('sample'))
    if (sample.pending + sample.running || sample.rate) plan(WAITING)
  } catch {
    plan(WAITING)
  }
}

// A look in so many milliseconds, or earlier where one is planned already.
export function plan(wait) {
  const then = Date.now() + wait
  if (timer !== null && due <= then) return
  clearTimeout(timer)
  due = then
  timer = setTimeout(look, wait)
}

export function start(signal) {
  before = null
  stats.latest = null
  stats.samples.length = 0
  listen(event => plan(event.type === 'stream.connected' ? 0 : BUSY), signal)
  signal.addEventListener('abort', () => clearTimeout(timer))
  plan(0)
}
