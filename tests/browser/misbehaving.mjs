// leat.js against a server that misbehaves in one way after the other. Each is asked what a real one would be asked, and
// what the reader is told has to be the log: each event once, in order.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { LeatError, applyEvent, backoff, connect } from '../../nginx/html/leat.js'

const TASK = 't1'
const LAST = 9

async function until(condition, what = condition.toString()) {
  const end = Date.now() + 30_000
  while (!(await condition())) {
    assert.ok(Date.now() < end, `time is up: ${what}`)
    await pause(5)
  }
}

// The event of this number in the log of a task that ends with `last`.
function event(n, last = LAST, more = {}) {
  const type = n === 1 ? 'task.created' : n === 2 || n === last ? 'task.status_changed' : 'tell.it'
  const payload = n === 1 ? { status: 'pending', type: 'tell' }
    : n === 2 ? { from: 'pending', to: 'running', attempt: 1 }
      : n === last ? { from: 'running', to: 'completed', attempt: 1, result: 'ü' } : { n, text: 'ä€😀' }
  return { id: `e-${n}`, type, ts: 1000 + n, task_id: TASK, task_seq: n, group_id: 'g', request_id: 'r', payload, ...more }
}

const message = (data, id) => `${id ? `id: ${id}\n` : ''}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
const told = n => message(event(n), `e-${n}`)
const connected = (cursor, more = {}) => message({ type: 'stream.connected', ts: 1, payload: { cursor, server_time: 1, message: 'connected', ...more } })
const end = (reason, id, retry_ms = 10) => message({ type: 'stream.end', ts: 1, payload: { reason, retry_ms } }, id)
const head = answer => answer.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' })
const number = cursor => cursor === 'earliest' || !cursor ? 0 : cursor === 'now' ? null : Number(cursor.slice(2))

// What it should do: tell the rest, and end.
function behave({ answer, after, site }) {
  const from = after ?? site.last
  if (from >= site.last && site.finished) return void answer.writeHead(204).end()
  head(answer)
  answer.write(`retry: 10\n\n${connected(`e-${from}`)}`)
  for (let n = from + 1; n <= site.last; n++) answer.write(message(site.event(n), `e-${n}`))
  if (site.finished) answer.end(end('finished'))
}

// Tells some events and is cut off in the middle of these bytes.
const cut = (count, tail = '') => ({ request, answer, after }) => {
  head(answer)
  let text = connected(`e-${after}`)
  for (let n = after + 1; n <= after + count; n++) text += told(n)
  answer.write(text)
  answer.write(tail, () => setTimeout(() => request.socket.destroy(), 5))
}
const refuse = (status, headers = {}, body = '') => ({ answer }) => answer.writeHead(status, headers).end(body)
const problem = (status, code, headers = {}) =>
  refuse(status, { 'Content-Type': 'application/problem+json', ...headers }, JSON.stringify({ status, code, detail: code, retryable: status === 429 || status === 503 }))

// A site whose streams behave in these ways, one after the other, and then as they should.
async function misbehaving(t, { ways = [], pages = [], last = LAST, finished = true, events = event, other, options } = {}) {
  const site = {
    last, finished, asked: [], open: 0,
    event: n => events(n, last),
    document: () => ({ id: TASK, type: 'tell', status: finished ? 'completed' : 'running', progress: 0, event_count: last, cursor: `e-${last}`, files: [] }),
    streams: () => site.asked.filter(a => a.stream),
    pages: () => site.asked.filter(a => a.page),
    cursors: () => site.streams().map(a => a.cursor)
  }
  const server = createServer((request, answer) => {
    const url = new URL(request.url, 'http://x')
    const of = /events$/.test(url.pathname) && request.method === 'GET'
    const stream = of && /event-stream/.test(request.headers.accept)
    const cursor = request.headers['last-event-id'] ?? url.searchParams.get('last_event_id') ?? undefined
    const asked = { method: request.method, path: url.pathname, url, stream, page: of && !stream, cursor, headers: request.headers }
    site.asked.push(asked)
    const how = { request, answer, after: number(cursor), site, url, asked }
    answer.on('error', () => {})
    answer.setHeader('Connection', 'close') // none is used again that is about to be closed
    if (other?.(how)) return
    if (stream) {
      site.open++
      request.socket.once('close', () => site.open--)
      return (ways.shift() ?? behave)(how)
    }
    const json = value => { answer.setHeader('Content-Type', 'application/json'); answer.end(JSON.stringify(value)) }
    if (of) {
      const way = pages.shift()
      if (way) return way(how)
      const from = how.after ?? site.last
      const limit = Number(url.searchParams.get('limit') ?? 1000)
      const shown = Array.from({ length: Math.min(limit, Math.max(0, site.last - from)) }, (_, i) => site.event(from + i + 1))
      const reply = () => json({ events: shown, cursor: `e-${from + shown.length}`, more: from + shown.length < site.last })
      return !shown.length && request.headers.prefer ? void setTimeout(reply, 50) : reply()
    }
    json(url.pathname === `/api/tasks/${TASK}` ? site.document() : { tasks: [], next_page_token: '' })
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => { server.closeAllConnections(); server.close() })
  site.url = `http://127.0.0.1:${server.address().port}/api`
  site.states = []
  site.leat = connect({ base: site.url, heartbeat: 0.2, backoff: (n, atLeast) => Math.min(atLeast, 300) + 5, ...options })
  site.leat.connection.subscribe(c => site.states.push(c.state))
  return site
}

// Everything a watcher is told.
async function all(watch) {
  const seen = []
  for await (const e of watch) seen.push(e)
  return seen
}
const logged = seen => seen.filter(e => e.id)
function assertWhole(seen, last = LAST) {
  assert.deepEqual(logged(seen).map(e => e.id), Array.from({ length: last }, (_, i) => `e-${i + 1}`))
}

// ---- connections that end

test('a connection that is cut off goes on behind the last whole event, wherever it is cut', async t => {
  const tails = ['', 'id: e-', 'id: e-4\n', 'id: e-4\ndata: {"id":', told(4).slice(0, -1), 'id: e-4\ndata: ä€😀']
  for (const tail of tails) {
    const bytes = Buffer.from(tail)
    const site = await misbehaving(t, { ways: [cut(3, bytes.subarray(0, bytes.length - (tail.endsWith('😀') ? 2 : 0)))] })
    assertWhole(await all(site.leat.watch(TASK)))
    assert.deepEqual(site.cursors(), ['earliest', 'e-3'], JSON.stringify(tail))
  }
})

test('what is cut off again and again arrives', async t => {
  const site = await misbehaving(t, { ways: Array.from({ length: LAST - 1 }, () => cut(1)) })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.equal(site.streams().length, LAST)
  assert.ok(!site.states.includes('waiting'), 'what comes back at once is not shown')
})

test('a rotation is no error, and is not shown', async t => {
  const rotate = ({ answer, after }) => { head(answer); answer.end(connected(`e-${after}`) + told(after + 1) + end('rotated', `e-${after + 2}`)) }
  const skip = ({ answer, after }) => { head(answer); answer.end(connected(`e-${after}`) + end('rotated', `e-${after + 1}`)) }
  const site = await misbehaving(t, { ways: [rotate, skip] })
  const seen = await all(site.leat.watch(TASK, { types: 'tell.*' }))
  assert.deepEqual(site.cursors(), ['earliest', 'e-2', 'e-3'], 'it goes on at the position that the end names')
  assert.deepEqual([...new Set(seen.map(e => e.type))], ['stream.connected', 'tell.it'])
  assert.deepEqual([...new Set(site.states)], ['idle', 'connecting', 'live'])
})

test('the end of a task is the end, by its message or by 204', async t => {
  const site = await misbehaving(t)
  assertWhole(await all(site.leat.watch(TASK)))
  assert.deepEqual((await all(site.leat.watch(TASK, { from: `e-${LAST}` }))).filter(e => e.id), [])
  await pause(100)
  assert.equal(site.asked.length, 2, 'nothing more is asked')
})

test('the end that was cut off is asked for once more', async t => {
  const site = await misbehaving(t, { ways: [cut(LAST)] })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.deepEqual(site.cursors(), ['earliest', `e-${LAST}`])
})

// ---- refusals

test('what passes is asked for again; Retry-After and retry: are heard', async t => {
  const waits = []
  const site = await misbehaving(t, {
    ways: [
      refuse(500), refuse(502, { 'Content-Type': 'text/html' }, '<h1>Bad Gateway</h1>'), problem(503, 'database_busy', { 'Retry-After': '7' }),
      problem(429, 'rate_limited', { 'Retry-After': '2' }), ({ request }) => request.socket.destroy(),
      ({ answer }) => { head(answer); answer.end('retry: 4321\n\n' + end('overloaded', null, 5432)) },
      ({ answer }) => { head(answer); answer.end() },
      ({ answer }) => { head(answer); answer.end('retry: 4321\n\n') }
    ],
    options: { backoff: (n, atLeast) => { waits.push([n, atLeast]); return 1 } }
  })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.deepEqual(waits, [[0, 0], [1, 0], [2, 7000], [3, 2000], [4, 0], [5, 5432], [6, 0], [7, 4321]])
  assert.ok(site.states.includes('waiting'))
})

test('the default waits 1 s, doubling to 30 s, at least what the server asks for, and up to 1 s more', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 1000].map(n => backoff(n, 0, () => 0)), [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000])
  assert.deepEqual([backoff(0, 2500, () => 0), backoff(3, 2500, () => 0), backoff(9, 60_000, () => 0)], [2500, 8000, 60_000])
  assert.deepEqual([backoff(0, 0, () => 0.9999), backoff(9, 0, () => 0.5)], [1999, 30_500])
})

test('what can never work ends the iteration with what the server said', async t => {
  for (const [status, code] of [[403, 'insufficient_scope'], [404, 'not_found'], [422, 'invalid_request']]) {
    const site = await misbehaving(t, { ways: [problem(status, code)] })
    await assert.rejects(all(site.leat.watch(TASK)), e => e instanceof LeatError && e.status === status && e.code === code && !e.retryable)
    await pause(30)
    assert.equal(site.asked.length, 1, `${status}: it is asked once`)
  }
})

test('an answer that is no stream is none, whatever its status', async t => {
  const site = await misbehaving(t, {
    ways: [refuse(200, { 'Content-Type': 'text/html' }, '<p>Sign in to the network'), refuse(200, {}, told(1)), refuse(200, { 'Content-Type': 'text/event-streams' }, told(1)),
      refuse(201, { 'Content-Type': 'application/json' }, '{}')]
  })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.equal(site.streams().length, 5)
})

test('a redirect is followed, one that goes round is given up for now', async t => {
  const round = ({ answer, url }) => answer.writeHead(307, { Location: url.pathname + url.search }).end()
  const site = await misbehaving(t, { ways: [({ answer, url }) => answer.writeHead(307, { Location: `${url.pathname}?last_event_id=e-0` }).end()] })
  assertWhole(await all(site.leat.watch(TASK)))
  let rounds = 0
  const stuck = await misbehaving(t, { other: how => how.asked.stream && rounds++ < 30 && (round(how), true) })
  assertWhole(await all(stuck.leat.watch(TASK)))
})

// ---- credentials

test('a token that the server refuses is renewed, once; a fixed one ends it', async t => {
  const asked = []
  const only = good => ({ request, answer }) => request.headers.authorization === `Bearer ${good}` ? false : (problem(401, 'invalid_token')({ answer }), true)
  const site = await misbehaving(t, { other: only('new'), options: { token: async ({ renew }) => { asked.push(renew); return renew ? 'new' : 'old' } } })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.deepEqual(asked, [false, true])
  const fixed = await misbehaving(t, { other: only('new'), options: { token: 'old' } })
  await assert.rejects(all(fixed.leat.watch(TASK)), { status: 401, code: 'invalid_token' })
  assert.equal(fixed.asked.length, 1)
  const never = await misbehaving(t, { other: only('new'), options: { token: () => 'old' } })
  await assert.rejects(all(never.leat.watch(TASK)), { status: 401 })
  assert.equal(never.asked.length, 2)
})

test('a credential that ends in the middle of a stream is renewed', async t => {
  const asked = []
  const expire = reason => ({ answer, after }) => { head(answer); answer.end(connected(`e-${after}`) + told(after + 1) + end(reason)) }
  const site = await misbehaving(t, { ways: [expire('expired'), expire('revoked')], options: { token: ({ renew }) => { asked.push(renew); return `token${asked.length}` } } })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.deepEqual(asked, [false, true, true])
  assert.deepEqual(site.streams().map(a => a.headers.authorization), ['Bearer token1', 'Bearer token2', 'Bearer token3'])
  assert.deepEqual(site.cursors(), ['earliest', 'e-1', 'e-2'])
})

// ---- events

test('events that come twice are told once', async t => {
  const again = ({ answer }) => { head(answer); answer.end(connected('e-0') + told(1) + told(2) + told(2) + told(1) + told(3)) }
  const site = await misbehaving(t, { ways: [cut(3), again] })
  assertWhole(await all(site.leat.watch(TASK)))
})

test('so are those of no task, and those from long ago', async t => {
  const last = 6000
  const published = message({ ...event(3), id: 'e-x', task_id: null, task_seq: null }, 'e-x')
  const twice = ({ answer }) => { head(answer); answer.end(connected('e-0') + published + published + told(1)) }
  const some = await misbehaving(t, { finished: false, ways: [twice, twice] })
  const seen = []
  for await (const e of some.leat.watch({ group: 'g' }, { from: 'e-0' })) {
    seen.push(e.id)
    if (e.id === `e-${LAST}`) break
  }
  assert.equal(seen.filter(id => id === 'e-x').length, 1)
  const whole = count => ({ answer }) => { head(answer); for (let n = 1; n <= count; n++) answer.write(message(event(n, last), `e-${n}`)); answer.end() }
  const site = await misbehaving(t, { last, ways: [whole(last - 1), whole(last - 1)] })
  assertWhole(await all(site.leat.watch(TASK)), last)
})

test('a gap is read from the log', async t => {
  const gap = ({ answer, site }) => { head(answer); answer.write(connected('e-0') + told(1) + told(2) + told(5) + told(6)); site.later = answer }
  const site = await misbehaving(t, { ways: [gap] })
  const seen = []
  for await (const e of site.leat.watch(TASK)) {
    seen.push(e)
    if (e.id === 'e-6') site.later.end(told(7) + told(8) + told(9) + end('finished'))
  }
  assertWhole(seen)
  assert.deepEqual(site.pages().map(a => a.cursor), ['e-2'])
  assert.equal(site.streams().length, 1)
})

test('a gap of the log itself is told', async t => {
  const holed = n => event(n, LAST, { task_seq: n < 5 ? n : n + 1 })
  const site = await misbehaving(t, { events: holed })
  const seen = await all(site.leat.watch(TASK))
  assertWhole(seen)
  const at = seen.findIndex(e => e.type === 'stream.reset')
  assert.deepEqual([seen[at].payload, seen[at + 1].id], [{ reason: 'gap', task_id: TASK }, 'e-5'])
})

test('a cursor of another life: a reset, the snapshot, and what there is', async t => {
  const reset = ({ answer }) => {
    head(answer)
    answer.write(message({ type: 'stream.reset', ts: 1, payload: { reason: 'epoch', oldest: 'e-0', latest: 'e-9' } }, 'e-0') + connected('e-0', { snapshot: {} }) + told(1))
  }
  const site = await misbehaving(t, { ways: [reset], pages: [problem(410, 'cursor_epoch')] })
  const seen = await all(site.leat.watch(TASK, { from: 'x-5' }))
  assertWhole(seen)
  assert.deepEqual(seen.slice(0, 2).map(e => e.type), ['stream.reset', 'stream.connected'])
  assert.equal(seen[0].payload.reason, 'epoch')
  assert.equal(seen[1].payload.snapshot.status, 'completed')
  const brief = await misbehaving(t, { ways: [reset], pages: [problem(410, 'cursor_evicted')] })
  assert.deepEqual((await all(brief.leat.watch(TASK, { from: 'x-5', replay: false }))).map(e => e.type), ['stream.reset', 'stream.connected'])
})

test('a document goes on over a gap', async t => {
  const gap = ({ answer }) => { head(answer); answer.write(connected('e-4') + told(5) + told(8)) }
  const site = await misbehaving(t, { ways: [gap] })
  const task = site.leat.task(TASK, { ...site.document(), status: 'running', event_count: 4, cursor: 'e-4' })
  const counts = []
  task.subscribe(document => counts.push(document.event_count))
  assert.deepEqual(await task.finished(), site.document())
  assert.deepEqual([...new Set(counts)], [4, 5, 6, 7, 8, 9])
})

test('a document of another life is replaced, though it had more events', async t => {
  const reset = ({ answer }) => {
    head(answer)
    answer.write(message({ type: 'stream.reset', ts: 1, payload: { reason: 'epoch', oldest: 'e-0', latest: 'e-9' } }, 'e-0'))
  }
  const site = await misbehaving(t, { ways: [reset], pages: [problem(410, 'cursor_epoch')] })
  const task = site.leat.task(TASK, { ...site.document(), status: 'running', event_count: 20, cursor: 'x-20' })
  assert.deepEqual(await task.finished(), site.document())
})

test('a document waits for a server that is away, longer than a request does', async t => {
  let refused = 0
  const away = ({ answer, asked }) => asked.path === `/api/tasks/${TASK}` && refused++ < 6 && !problem(503, 'unavailable')({ answer })?.never
  const site = await misbehaving(t, { other: away, options: { retries: 1 } })
  assert.deepEqual(await site.leat.task(TASK).finished(), site.document())
  assert.equal(refused, 7)
})

test('what is no event of ours is nothing', async t => {
  const strange = ({ answer, after }) => {
    head(answer)
    answer.write('\ufeff: hello\n\n:\n\n' + connected(`e-${after}`) + 'event: other\ndata: {}\n\n' + ['no json', '{', 'null', '1', '"text"', '[]', '{"type":1}', ''].map(d => message(d)).join(''))
    answer.write('nonsense\nid\n\n' + told(1).replaceAll('\n', '\r') + told(2).replaceAll('\n', '\r\n') + message({ type: 'stream.future', payload: {} }) + message({ type: 'stream.heartbeat' }))
    for (let n = 3; n <= LAST; n++) answer.write(`event: x\n${told(n)}`)
    answer.end(end('finished'))
  }
  const site = await misbehaving(t, { ways: [strange] })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.equal(site.asked.length, 1)
})

// ---- silence

test('a stream that falls silent is opened again', async t => {
  const silent = ({ answer, after }) => { head(answer); answer.write(connected(`e-${after}`) + told(1)) }
  const site = await misbehaving(t, { ways: [silent] })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.deepEqual(site.cursors(), ['earliest', 'e-1'])
  assert.equal(site.pages().length, 0)
})

test('heartbeats keep a stream that says nothing', async t => {
  const beats = ({ answer, after, site }) => {
    head(answer)
    answer.write(connected(`e-${after}`))
    let n = 0
    const timer = setInterval(() => {
      answer.write(': heartbeat\n\n')
      if (++n < 10) return
      clearInterval(timer)
      behave({ answer: { writeHead() {}, write: s => answer.write(s), end: s => answer.end(s) }, after, site })
    }, 100)
  }
  const site = await misbehaving(t, { ways: [beats] })
  assertWhole(await all(site.leat.watch(TASK)))
  assert.equal(site.asked.length, 1)
})

for (const [what, held] of [['everything', () => {}], ['all but the headers', ({ answer }) => { head(answer); answer.flushHeaders() }]]) {
  test(`a proxy that holds ${what} back: pages, and streams again once they come through`, async t => {
    let holds = true
    const site = await misbehaving(t, { finished: false, last: 3, events: n => event(n), other: how => holds && how.asked.stream && (held(how), true), options: { tryStreams: 0.2 } })
    const seen = []
    const reading = (async () => { for await (const e of site.leat.watch(TASK)) seen.push(e) })()
    await until(() => logged(seen).length === 3)
    assert.equal(site.leat.connection.value.state, 'polling')
    site.last = 5
    await until(() => logged(seen).length === 5, 'pages bring what is new')
    assert.ok(site.pages().some(a => /wait=\d+/.test(a.headers.prefer)), 'they are waited for')
    await until(() => site.asked.some(a => a.stream && a.url.searchParams.get('seconds')), 'a short stream tries')
    holds = false
    await until(() => site.leat.connection.value.state === 'live')
    Object.assign(site, { last: LAST, finished: true })
    assert.equal(site.cursors().at(-1), 'e-5')
    await reading
    assertWhole(seen)
  })
}

test('poll: never a stream; stream: never a page', async t => {
  const polled = await misbehaving(t)
  assertWhole(await all(polled.leat.watch(TASK, { transport: 'poll' })))
  assert.equal(polled.streams().length, 0)
  const streamed = await misbehaving(t, { ways: [() => {}, () => {}] })
  assertWhole(await all(streamed.leat.watch(TASK, { transport: 'stream' })))
  assert.equal(streamed.pages().length, 0)
  assert.equal(streamed.streams().length, 3)
})

// ---- readers

test('break, return and the signal close the connection', async t => {
  const site = await misbehaving(t, { finished: false })
  for await (const e of site.leat.watch(TASK)) if (e.id === 'e-3') break
  await until(() => site.open === 0)
  const abort = new AbortController()
  const seen = []
  const reading = (async () => { for await (const e of site.leat.watch(TASK, { signal: abort.signal })) seen.push(e) })()
  await until(() => logged(seen).length === LAST)
  abort.abort()
  await reading
  await until(() => site.open === 0)
  assert.deepEqual(await all(site.leat.watch(TASK, { signal: abort.signal })), [])
  assert.equal(site.leat.connection.value.state, 'idle')
})

test('a reader that is slow holds a bounded number of events, and is told all', async t => {
  const last = 30_000
  const site = await misbehaving(t, { last })
  const watch = site.leat.watch(TASK)
  await watch.next()
  await until(() => watch.queue.length >= 10_000)
  await pause(100)
  assert.ok(watch.queue.length <= 10_001, `${watch.queue.length}`)
  assertWhole(await all(watch), last)
})

test('many readers have one stream, and each is told all of its own', async t => {
  const site = await misbehaving(t, { finished: false })
  const first = []
  const one = site.leat.watch(TASK)
  const reading = (async () => { for await (const e of one) first.push(e) })()
  await until(() => logged(first).length === LAST)
  const group = site.leat.watch({ group: 'g' }, { from: 'earliest' })
  const other = site.leat.watch(TASK, { types: 'tell.it' })
  const seen = { group: [], other: [] }
  const more = [(async () => { for await (const e of group) seen.group.push(e) })(), (async () => { for await (const e of other) seen.other.push(e) })()]
  await until(() => logged(seen.group).length === LAST && logged(seen.other).length === LAST - 3)
  await until(() => site.open === 1)
  assert.equal(site.streams().at(-1).path, '/api/events')
  assertWhole(first)
  assertWhole(seen.group)
  for (const w of [one, group, other]) w.close()
  await Promise.all([reading, ...more])
  await until(() => site.open === 0)
})

// ---- requests

test('a task whose answer is lost is not made twice', async t => {
  const made = new Map()
  let lose = 2
  const site = await misbehaving(t, {
    other: ({ request, answer, asked }) => {
      if (asked.method !== 'POST') return false
      const key = request.headers['idempotency-key']
      made.set(key, made.get(key) ?? TASK)
      if (lose-- > 0) request.resume().on('end', () => request.socket.destroy())
      else answer.writeHead(202, { 'Content-Type': 'application/json' }).end(JSON.stringify({ success: true, task_id: TASK, status: 'pending', task: { ...site.document(), request_id: request.headers['x-request-id'] } }))
      return true
    }
  })
  const task = await site.leat.submit('tell', { a: 1 })
  assert.equal(task.id, TASK)
  assert.equal(made.size, 1)
  assert.equal(site.asked.length, 3)
  await site.leat.submit('tell', 'again')
  assert.equal(made.size, 2, 'another task has another key')
})

test('a request that may have counted is not sent again', async t => {
  const site = await misbehaving(t, { other: ({ request, asked }) => asked.method === 'POST' && (request.socket.destroy(), true) })
  await assert.rejects(site.leat.retry(TASK), { status: 0, code: 'unreachable', retryable: true })
  assert.equal(site.asked.length, 1)
})

// ---- rows

// A list of which a task is submitted whose events come before the answer. `renamed`: something on the way gives requests other names.
async function overtaken(t, renamed) {
  let stream, answered
  const made = request => ({ id: TASK, type: 'tell', status: 'pending', progress: 0, event_count: 1, cursor: 'e-1', request_id: request, group_id: null, files: [] })
  const site = await misbehaving(t, {
    last: 0, finished: false,
    other: ({ request, answer, asked }) => {
      if (asked.stream) {
        head(answer)
        answer.write(connected('e-0', { snapshot: { tasks: [], more: false } }))
        stream = answer
        return true
      }
      if (asked.method !== 'POST') return false
      const name = renamed ? 'another' : request.headers['x-request-id']
      answered = () => answer.writeHead(202, { 'Content-Type': 'application/json' }).end(JSON.stringify({ success: true, task_id: TASK, task: made(name) }))
      for (const n of [1, 2, LAST]) stream.write(message({ ...event(n), task_seq: n === LAST ? 3 : n, request_id: name }, `e-${n}`))
      stream.write(message({ ...event(1), id: 'e-10', task_id: 't2', request_id: 'of-somebody-else' }, 'e-10'))
      return true
    }
  })
  const list = site.leat.tasks()
  const states = []
  const leave = list.subscribe(rows => states.push(rows.map(r => `${r.task.id}:${r.task.status}${r.optimistic ? '*' : ''}`).join(' ')))
  await until(() => list.loaded)
  const key = () => list.value.find(r => r.task.id !== 't2')?.key
  const submitting = list.submit('tell', 'x')
  await until(() => list.value.length)
  const first = key()
  return { site, list, states, submitting, first, key, leave, answer: async () => { await until(() => answered); answered() } }
}

test('events that come before the answer belong to the row that was there at once', async t => {
  const o = await overtaken(t, false)
  await until(() => o.list.value.some(r => r.task.status === 'completed'), 'the row has ended before the answer')
  assert.ok(o.states.includes('null:pending*'), 'it was there at once')
  await o.answer()
  await o.submitting
  await pause(20)
  assert.deepEqual(o.list.value.map(r => [r.task.id, r.task.status, r.optimistic]).sort(), [[TASK, 'completed', false], ['t2', 'pending', false]])
  assert.equal(o.key(), o.first, 'it is the same row all the time')
  assert.ok(o.states.every(s => s.split(' ').filter(r => !r.startsWith('t2')).length <= 1), `never two: ${o.states}`)
  o.leave()
})

test('the same where requests are renamed on the way: events wait for the answer', async t => {
  const o = await overtaken(t, true)
  await pause(50)
  await o.answer()
  await o.submitting
  await until(() => o.list.value.length === 2)
  assert.deepEqual(o.list.value.map(r => [r.task.id, r.task.status, r.optimistic]).sort(), [[TASK, 'completed', false], ['t2', 'pending', false]])
  assert.equal(o.key(), o.first)
  assert.ok(o.states.every(s => s.split(' ').filter(r => !r.startsWith('t2')).length <= 1), `never two: ${o.states}`)
  o.leave()
})

test('a submission that is refused takes its row away', async t => {
  const site = await misbehaving(t, { last: 0, finished: false, other: ({ answer, asked }) => asked.method === 'POST' && (problem(422, 'unknown_type')({ answer }), true) })
  const list = site.leat.tasks()
  const leave = list.subscribe(() => {})
  await until(() => list.loaded)
  await assert.rejects(list.submit('nothing'), { code: 'unknown_type' })
  await until(() => list.value.length === 0)
  leave()
})

// ---- a page that stays open

// A site of tasks t0001, t0002, …: they are told as they are made, and listed in pages.
async function growing(t, { size = 10, status = 'pending', snapshot = () => {}, ...more } = {}) {
  const tasks = []
  let stream = null
  let seq = 0
  const tell = (id, type, task_seq, payload, request_id = 'r') => {
    seq++
    stream?.write(message({ id: `e-${seq}`, type, ts: seq, task_id: id, task_seq, group_id: null, request_id, payload }, `e-${seq}`))
  }
  const site = await misbehaving(t, { last: 0, finished: false, ...more, other(how) {
    const { answer, asked, url } = how
    const json = value => { answer.setHeader('Content-Type', 'application/json'); answer.end(JSON.stringify(value)) }
    if (asked.stream) {
      head(answer)
      answer.write(connected(`e-${seq}`, { snapshot: { tasks: [], more: false } }))
      stream = answer
      return true
    }
    if (more.other?.(how)) return true
    if (url.pathname === '/api/tasks' && asked.method === 'GET') {
      const before = url.searchParams.get('page_token')
      const wanted = url.searchParams.get('status')
      const all = tasks.filter(task => (!before || task.id < before) && (!wanted || task.status === wanted)).reverse()
      const page = all.slice(0, size)
      json({ tasks: page.map(task => ({ ...task })), next_page_token: all.length > size ? page.at(-1).id : '' })
      return true
    }
    const one = tasks.find(task => url.pathname === `/api/tasks/${task.id}`)
    if (one) json({ ...one })
    return !!one
  } })
  return Object.assign(site, {
    tasks, tell,
    make(count) {
      for (let i = 0; i < count; i++) {
        const id = `t${String(tasks.length + 1).padStart(5, '0')}`
        tasks.push({ id, type: 'tell', status, progress: 0, event_count: 1, cursor: null, group_id: null, request_id: 'r', files: [] })
        tell(id, 'task.created', 1, { status: 'pending', type: 'tell' })
      }
    }
  })
}
const ids = list => list.value.map(row => row.task.id)

test('a list keeps a bounded number of rows, and brings those that went again, each once and in order', async t => {
  const site = await growing(t)
  site.make(25)
  const list = site.leat.tasks()
  const leave = list.subscribe(() => {})
  await until(() => list.loaded)
  await list.more()
  assert.deepEqual(ids(list), site.tasks.slice(5).reverse().map(task => task.id))
  let most = 0
  for (let made = 0; made < 3000; made += 100) {
    site.make(100)
    await until(() => ids(list)[0] === site.tasks.at(-1).id, 'the newest is there')
    most = Math.max(most, list.value.length)
    assert.deepEqual(ids(list), site.tasks.slice(-list.value.length).reverse().map(task => task.id), 'the newest, without a hole')
  }
  assert.ok(most <= 520, `${most} rows`)
  assert.equal(list.hasMore, true)
  const shown = list.value.length
  await list.more()
  assert.ok(list.value.length > shown)
  while (list.hasMore) await list.more()
  assert.deepEqual(ids(list), site.tasks.toReversed().map(task => task.id))
  site.tell(site.tasks[0].id, 'task.status_changed', 2, { from: 'pending', to: 'running', attempt: 1 })
  await until(() => list.value.at(-1).task.status === 'running', 'what was brought follows its events')
  leave()
})

test('an old task whose status becomes the one of a list stands where it belongs, and many are not asked for one by one', async t => {
  const site = await growing(t, { size: 1000 })
  site.make(400)
  const list = site.leat.tasks({ status: 'completed' })
  const leave = list.subscribe(() => {})
  await until(() => list.loaded)
  const end = task => {
    Object.assign(task, { status: 'completed', event_count: 2 })
    site.tell(task.id, 'task.status_changed', 2, { from: 'running', to: 'completed', attempt: 1 })
  }
  for (const n of [100, 300, 200]) {
    end(site.tasks[n])
    await until(() => ids(list).includes(site.tasks[n].id))
  }
  assert.deepEqual(ids(list), [300, 200, 100].map(n => site.tasks[n].id))
  const asked = () => site.asked.filter(a => /^\/api\/tasks\/t/.test(a.path)).length
  const before = asked()
  for (const task of site.tasks) if (task.status !== 'completed') end(task)
  await until(() => list.value.length === 400)
  assert.deepEqual(ids(list), site.tasks.toReversed().map(task => task.id))
  assert.ok(asked() - before <= 50, `${asked() - before} were asked for`)
  leave()
})

test('while an answer is awaited a bounded number of events is kept, and nothing is missing afterwards', async t => {
  let answered = null
  const site = await growing(t, { size: 10000, other({ answer, asked }) {
    if (asked.method !== 'POST') return false
    answered = () => answer.writeHead(202, { 'Content-Type': 'application/json' })
      .end(JSON.stringify({ success: true, task_id: site.tasks[0].id, task: { ...site.tasks[0], request_id: 'another' } }))
    return true
  } })
  const list = site.leat.tasks()
  let heard = false
  const leave = list.subscribe((rows, change) => { heard ||= change?.events?.some(e => e.type === 'tell.all') })
  await until(() => list.loaded)
  const submitting = list.submit('tell', 'x')
  await until(() => answered)
  site.make(8000)
  site.tell(null, 'tell.all', null, {})
  await until(() => heard)
  assert.equal(list.value.length, 1, 'they may be those of the answer')
  answered()
  await submitting
  await until(() => list.value.length === 8000, 'the page that is asked for instead')
  assert.deepEqual(ids(list), site.tasks.toReversed().map(task => task.id))
  leave()
})

test('a tab that is killed is forgotten, and one that only slept is told what it may have missed', async t => {
  globalThis.document = { visibilityState: 'visible' }
  Object.defineProperty(globalThis.navigator ?? (globalThis.navigator = {}), 'locks', { configurable: true, value: { request: async (name, options, lead) => lead() } })
  t.after(() => { delete globalThis.document; delete globalThis.navigator.locks })
  const rotate = ({ answer }) => { head(answer); answer.write(connected('e-0')); setTimeout(() => answer.end(end('rotated', 'e-0')), 300) }
  const site = await misbehaving(t, { ways: Array.from({ length: 12 }, () => rotate), last: 0, finished: false })
  const leave = new AbortController()
  const seen = all(site.leat.watch(TASK, { signal: leave.signal }))
  await until(() => site.streams().length)
  const tab = new BroadcastChannel(`leat ${site.url} `)
  const heard = []
  tab.onmessage = m => heard.push(m.data)
  t.after(() => tab.close())
  const want = () => tab.postMessage({ t: 'want', tab: 'other', scopes: [{ kind: 'group', id: 'g', base: 'b', key: 'b', path: '/groups/g/events', self: '/groups/g', types: '', patterns: null }] })
  want()
  const paths = () => site.streams().map(a => a.path)
  await until(() => paths().at(-1) === '/api/events', 'one stream for both')
  await until(() => paths().at(-1) !== '/api/events', 'the other has not answered')
  assert.equal(paths().at(-1), `/api/tasks/${TASK}/events`)
  want()
  await until(() => heard.some(m => m.again === 'other'), 'it came back')
  tab.postMessage({ t: 'bye', tab: 'other' })
  leave.abort()
  await seen
})

test('a document takes each event once, and no old one', () => {
  const start = { id: TASK, status: 'pending', progress: 0, event_count: 1, files: [], result: null }
  const running = applyEvent(start, event(2))
  assert.deepEqual([running.status, running.event_count, running.cursor], ['running', 2, 'e-2'])
  assert.equal(applyEvent(running, event(2)), running)
  assert.equal(applyEvent(running, event(3, LAST, { task_id: 'another' })), running)
  const half = applyEvent(running, event(3, LAST, { type: 'task.progress', payload: { percent: 50, message: 'half', elapsed_seconds: 1 } }))
  assert.deepEqual([half.progress, half.message, start.progress], [50, 'half', 0])
  const done = applyEvent(half, event(LAST))
  assert.deepEqual([done.status, done.progress, done.result, done.message], ['completed', 100, 'ü', 'half'])
})
