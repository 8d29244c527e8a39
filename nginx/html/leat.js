// Leat in the browser: submit tasks, watch them live, show them. An ES module without dependencies; leat.d.ts
// has its types, and https://html.spec.whatwg.org/multipage/server-sent-events.html what the parser keeps to.
//
//     import { leat } from './leat.js'
//     const task = await leat.submit('wordcount', 'one two')
//     for await (const event of leat.watch(task.id)) console.log(event.type, event.payload)
//
// From the outside in: Leat (a client of one site), LiveTask and LiveList (documents that follow their events),
// Watcher (what one reader is told, without gap or repetition), Hub (one stream for all watchers of all tabs),
// and the two transports beneath it.

const TERMINAL = new Set(['completed', 'failed', 'timeout', 'cancelled'])
const QUEUE_MAX = 10_000 // events that wait for a reader; then they are read from the log again
const IDS_MAX = 4096 // ids of events that a watcher remembers
const TASKS_MAX = 10_000 // tasks whose place in the log a watcher remembers
const ROWS_SINCE = 500 // rows of a list above those it was asked for: then half as many go, the oldest, and more() brings them
const EARLY_MAX = 5000 // events that a list keeps for a POST whose answer is not there; then it asks for its page again
const FETCHES_MAX = 8 // tasks that a list asks for at once; then it asks for its page again
const FORGOTTEN_MAX = 100 // tabs that did not say that they are there, and may yet
const LINE_MAX = 32 << 20 // characters of one line of a stream
const PAGE = 1000 // events of a page
const WAIT = 25 // seconds of a long poll

const now = () => Date.now()
const random = () => globalThis.crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 10)).join('')

/** What the server refused (RFC 9457), or a network that did not answer (status 0). */
export class LeatError extends Error {
  constructor(status, problem = {}, retryAfter = 0) {
    super(problem.detail || problem.title || (status ? `HTTP ${status}` : 'the server cannot be reached'))
    this.name = 'LeatError'
    this.status = status
    this.code = problem.code ?? (status ? `http_${status}` : 'unreachable')
    this.retryable = problem.retryable ?? (status === 0 || status === 429 || status === 502 || status === 503 || status === 504)
    this.retryAfter = retryAfter
    this.problem = problem
  }
}

/** How long to wait before attempt n (0, 1, …): 1 s doubling to 30 s, or what the server asked for, and up to 1 s more. */
export const backoff = (n, atLeast = 0, chance = Math.random) =>
  Math.max(Math.min(30_000, 1000 * 2 ** Math.min(n, 10)), atLeast) + Math.floor(chance() * 1000)

// Ends early, and quietly, when the signal does.
const pause = (ms, signal) => new Promise(resolve => {
  if (signal?.aborted) return resolve()
  const done = () => { clearTimeout(timer); signal?.removeEventListener('abort', done); resolve() }
  const timer = setTimeout(done, ms)
  signal?.addEventListener('abort', done)
})

// Asks again, however often, where that may help.
async function patiently(client, signal, ask) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask(signal)
    } catch (error) {
      if (signal.aborted || !(error instanceof LeatError) || !error.retryable) throw error
      await pause(client.options.backoff(attempt, error.retryAfter), signal)
    }
  }
}

// ---- the format of a stream ------------------------------------------------------------------------------------------

/** Reads text/event-stream as WHATWG HTML 9.2.6 says, from chunks that may end anywhere. */
export class EventStreamParser {
  #decoder = new TextDecoder()
  #rest = ''
  #afterCr = false // the last chunk ended in CR: an LF that follows belongs to it
  #data = ''
  #type = ''
  #id = '' // of the block that is being read
  #on

  /** The id of the newest block that has ended: what Last-Event-ID says. */
  lastEventId = ''

  /** on: {message({type, data, lastEventId}), retry?(ms), id?(lastEventId)}; id: a block without data ended. */
  constructor(on) {
    this.#on = on
  }

  push(bytes) {
    let text = this.#decoder.decode(bytes, { stream: true })
    if (!text) return
    if (this.#afterCr && text[0] === '\n') text = text.slice(1)
    this.#afterCr = false
    const ends = /[\r\n]/g
    let start = 0
    for (let end; (end = ends.exec(text)); start = ends.lastIndex) {
      const line = this.#rest + text.slice(start, end.index)
      this.#rest = ''
      if (end[0] === '\r') {
        if (text[ends.lastIndex] === '\n') ends.lastIndex++
        else if (ends.lastIndex === text.length) this.#afterCr = true
      }
      this.#line(line)
    }
    this.#rest += text.slice(start)
    if (this.#rest.length + this.#data.length > LINE_MAX) throw new LeatError(0, { code: 'line_too_long', detail: 'a line of the stream does not end' })
  }

  #line(line) {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'data') this.#data += value + '\n'
    else if (field === 'event') this.#type = value
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    else if (field === 'retry' && /^[0-9]+$/.test(value)) this.#on.retry?.(Number(value))
  }

  #dispatch() {
    const data = this.#data
    const type = this.#type || 'message'
    this.#data = this.#type = ''
    this.lastEventId = this.#id
    if (data === '') return this.#on.id?.(this.lastEventId)
    this.#on.message({ type, data: data.slice(0, -1), lastEventId: this.lastEventId })
  }
}

// ---- what is watched -------------------------------------------------------------------------------------------------

// A name that any server takes in a path; any other goes into the query.
const groupPath = (group, tail = '', more = {}) => {
  const plain = /^[A-Za-z0-9_.~-]+$/.test(group) && !/^(-|\.{1,2})$/.test(group)
  return withQuery(`/groups/${plain ? group : '-'}${tail}`, plain ? more : { group, ...more })
}

// {key, kind, id, path, self, types}: what a watcher is about. Equal keys are the same stream.
function scopeOf(what, types) {
  const list = types ? [types].flat().join(',') : ''
  const scope = { types: list, patterns: list ? list.split(',') : null }
  if (typeof what === 'string') what = { task: what }
  if (what?.task) {
    const id = encodeURIComponent(what.task)
    Object.assign(scope, { kind: 'task', id: what.task, path: `/tasks/${id}/events`, self: `/tasks/${id}` })
  } else if (what?.group) {
    const { group, owner } = what
    Object.assign(scope, { kind: 'group', id: group, owner, path: groupPath(group, '/events', { owner }), self: groupPath(group, '', { owner }) })
  } else if (what?.all) {
    Object.assign(scope, { kind: 'all', path: '/events' })
  } else {
    throw new TypeError('watch: a task id, {group} or {all: true}')
  }
  scope.base = JSON.stringify([scope.kind, scope.id, scope.owner])
  scope.key = scope.base + list
  return scope
}

const ALL = scopeOf({ all: true })
const covers = (cover, scope) => cover.key === scope.key || cover.key === scope.base || cover.key === ALL.key
const about = (scope, event) =>
  scope.kind === 'all' || (scope.kind === 'task' ? event.task_id === scope.id : event.group_id === scope.id)
const wanted = (patterns, type) => !patterns || patterns.some(p =>
  p === '*' || p === type || (p.endsWith('.*') && type.startsWith(p.slice(0, -1))))
const withQuery = (path, query) => {
  const text = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== '')).toString()
  return text ? path + (path.includes('?') ? '&' : '?') + text : path
}

// ---- transports ------------------------------------------------------------------------------------------------------

// Each opens `scope` behind the cursor `at` and tells `sink`: byte(), retry(ms), message(event, id), position(id). It gives
// how that ended, 'empty' (204: nothing more will come) or 'end', and throws what went wrong.

// A stream by fetch: bytes as they come, so that silence is noticed, with Authorization and Last-Event-ID as headers.
async function byFetch(client, scope, at, sink, signal) {
  const named = at === 'now' || at === 'earliest'
  const answer = await client.fetch('GET', withQuery(scope.path, { types: scope.types, last_event_id: named ? at : '' }), {
    headers: { Accept: 'text/event-stream', ...(at && !named && { 'Last-Event-ID': at }) }, signal
  })
  if (answer.status === 204) return 'empty'
  if (!/^text\/event-stream\s*(;|$)/i.test(answer.headers.get('Content-Type') ?? '')) {
    answer.body?.cancel().catch(() => {})
    throw new LeatError(0, { code: 'not_a_stream', detail: 'the answer is no event stream' })
  }
  const parser = new EventStreamParser({
    message: m => sink.message(m.data, m.lastEventId), retry: ms => sink.retry(ms), id: id => sink.position(id)
  })
  const reader = answer.body.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return 'end'
    sink.byte()
    parser.push(value)
  }
}

// A stream by EventSource, which sends no header: a ticket says who asks, the query where to go on.
async function byEventSource(client, scope, at, sink, signal) {
  let query = { types: scope.types, last_event_id: at }
  if (client.options.token) {
    const { ticket } = await client.ticket(scope.kind === 'all' ? { all: true } : { [scope.kind]: scope.id }, { signal })
    query = { ...query, ticket }
  }
  let opened = false
  const source = new EventSource(client.url(withQuery(scope.path, query)), { withCredentials: client.options.credentials === 'include' })
  const way = await new Promise(resolve => {
    source.onopen = () => { opened = true }
    source.onmessage = m => { sink.byte(); sink.message(m.data, m.lastEventId) }
    source.onerror = () => resolve('end')
    signal.addEventListener('abort', () => resolve('end'))
  })
  source.close()
  if (opened || signal.aborted) return way
  // It does not say why: a page does, by its status, and tells what there is.
  const page = await client.page(scope, at, { signal })
  sink.page(page)
  return page.events.length || scope.kind !== 'task' || !TERMINAL.has((await client.get(scope.id, { signal })).status) ? 'end' : 'empty'
}

// Pages, each waited for: what any proxy lets through.
async function byPolling(client, scope, at, sink, signal) {
  const wait = sink.resume
  const began = now()
  const page = await client.page(scope, at ?? (scope.kind === 'task' ? 'earliest' : 'now'), { signal, wait: wait ? WAIT : 0 })
  sink.page(page)
  if (wait && !page.events.length && !page.more && now() - began < 1000) await pause(1000, signal) // it does not wait
  return 'end'
}

// ---- one reader ------------------------------------------------------------------------------------------------------

// What one `for await` is given: each event of its scope once, in order, from where it began. Events come live from a hub
// (offer), or in pages from the log when the hub's stream did not begin where this reader left off (catchUp).
class Watcher {
  queue = []
  held = null // live events that wait until the pages before them have been read
  waiting = null // of next()
  done = false
  error = null
  cursor // the last event that was told
  gen = null // of the hub's stream that it follows without a hole
  status = null // of its task
  #announced = false
  #behind = false
  #seqs = new Map()
  #ids = new Set()
  #again = false
  #hole = '' // the event before which something is missing also in the log
  #abort = new AbortController()

  constructor(client, hub, scope, options) {
    Object.assign(this, { client, hub, scope, options })
    const from = options.from ?? (scope.kind === 'task' ? 'earliest' : 'now')
    if (from !== 'now' && from !== 'earliest') this.cursor = from
    this.from = from
    if (options.signal?.aborted) this.close()
    options.signal?.addEventListener('abort', () => this.close(), { signal: this.#abort.signal })
  }

  // Where a stream has to begin that is for this watcher alone.
  get at() {
    return this.cursor ?? this.from
  }

  // A live event of the hub.
  offer(event, filtered) {
    if (this.done || !about(this.scope, event)) return
    if (this.held) {
      if (this.held.length < QUEUE_MAX) this.held.push([event, filtered])
      else this.#again = true
    } else {
      this.take(event, filtered)
    }
  }

  // Tells an event, unless it was told. `filtered`: the stream leaves others out, so that a hole proves nothing.
  // `logged`: it was read from the log, so that what is missing is missing there too.
  take(event, filtered, logged) {
    if (this.done || this.#ids.has(event.id)) return
    if (this.#behind || this.queue.length >= QUEUE_MAX) {
      this.#behind = true // the log is the buffer: read again from the cursor
      return
    }
    const { task_id: task, task_seq: seq } = event
    if (task && seq) {
      const last = this.#seqs.get(task)
      if (seq <= last) return
      const lost = seq > last + 1 && !filtered
      if (lost && !logged && this.#hole !== event.id) {
        this.#hole = event.id
        this.sync()
        this.held.push([event, filtered])
        return
      }
      this.#seqs.delete(task)
      this.#seqs.set(task, seq)
      if (this.#seqs.size > TASKS_MAX) this.#seqs.delete(this.#seqs.keys().next().value)
      if (lost) this.#tell({ type: 'stream.reset', ts: now(), payload: { reason: 'gap', task_id: task } })
    }
    this.#ids.add(event.id)
    if (this.#ids.size > IDS_MAX) this.#ids.delete(this.#ids.keys().next().value)
    this.cursor = event.id
    if (this.scope.kind === 'task') {
      if (event.type === 'task.created') this.status ??= 'pending'
      if (event.type === 'task.status_changed') this.status = event.payload.to
    }
    if (wanted(this.scope.patterns, event.type)) this.#tell(event)
  }

  // The stream began for this reader: once, and again after a reset.
  announce(cursor, snapshot) {
    if (this.#announced) return
    this.#announced = true
    if (this.scope.kind === 'task' && snapshot) this.status = snapshot.status
    this.cursor ??= this.from === 'now' ? cursor : undefined
    this.#tell({ type: 'stream.connected', ts: now(), payload: { cursor, ...(snapshot && { snapshot }) } })
  }

  // The hub's stream is another one than before: what lies between is in the log.
  sync() {
    if (this.held) {
      this.#again = true
      return
    }
    this.held = []
    this.#syncing().catch(error => this.fail(error))
  }

  async #syncing() {
    do {
      this.#again = false
      await patiently(this.client, this.#abort.signal, signal => this.#catchUp(signal))
    } while (this.#again && !this.done)
    const held = this.held
    this.held = null
    for (const item of held) this.held ? this.held.push(item) : this.take(...item)
    this.settle()
  }

  async #catchUp(signal) {
    if (!this.#announced && this.cursor === undefined && this.from === 'now') {
      const { position } = this.hub
      const snapshot = await this.client.snapshot(this.scope, { signal })
      this.announce(position === 'now' ? snapshot.cursor : position, snapshot)
      return
    }
    for (let more = true; more && !this.done && !this.#behind;) {
      let page
      try {
        page = await this.client.page(this.scope, this.at, { signal, limit: PAGE })
      } catch (error) {
        if (!/^cursor_/.test(error.code)) throw error
        await this.#reset(error.code.slice('cursor_'.length), signal)
        continue
      }
      this.announce(this.cursor ?? null, null)
      for (const event of page.events) this.take(event, !!this.scope.types, true)
      if (!this.#behind) this.cursor = page.cursor
      more = page.more
    }
    if (this.scope.kind === 'task' && !this.status) this.status = (await this.client.get(this.scope.id, { signal })).status
  }

  // The cursor is of no use any more: begins again with what there is now, then (unless `replay` is false) all that is kept.
  async #reset(reason, signal) {
    this.#seqs.clear()
    this.#ids.clear()
    const position = (await this.client.page(this.scope, 'now', { signal, limit: 1 })).cursor
    const snapshot = await this.client.snapshot(this.scope, { signal })
    this.cursor = this.options.replay === false ? position : undefined
    if (this.cursor === undefined) this.from = 'earliest'
    this.#announced = false
    this.#tell({ type: 'stream.reset', ts: now(), payload: { reason } })
    this.announce(position, snapshot)
  }

  // All is told that there is: a task that has ended says nothing more.
  settle() {
    if (this.scope.kind === 'task' && TERMINAL.has(this.status)) this.complete()
  }

  // Its stream has ended: so does this, once all of it is told.
  complete() {
    if (!this.held && !this.#behind) this.finish()
  }

  #tell(event) {
    this.queue.push(event)
    this.#wake()
  }

  #wake() {
    const waiting = this.waiting
    if (!waiting || !(this.queue.length || this.done)) return
    this.waiting = null
    if (this.queue.length) waiting.resolve({ value: this.queue.shift(), done: false })
    else if (this.error) waiting.reject(this.#fault())
    else waiting.resolve({ value: undefined, done: true })
  }

  #fault() {
    const error = this.error
    this.error = null // it is thrown once
    return error
  }

  #leave() {
    this.done = true
    this.#abort.abort()
    this.hub.remove(this)
    this.#wake()
  }

  finish() {
    if (!this.done) this.#leave()
  }

  fail(error) {
    if (this.done) return
    this.error = error
    this.#leave()
  }

  close() {
    this.queue.length = 0
    this.finish()
  }

  // ---- as an async iterator

  [Symbol.asyncIterator]() {
    return this
  }

  next() {
    if (this.queue.length) {
      const value = this.queue.shift()
      if (this.#behind && !this.queue.length) {
        this.#behind = false
        this.sync()
      }
      return Promise.resolve({ value, done: false })
    }
    if (this.error) return Promise.reject(this.#fault())
    if (this.done) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => { this.waiting = { resolve, reject } })
  }

  return() {
    this.close()
    return Promise.resolve({ value: undefined, done: true })
  }
}

// ---- one stream for all ----------------------------------------------------------------------------------------------

// Keeps one stream open for all watchers: of this page, or, where it is shared, of all tabs. The tab that holds a Web Lock
// leads: it has the stream, and tells the others over a BroadcastChannel. When it goes, the next one has the lock, and goes
// on from the last position that it was told. `gen` names a stretch of the log without a hole: a watcher that follows
// another one reads what lies between from the log.
class Hub {
  position // of the newest event that was told, of this generation
  gen = null
  cover = null // the scope that the stream is of
  leader = false
  #watchers = new Set()
  #remote = new Map() // tab: scopes it wants; who dies without a word goes when the stream is opened again (#count)
  #absent = new Set() // tabs that have not answered yet
  #forgotten = new Set()
  #counting = null
  #tab = random()
  #channel = null
  #run = null // AbortController while there is something to watch
  #connection = null // AbortController of the open stream
  #asleep = new Set() // why nothing is asked: 'hidden', 'offline'
  #hiding
  #state = { state: 'idle' }
  #polling = false // streams do not come through
  #mute = 0 // connections that have fallen silent, one after the other
  #tryAgain = 0 // when to see whether they do by now
  #tryDelay
  #heartbeat

  // `main`: the one whose state is that of the client.
  constructor(client, { transport, main = false }) {
    Object.assign(this, { client, transport, main, shared: false })
    this.#heartbeat = client.options.heartbeat * 1000
    this.#tryDelay = client.options.tryStreams * 1000
    this.#polling = transport === 'poll'
  }

  add(watcher) {
    if (watcher.done) return
    if (!this.#watchers.size) this.#attend(true)
    this.#watchers.add(watcher)
    if (this.#asleep.size) return
    if (!this.#run) this.#start()
    else this.#changed()
    if (this.gen && this.cover && covers(this.cover, watcher.scope)) this.#adopt(watcher)
  }

  remove(watcher) {
    if (!this.#watchers.delete(watcher)) return
    if (this.#watchers.size) return
    this.#attend(false)
    this.#stop('idle')
  }

  // Listens to what the page goes through, while somebody watches.
  #attend(on) {
    const page = globalThis.document
    if (!page || !globalThis.addEventListener) return
    const change = on ? 'addEventListener' : 'removeEventListener'
    page[change]('visibilitychange', this.#visibility)
    for (const type of ['online', 'offline', 'pagehide', 'pageshow', 'freeze', 'resume']) globalThis[change](type, this.#visibility)
    clearTimeout(this.#hiding)
    this.#asleep.clear()
    if (on) this.#visibility()
  }

  #visibility = event => {
    const { pauseHidden } = this.client.options
    const loopback = /^(localhost|127\.|\[::1\]|.*\.localhost)/.test(new URL(this.client.url('')).hostname)
    clearTimeout(this.#hiding)
    if (event?.type === 'pagehide') this.#sleep('hidden')
    else if (document.visibilityState !== 'hidden') this.#awake('hidden')
    else if (pauseHidden >= 0) this.#hiding = setTimeout(() => this.#sleep('hidden'), 1000 * (this.shared ? pauseHidden : Math.min(pauseHidden, 2)))
    if (event?.type === 'offline' || (navigator.onLine === false && !loopback)) this.#sleep('offline')
    else if (event?.type === 'online' || loopback) this.#awake('offline')
  }

  #sleep(why) {
    this.#asleep.add(why)
    this.#stop('paused')
  }

  #awake(why) {
    if (this.#asleep.delete(why) && !this.#asleep.size && this.#watchers.size) this.#start()
  }

  #start() {
    const run = this.#run = new AbortController()
    this.#say({ state: 'connecting' })
    if (!this.shared) {
      this.#lead(run.signal)
      return
    }
    this.#channel = new BroadcastChannel(this.client.shareName)
    this.#channel.onmessage = m => this.#hear(m.data)
    this.#want()
    navigator.locks.request(this.client.shareName, { signal: run.signal }, () => this.#lead(run.signal)).catch(() => {})
  }

  #stop(state) {
    const run = this.#run
    if (run) {
      this.#run = null
      this.#post({ t: 'bye' })
      run.abort()
      this.#connection?.abort()
      this.#channel?.close()
      this.#channel = null
    }
    clearTimeout(this.#counting)
    this.#counting = null
    this.leader = false
    this.gen = this.cover = null
    this.position = undefined
    this.#remote.clear()
    for (const watcher of this.#watchers) watcher.gen = null
    this.#say({ state })
  }

  #say(state) {
    const told = { ...state, transport: this.#polling ? 'poll' : 'stream', leader: this.leader }
    if (JSON.stringify(told) === JSON.stringify(this.#state)) return
    this.#state = told
    if (this.main) this.client.connection.set(told)
    if (this.leader) this.#post({ t: 'state', state: told })
  }

  // ---- between tabs

  #post(message) {
    if (this.#channel && (!this.leader || this.#remote.size || message.t === 'lead')) this.#channel.postMessage({ ...message, tab: this.#tab })
  }

  #want() {
    const scopes = [...new Map([...this.#watchers].map(w => [w.scope.key, w.scope])).values()]
    this.#post({ t: 'want', scopes })
  }

  #hear(m) {
    if (this.leader) {
      if (m.t === 'want') {
        this.#absent.delete(m.tab)
        this.#remote.set(m.tab, m.scopes)
        this.#post({ t: 'state', state: this.#state })
        const again = this.#forgotten.delete(m.tab) ? m.tab : undefined // what was told meanwhile it may not have heard
        if (this.gen) this.#post({ t: 'live', gen: this.gen, cover: this.cover, position: this.position, again })
        this.#changed()
      } else if (m.t === 'bye') {
        this.#remote.delete(m.tab)
        this.#forgotten.delete(m.tab)
      }
    } else if (m.t === 'lead') {
      this.#want()
    } else if (m.t === 'live') {
      Object.assign(this, { gen: m.gen, cover: m.cover, position: m.position })
      if (m.again === this.#tab) for (const watcher of this.#watchers) watcher.gen = null
      this.#adoptAll()
    } else if (m.t === 'event' && m.gen === this.gen) {
      this.#tell(m.event, m.id)
    } else if (m.t === 'finished') {
      this.#finish(m.key)
    } else if (m.t === 'failed') {
      this.#fail(m.key, new LeatError(m.status, m.problem))
    } else if (m.t === 'state') {
      this.#say(m.state)
    }
  }

  // Asks which tabs are there, and forgets those that do not say so: a browser that ends one tells nobody.
  #count() {
    if (this.#counting || !this.#remote.size) return
    this.#absent = new Set(this.#remote.keys())
    this.#post({ t: 'lead' })
    this.#counting = setTimeout(() => {
      this.#counting = null
      for (const tab of this.#absent) if (this.#remote.delete(tab)) this.#forgotten.add(tab)
      for (const tab of [...this.#forgotten].slice(0, -FORGOTTEN_MAX)) this.#forgotten.delete(tab)
    }, 2 * this.#heartbeat)
  }

  // Somebody wants something else: a stream that does not cover it is replaced by one that does.
  #changed() {
    if (!this.leader) this.#want()
    else if (this.#connection && !covers(this.#opening.cover, this.#needed())) this.#connection.abort()
  }

  // The narrowest scope that covers what all tabs want.
  #needed() {
    const scopes = [...this.#watchers].map(w => w.scope).concat(...this.#remote.values())
    const first = scopes[0]
    if (scopes.every(s => s.key === first.key)) return first
    return scopes.every(s => s.base === first.base) ? { ...first, key: first.base, types: '', patterns: null } : ALL
  }

  // ---- to the watchers

  #tell(event, id) {
    if (id) this.position = id
    const filtered = !!this.cover?.types
    for (const w of [...this.#watchers]) if (w.gen === this.gen) w.offer(event, filtered)
    // without a stream of its own a task's end is seen by its event
    if (event.type === 'task.status_changed' && (this.cover?.kind !== 'task' || this.#polling))
      for (const w of [...this.#watchers]) if (w.gen === this.gen && w.scope.id === event.task_id) w.settle()
    if (this.leader) this.#post({ t: 'event', gen: this.gen, event, id })
  }

  #adopt(watcher, snapshot) {
    if (watcher.gen === this.gen) return
    watcher.gen = this.gen
    if (snapshot && watcher.cursor === undefined && watcher.from === 'now' && watcher.scope.key === this.cover.key) watcher.announce(this.position, snapshot)
    else watcher.sync()
  }

  #adoptAll(snapshot) {
    for (const w of [...this.#watchers]) if (covers(this.cover, w.scope)) this.#adopt(w, snapshot)
  }

  #finish(key) {
    for (const w of [...this.#watchers]) if (w.scope.key === key) w.complete()
    if (this.leader) this.#post({ t: 'finished', key })
  }

  #fail(key, error) {
    if (this.leader) this.#post({ t: 'failed', key, status: error.status, problem: { ...error.problem } })
    for (const w of [...this.#watchers]) if (w.scope.key === key || key === ALL.key) w.fail(error)
  }

  // ---- the leader

  #opening = null // {cover, resume, only}

  async #lead(signal) {
    this.leader = true
    if (this.#channel) this.#post({ t: 'lead' })
    for (let attempt = 0; !signal.aborted && this.#watchers.size;) {
      this.#count()
      const began = now()
      const opening = this.#opening = this.#plan()
      const connection = this.#connection = new AbortController()
      const outcome = await this.#open(opening, connection)
      if (signal.aborted || !this.#watchers.size) break
      const rest = ms => pause(ms, (this.#connection = new AbortController()).signal)
      const lasted = now() - began
      if (outcome.told || (outcome.opened && lasted > 10_000)) attempt = 0
      if (outcome.fatal) {
        this.#fail(opening.cover.key, outcome.fatal)
      } else if (outcome.finished) {
        this.#finish(opening.cover.key)
        if (this.#watchers.size) await rest(1000) // somebody reads slowly
      } else if (outcome.error) {
        const ms = this.client.options.backoff(attempt++, outcome.wait)
        // one connection that is lost comes back before anybody needs to know
        if (attempt > 1 || !outcome.opened) this.#say({ state: 'waiting', until: now() + ms, error: outcome.error.message })
        await rest(ms)
      } else if (outcome.ended && lasted < 1000) {
        await rest(1000 - lasted)
      }
    }
    if (this.#run?.signal === signal) this.leader = false
  }

  // Where to open which stream: on from the position, for one watcher from its own, or now.
  #plan() {
    const cover = this.#needed()
    if (this.gen && this.cover.key === cover.key && this.position) return { cover, resume: true, at: this.position }
    this.gen = null
    const only = this.#watchers.size === 1 && !this.#remote.size && !this.#stale ? this.#watchers.values().next().value : null
    this.#stale = false
    return { cover, only, at: only ? only.at : 'now' }
  }

  #stale = false // the server did not know the cursor: the watchers find out what that means for each

  async #open(opening, connection) {
    const outcome = { opened: false, told: false, ended: false, wait: 0 }
    const polling = this.#polling
    const source = !polling && this.client.options.streams === 'eventsource'
    let heard = false
    let silence
    const alarm = () => connection.abort('silent')
    const listen = () => {
      clearTimeout(silence)
      if (!source || !heard) silence = setTimeout(alarm, 2 * this.#heartbeat + (polling ? WAIT * 1000 : 0)) // it shows no heartbeats
    }
    const sink = {
      byte: () => { heard = true; listen() },
      retry: ms => { outcome.wait = ms },
      position: id => { if (id && this.gen) this.position = id },
      message: (data, id) => this.#message(opening, outcome, data, id, connection),
      page: page => this.#page(opening, outcome, page),
      resume: !!opening.resume
    }
    listen()
    try {
      const open = polling ? byPolling : source ? byEventSource : byFetch
      const way = await open(this.client, opening.cover, opening.at, sink, connection.signal)
      connection.signal.throwIfAborted()
      if (way === 'empty') {
        outcome.finished = true
        // what a watcher has not been told it reads from the log
        if (!opening.resume && opening.at === 'now') this.#opened({ ...opening, only: null }, outcome, 'now', null)
        else opening.only?.announce(opening.at, null)
      } else if (!polling && !outcome.ended) {
        outcome.error = new LeatError(0, { code: 'cut', detail: 'the connection was lost' })
      }
    } catch (error) {
      if (!connection.signal.aborted) this.#fault(outcome, error)
      else if (connection.signal.reason === 'silent') this.#silent(outcome, heard)
    } finally {
      clearTimeout(silence)
      connection.abort()
    }
    if (outcome.ended || outcome.told) this.#mute = 0
    if (polling && this.transport === 'auto') this.#probe()
    return outcome
  }

  // No byte within two heartbeats: nothing that lives is so silent. From the beginning, or again and again, something on
  // the way keeps the rest.
  #silent(outcome, heard) {
    if (this.transport === 'auto' && !this.#polling && (!heard || ++this.#mute > 1)) {
      this.#polling = true
      this.#tryAgain = now() + this.#tryDelay
    } else {
      outcome.error = new LeatError(0, { code: 'silent', detail: 'the connection is silent' })
    }
  }

  #fault(outcome, error) {
    if (/^cursor_/.test(error.code)) {
      this.gen = null
      this.#stale = true
    } else if (!(error instanceof LeatError) || error.retryable || error.status >= 500) {
      outcome.error = error
      outcome.wait = Math.max(outcome.wait, error.retryAfter ?? 0)
    } else {
      outcome.fatal = error
    }
  }

  // A message of the stream.
  #message(opening, outcome, data, id, connection) {
    if (connection.signal.aborted) return
    let event
    try {
      event = JSON.parse(data)
    } catch {
      return // no event of ours; what is missing because of it is noticed
    }
    if (typeof event?.type !== 'string') return
    const { type, payload = {} } = event
    if (type === 'stream.connected') return this.#opened(opening, outcome, payload.cursor, payload.snapshot)
    if (type === 'stream.reset') {
      this.gen = null
      this.#stale = true
      outcome.ended = true
      return connection.abort('reset')
    }
    if (type === 'stream.end') {
      outcome.ended = true
      if (id && this.gen) this.position = id
      outcome.finished = payload.reason === 'finished'
      if (payload.reason === 'overloaded' || payload.reason === 'shutdown') {
        outcome.wait = payload.retry_ms
        outcome.error = new LeatError(0, { code: payload.reason, detail: payload.reason })
      }
      if (payload.reason === 'expired' || payload.reason === 'revoked') this.client.renew()
      return
    }
    if (!this.gen) this.#opened(opening, outcome, opening.at, null)
    outcome.told = true
    this.#tell(event, id || event.id)
  }

  #page(opening, outcome, page) {
    const first = !this.gen
    if (first) this.#opened(opening, outcome, opening.at === 'now' ? page.cursor : opening.at ?? null, null)
    for (const event of page.events) this.#tell(event, event.id)
    this.position = page.cursor
    outcome.told = true
    const { only, cover } = opening
    if (cover.kind !== 'task' || page.more) return
    if (first && only && !only.status) only.sync() // it may have ended long ago
    for (const w of [...this.#watchers]) if (w.scope.key === cover.key) w.settle()
    if (only?.done) this.#finish(cover.key)
  }

  #opened(opening, outcome, cursor, snapshot) {
    const { only, resume, cover } = opening
    outcome.opened = true
    this.#say({ state: this.#polling ? 'polling' : 'live' })
    if (resume && this.gen) return
    Object.assign(this, { gen: random(), cover, position: cursor })
    if (only && this.#watchers.has(only)) {
      only.gen = this.gen
      only.announce(cursor, snapshot)
    }
    this.#post({ t: 'live', gen: this.gen, cover, position: cursor })
    this.#adoptAll(snapshot)
  }

  // Whether streams come through by now: a short one, whose first bytes arrive long before its end. Meanwhile polling goes on.
  #probe() {
    if (now() < this.#tryAgain) return
    this.#tryAgain = Infinity
    const abort = new AbortController()
    const timer = setTimeout(() => abort.abort(), Math.min(3000, this.#heartbeat * 2))
    const done = works => {
      clearTimeout(timer)
      abort.abort()
      this.#tryDelay = Math.min(this.#tryDelay * 2, 900_000)
      this.#tryAgain = now() + this.#tryDelay
      if (!works) return
      this.#polling = false
      this.#tryDelay = this.client.options.tryStreams * 1000
      this.#connection?.abort()
    }
    this.client.fetch('GET', withQuery('/events', { seconds: 6, last_event_id: 'now', types: 'leat.probe' }),
      { headers: { Accept: 'text/event-stream' }, signal: abort.signal })
      .then(answer => answer.body.getReader().read())
      .then(() => done(true), () => done(false))
  }
}

// ---- documents that follow their events ------------------------------------------------------------------------------

/** The document of a task after one more of its events: a new object, or the same where the event is old or of another task. */
export function applyEvent(task, event) {
  if (!task || event.task_id !== task.id || !event.task_seq || event.task_seq <= task.event_count) return task
  const p = event.payload ?? {}
  const next = { ...task, event_count: event.task_seq, cursor: event.id, updated_at: event.ts }
  if (event.type === 'task.progress') {
    next.progress = p.percent ?? task.progress
    next.phase = p.phase ?? task.phase
    next.message = p.message ?? task.message
    next.elapsed_seconds = p.elapsed_seconds ?? task.elapsed_seconds
    next.estimated_remaining_seconds = p.estimated_remaining_seconds ?? null
  } else if (event.type === 'task.status_changed') {
    const ended = TERMINAL.has(p.to)
    Object.assign(next, {
      status: p.to,
      attempt: p.attempt ?? task.attempt,
      started_at: p.started_at ?? (p.to === 'pending' ? null : task.started_at),
      completed_at: p.completed_at ?? null,
      run_at: p.run_at ?? (p.to === 'pending' ? null : task.run_at),
      result: p.result ?? null,
      error: p.error ? { message: null, ...p.error } : null,
      queue_position: null,
      estimated_remaining_seconds: null
    })
    if (!ended) Object.assign(next, { progress: 0, phase: null, message: null, elapsed_seconds: null, result_type: null, result_bytes: null, files: [] })
    if (ended) {
      next.message = p.message ?? task.message
      if (next.started_at && next.completed_at) next.elapsed_seconds = (next.completed_at - next.started_at) / 1000
      if (p.to === 'completed') next.progress = 100
      next.cancel_requested = false
    }
  } else if (event.type === 'file.created') {
    next.files = [...(task.files ?? []).filter(f => f.name !== p.name), p]
  }
  return next
}

const blank = (id, type, more = {}) => ({
  id, type, status: 'pending', progress: 0, phase: null, message: null, group_id: null, priority: 0, owner: null, request_id: null,
  attempt: 0, max_attempts: null, run_at: null, created_at: now(), started_at: null, completed_at: null, updated_at: now(),
  elapsed_seconds: null, estimated_remaining_seconds: null, queue_position: null, cancel_requested: false, result: null,
  result_type: null, result_bytes: null, error: null, event_count: 0, cursor: null, files: [], links: null, ...more
})

/** A value that says when it changes: subscribe(fn) calls fn with it now and at each change, and gives what ends that. */
export class Observable {
  #readers = new Set()
  constructor(value) { this.value = value }

  subscribe(fn) {
    const reader = (...args) => fn(...args)
    this.#readers.add(reader)
    if (this.#readers.size === 1) this.begin?.()
    if (this.#readers.has(reader)) reader(this.value)
    return () => { if (this.#readers.delete(reader) && !this.#readers.size) this.end?.() }
  }

  set(value, change) {
    this.value = value
    for (const reader of [...this.#readers]) {
      try { reader(value, change) } catch (error) { globalThis.reportError?.(error) }
    }
  }

  get watched() { return this.#readers.size > 0 }
}

// What follows its events while somebody subscribes: follow(signal) does, and tell(change) says that something is new.
class Live extends Observable {
  #abort = null
  error = null // why it follows no more

  constructor(client, value) {
    super(value)
    this.client = client
  }

  get signal() { return this.#abort?.signal }

  begin() {
    const { signal } = this.#abort = new AbortController()
    this.error = null
    this.follow(signal).catch(error => {
      if (signal.aborted) return
      this.error = error
      this.tell({ error })
    })
  }

  end() {
    this.#abort?.abort()
    this.#abort = null
  }

  tell(change) { this.set(this.value, change) }
}

/** A task whose document follows its events while somebody subscribes. */
export class LiveTask extends Live {
  constructor(client, id, document = null) {
    super(client, document)
    this.id = id
  }

  /** The task document as far as it is known, or null. */
  get document() { return this.value }

  async follow(signal) {
    const refresh = replace => patiently(this.client, signal, () => this.refresh({ signal, replace }))
    if (!this.value?.cursor) await refresh(false)
    if (TERMINAL.has(this.value.status)) return
    for await (const event of this.client.watch(this.id, { from: this.value.cursor, replay: false, signal })) {
      if (event.type === 'stream.reset') await refresh(true)
      else if (event.task_id) this.apply(event)
    }
    // what no event says: bytes and type of the result
    if (!signal.aborted) await this.refresh({ signal }).catch(() => this.tell({}))
  }

  /** Takes one event; for those who read the stream themselves. */
  apply(event) {
    const next = applyEvent(this.value, event)
    if (next !== this.value) this.set(next, { event })
    else if (event.task_id === this.id && !event.task_seq) this.tell({ event })
  }

  /** Takes a document, unless a newer one is known. */
  take(document, replace = false) {
    if (replace || !this.value || (document.event_count ?? 0) >= (this.value.event_count ?? 0)) this.set(document, {})
    return this.value
  }

  async refresh({ signal, replace } = {}) {
    return this.take(await this.client.get(this.id, { signal }), replace)
  }

  /** Resolves with the document once the task has ended. */
  finished({ signal } = {}) {
    return new Promise((resolve, reject) => {
      let leave = null
      const end = (settle, value) => { signal?.removeEventListener('abort', aborted); queueMicrotask(() => leave?.()); settle(value) }
      const aborted = () => end(reject, signal.reason)
      if (signal?.aborted) return reject(signal.reason)
      signal?.addEventListener('abort', aborted)
      leave = this.subscribe((document, change) => {
        if (change?.error) end(reject, change.error)
        else if (document && TERMINAL.has(document.status) && !change?.event) end(resolve, document)
      })
    })
  }

  async cancel() { return this.take(await this.client.cancel(this.id)) }

  async retry(options) {
    const document = this.take(await this.client.retry(this.id, options))
    if (this.watched) { this.end(); this.begin() }
    return document
  }

  delete() { return this.client.delete(this.id) }
  result(options) { return this.client.result(this.id, options) }
  watch(options) { return this.client.watch(this.id, options) }
  get resultUrl() { return this.client.resultUrl(this.id) }
  fileUrl(name) { return this.client.fileUrl(this.id, name) }
}

/**
 * The tasks of a scope as rows, newest first, that follow their events while somebody subscribes. A row is {key, task,
 * optimistic}: `key` stays the same while the row is there, also when what was submitted gets its id.
 */
export class LiveList extends Live {
  #byId = new Map()
  #rows = []
  #token = '' // of the next page
  #cut = false // rows went that came before that page
  #asked = 0 // rows that somebody asked for
  #flying = new Map() // request_id: row of a POST whose answer is not there yet
  #early = new Map() // task id: events that may belong to one of these
  #kept = 0 // events in there
  #fetching = 0 // tasks that are asked for
  #missed = false // some of it was not kept: the page says it
  #restarting = null
  #change = null // since the last word to the readers
  #loaded = false

  constructor(client, filter = {}) {
    super(client, [])
    this.filter = filter
  }

  /** Whether there are older tasks than those shown: more() brings them. */
  get hasMore() { return !!this.#token || this.#cut }
  /** Whether the first page is there. */
  get loaded() { return this.#loaded }

  async follow(signal) {
    const { group } = this.filter
    for await (const event of this.client.watch(group ? { group } : { all: true }, { from: 'now', replay: false, signal })) {
      if (event.type === 'stream.connected') await patiently(this.client, signal, () => this.#load(signal))
      else if (event.type === 'stream.reset') this.#loaded = false
      else this.#event(event)
    }
  }

  end() {
    clearTimeout(this.#restarting)
    this.#restarting = null
    super.end()
  }

  // The newest page. The stream is open before: whatever changes from here on comes by it.
  async #load(signal) {
    const page = await this.client.list({ ...this.#query(), signal })
    const rows = this.#byId
    this.#rows = this.#rows.filter(r => r.optimistic)
    this.#byId = new Map()
    for (const task of page.tasks) {
      const row = rows.get(task.id)
      if (row) {
        this.#rows.push(row)
        this.#byId.set(task.id, row)
      }
      this.#put(task, 'end')
    }
    this.#asked = page.tasks.length
    this.#token = page.next_page_token
    this.#cut = false
    this.#loaded = true
    this.tell({})
  }

  // Begins anew, soon, in place of what was not kept.
  #restart() {
    this.#restarting ??= setTimeout(() => {
      this.end()
      this.begin()
    }, 1000)
  }

  /** Loads the next page of older tasks. */
  async more({ signal } = {}) {
    // where rows went, it is the first page on which there is one that is not shown
    for (let token = this.#cut ? '' : this.#token, again = this.#cut; again || token; again = false) {
      const page = await this.client.list({ ...this.#query(), page_token: token, signal })
      const fresh = page.tasks.filter(task => !this.#byId.has(task.id))
      for (const task of page.tasks) this.#put(task, 'end')
      token = page.next_page_token
      if (this.#cut && !fresh.length && token) continue
      this.#asked = this.#rows.length
      this.#token = token
      this.#cut = false
      break
    }
    this.tell({})
  }

  // The oldest go where more came than anybody asked for.
  #trim() {
    if (this.#rows.length <= this.#asked + ROWS_SINCE) return
    for (const row of this.#rows.splice(this.#asked + ROWS_SINCE / 2)) {
      if (row.optimistic) this.#rows.push(row)
      else this.#byId.delete(row.task.id)
    }
    this.#cut = true
  }

  #query() {
    const { status, type, group, page_size } = this.filter
    return { status, type, group, page_size }
  }

  #matches(task) {
    const { status, type, group } = this.filter
    return (!status || task.status === status) && (!type || task.type === type) && (!group || task.group_id === group)
  }

  // A document for its row, where that does not know better. A new row stands at the front, at the end, or by age: then one
  // that is older than all there are is left to more().
  #put(task, place) {
    let row = this.#byId.get(task.id) ?? this.#flying.get(task.request_id)
    if (!row) {
      if (!this.#matches(task)) return
      row = { key: task.id, task, optimistic: false }
      if (place === 'front') this.#rows.unshift(row)
      else if (place === 'end') this.#rows.push(row)
      else {
        const at = this.#rows.findIndex(r => r.task.id && r.task.id < task.id)
        if (at < 0 && this.hasMore) return
        this.#rows.splice(at < 0 ? this.#rows.length : at, 0, row)
      }
    } else if (row.optimistic || task.event_count >= row.task.event_count) {
      row.task = task
    }
    this.#adopt(row)
    return row
  }

  // A row has got its id. Where an event has made another of it, that one goes.
  #adopt(row) {
    const { id } = row.task
    const other = this.#byId.get(id)
    if (other && other !== row) {
      this.#rows = this.#rows.filter(r => r !== other)
      if (other.task.event_count > row.task.event_count) row.task = other.task
    }
    row.optimistic = false
    this.#byId.set(id, row)
    for (const event of this.#early.get(id) ?? []) row.task = applyEvent(row.task, event)
    this.#early.delete(id)
    if (!this.#matches(row.task)) this.#drop(row)
  }

  #drop(row) {
    this.#rows = this.#rows.filter(r => r !== row)
    if (row.task.id) this.#byId.delete(row.task.id)
  }

  #event(event) {
    const id = event.task_id
    if (!id) return this.tell({ event })
    const row = this.#byId.get(id)
    if (event.type === 'task.deleted') {
      if (row) this.#drop(row)
    } else if (row) {
      row.task = applyEvent(row.task, event)
      if (!this.#matches(row.task)) this.#drop(row)
    } else if (this.#flying.size && !this.#flying.has(event.request_id) && !this.client.requestIdsKept) {
      // perhaps of a task whose POST has not been answered
      if (this.#kept++ < EARLY_MAX) this.#early.has(id) ? this.#early.get(id).push(event) : this.#early.set(id, [event])
      else this.#missed = true
      return
    } else if (event.type === 'task.created') {
      this.#put(blank(id, event.payload.type, {
        group_id: event.group_id, request_id: event.request_id, created_at: event.ts, updated_at: event.ts, event_count: event.task_seq,
        cursor: event.id, links: this.client.links(id)
      }), 'front')
      this.#trim()
    } else if (event.type === 'task.status_changed' && this.#loaded) {
      this.#fetching < FETCHES_MAX ? this.#fetch(id) : this.#restart()
    }
    this.tell({ event })
  }

  // A task that was not shown may have become one that is.
  async #fetch(id) {
    this.#fetching++
    try {
      this.#put(await this.client.get(id, { signal: this.signal }), 'by age')
      this.#trim()
      this.tell({})
    } catch { /* it is gone */ }
    this.#fetching--
  }

  /** Submits a task. Its row is there at once, and stays the same one whatever comes first, the answer or its events. */
  async submit(type, input, options = {}) {
    const request = options.request_id ?? random()
    const group = options.group ?? this.filter.group ?? null
    const row = { key: request, task: blank(null, type, { group_id: group, request_id: request }), optimistic: true }
    this.#flying.set(request, row)
    this.#rows.unshift(row)
    this.tell({})
    try {
      const task = await this.client.submit(type, input, { ...options, group, request_id: request })
      if (row.optimistic) row.task = task.document
      else if (row.task.id !== task.id) this.#put(task.document, 'front')
      else if (task.document.event_count >= row.task.event_count) row.task = task.document
      this.#adopt(row)
      return task
    } catch (error) {
      if (row.optimistic) this.#drop(row)
      throw error
    } finally {
      this.#flying.delete(request)
      if (!this.#flying.size) {
        const early = [...this.#early.values()].flat()
        this.#early.clear()
        this.#kept = 0
        for (const event of early) this.#event(event)
        if (this.#missed && this.watched) this.#restart()
        this.#missed = false
      }
      this.tell({})
    }
  }

  // Changes of one turn are told together.
  tell({ event, error }) {
    if (!this.#change) {
      this.#change = { events: [] }
      queueMicrotask(() => {
        const change = this.#change
        this.#change = null
        this.set([...this.#rows], change)
      })
    }
    if (event) this.#change.events.push(event)
    if (error) this.#change.error = error
  }
}

// ---- a client --------------------------------------------------------------------------------------------------------

const DEFAULTS = {
  base: '/api', // of the API: a path of this site, or a URL
  token: null, // text, or a function ({renew}) that gives it
  credentials: 'same-origin', // of fetch: cookies
  streams: 'fetch', // or 'eventsource'
  share: true, // one stream for all tabs of this site
  user: null, // whose stream it is: tabs of another one have their own. Without it, whose token it is
  pauseHidden: 30, // seconds after which a hidden page asks no more; -1: never
  heartbeat: 15, // seconds, as [stream] heartbeat says
  retries: 3, // of a request that may be sent again
  tryStreams: 60, // seconds of polling after which streams are tried again, doubling to 15 minutes
  backoff,
  fetch: (...args) => globalThis.fetch(...args)
}

/** A client of one site. */
export class Leat {
  #hub = null
  #token = null // the promise of it
  #stale = false // the last one is of no use any more
  /** Observable: {state, transport, leader, until?, error?}. */
  connection = new Observable({ state: 'idle', transport: 'stream', leader: false })
  requestIdsKept = false // the server has called a request as we did

  constructor(options = {}) {
    this.options = { ...DEFAULTS, ...options }
  }

  // ---- requests

  /** The absolute URL of a path below the base. */
  url(path) {
    const base = new URL(this.options.base, globalThis.location?.href ?? 'http://localhost/')
    return base.origin + base.pathname.replace(/\/+$/, '') + path
  }

  /** The token that is used now, or null. */
  async token(renew = false) {
    const { token } = this.options
    if (typeof token !== 'function') return token
    if (renew) this.renew()
    const asked = this.#token ??= Promise.resolve(token({ renew: this.#stale })).finally(() => { this.#stale = false })
    try {
      return await asked
    } catch (error) {
      if (this.#token === asked) this.#token = null
      throw error
    }
  }

  /** The token is of no use any more: the next request asks for another. */
  renew() {
    this.#token = null
    this.#stale = true
  }

  /** One request, with the credential; renewed once where it has expired. Throws LeatError unless the answer is 2xx. */
  async fetch(method, path, { headers = {}, body, signal, cache = 'no-store' } = {}) {
    for (let again = false; ; again = true) {
      const token = await this.token(again)
      let answer
      try {
        answer = await this.options.fetch(this.url(path), {
          method, body, signal, cache, credentials: this.options.credentials,
          headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) }
        })
      } catch (error) {
        if (signal?.aborted) throw error
        throw new LeatError(0, { detail: error.message })
      }
      if (answer.ok) return answer
      if (answer.status === 401 && !again && typeof this.options.token === 'function') {
        answer.body?.cancel().catch(() => {})
        continue
      }
      throw await problemOf(answer)
    }
  }

  // A request that may be sent again is, a few times.
  async #persist(method, path, options = {}, safe = method === 'GET') {
    for (let n = 0; ; n++) {
      try {
        return await (options.onupload && globalThis.XMLHttpRequest ? this.#upload(method, path, options) : this.fetch(method, path, options))
      } catch (error) {
        const may = error instanceof LeatError && (error.retryable || error.code === 'outcome_unknown')
        if (!safe || !may || options.signal?.aborted || n >= this.options.retries || error.retryAfter > 30_000) throw error
        await pause(this.options.backoff(n, error.retryAfter), options.signal)
      }
    }
  }

  // fetch tells no progress of what is sent.
  async #upload(method, path, { headers, body, signal, onupload }) {
    const token = await this.token()
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      request.open(method, this.url(path))
      request.withCredentials = this.options.credentials === 'include'
      for (const [name, value] of Object.entries({ ...headers, ...(token && { Authorization: `Bearer ${token}` }) })) request.setRequestHeader(name, value)
      request.upload.onprogress = e => onupload(e.loaded, e.total)
      request.onerror = () => reject(new LeatError(0))
      request.onabort = () => reject(signal?.reason ?? new LeatError(0))
      request.onload = () => {
        const heads = new Headers(request.getAllResponseHeaders().trim().split(/\r?\n/).map(l => l.split(/: (.*)/s).slice(0, 2)))
        const answer = new Response(request.responseText || null, { status: request.status, headers: heads })
        answer.ok ? resolve(answer) : problemOf(answer).then(reject)
      }
      signal?.addEventListener('abort', () => request.abort())
      request.send(body)
    })
  }

  async #json(method, path, options, safe) {
    const answer = await this.#persist(method, path, options, safe)
    return answer.status === 204 ? null : answer.json()
  }

  /** A JSON request to any path below the base. */
  request(method, path, body, { headers, signal, query } = {}) {
    return this.#json(method, withQuery(path, query ?? {}), {
      signal, body: body === undefined ? undefined : JSON.stringify(body),
      headers: { Accept: 'application/json', ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers }
    })
  }

  // ---- tasks

  /**
   * Makes a task. `input`: text or any JSON value; or bytes (Blob, File, FormData, ArrayBuffer, a view of one), which the job gets as
   * they are. The same Idempotency-Key goes with each attempt, so that a lost answer makes no second task.
   */
  async submit(type, input, options = {}) {
    const { group, priority, delay, run_at, max_attempts, timeout, unique, key, wait, signal, onupload, request_id = random() } = options
    const fields = { group, priority, delay, run_at, max_attempts, timeout, unique }
    for (const name of Object.keys(fields)) if (fields[name] === undefined || fields[name] === null) delete fields[name]
    const headers = { Accept: 'application/json', 'Idempotency-Key': key ?? request_id, 'X-Request-ID': request_id }
    if (wait) headers.Prefer = `wait=${wait}`
    const form = input instanceof FormData
    const raw = form || input instanceof Blob || input instanceof ArrayBuffer || ArrayBuffer.isView(input)
    if (!form) headers['Content-Type'] = raw ? input.type || 'application/octet-stream' : 'application/json'
    const answer = await this.#json('POST', raw ? withQuery('/tasks', { type, ...fields }) : '/tasks', {
      headers, signal, onupload, body: raw ? input : JSON.stringify({ type, input, ...fields })
    }, true)
    if (answer.task.request_id === request_id) this.requestIdsKept = true
    const task = new LiveTask(this, answer.task_id, answer.task)
    task.joined = answer.joined === true
    return task
  }

  /** A task as an observable document. */
  task(id, document = null) {
    return new LiveTask(this, id, document)
  }

  /** The tasks of {group?, status?, type?, page_size?} as observable rows. */
  tasks(filter) {
    return new LiveList(this, filter)
  }

  get(id, options) { return this.request('GET', taskPath(id), undefined, options) }
  list({ signal, ...query } = {}) { return this.request('GET', '/tasks', undefined, { query, signal }) }
  async cancel(id, options) { return taskIn(await this.request('POST', taskPath(id, '/cancel'), undefined, options)) }
  async retry(id, { force, ...options } = {}) {
    return taskIn(await this.request('POST', taskPath(id, '/retry'), undefined, { ...options, query: force ? { force: 1 } : {} }))
  }

  delete(id, options) { return this.request('DELETE', taskPath(id), undefined, options) }
  /** The raw result, as a Response. */
  result(id, { signal } = {}) { return this.#persist('GET', taskPath(id, '/result'), { signal }) }
  /** What the job has said so far, as text. */
  async log(id, { signal } = {}) { return (await this.#persist('GET', taskPath(id, '/log'), { signal })).text() }
  /** A file of the task, as a Response. */
  file(id, name, { signal } = {}) { return this.#persist('GET', taskPath(id, `/files/${encodeURIComponent(name)}`), { signal }) }
  resultUrl(id, ticket) { return this.url(withQuery(taskPath(id, '/result'), { ticket })) }
  logUrl(id, ticket) { return this.url(withQuery(taskPath(id, '/log'), { ticket })) }
  fileUrl(id, name, ticket) { return this.url(withQuery(taskPath(id, `/files/${encodeURIComponent(name)}`), { ticket })) }
  links(id) {
    const self = new URL(this.url(taskPath(id))).pathname
    return { self, events: `${self}/events`, result: `${self}/result`, cancel: `${self}/cancel`, retry: `${self}/retry` }
  }

  // ---- groups, types, the site

  group(group, options) { return this.request('GET', groupPath(group), undefined, options) }
  groups({ signal, ...query } = {}) { return this.request('GET', '/groups', undefined, { query, signal }) }
  cancelGroup(group, options) { return this.request('POST', groupPath(group, '/cancel'), undefined, options) }
  retryGroup(group, options) { return this.request('POST', groupPath(group, '/retry'), undefined, options) }
  publish(group, type, payload, options) { return this.request('POST', groupPath(group, '/events'), { type, payload }, options) }
  /** {context, version}. */
  async context(group, { signal } = {}) {
    const answer = await this.#persist('GET', groupPath(group, '/context'), { signal })
    return { context: await answer.json(), version: versionOf(answer) }
  }

  /** Replaces the context where its version is the one given (any, without); the new version. */
  async setContext(group, context, version, { signal } = {}) {
    const headers = { 'Content-Type': 'application/json', ...(version !== undefined && { 'If-Match': `"${version}"` }) }
    return versionOf(await this.#persist('PUT', groupPath(group, '/context'), { signal, headers, body: JSON.stringify(context) }))
  }

  async types(options) { return (await this.request('GET', '/types', undefined, options)).types }
  pauseType(type, options) { return this.request('POST', `/types/${encodeURIComponent(type)}/pause`, undefined, options) }
  resumeType(type, options) { return this.request('POST', `/types/${encodeURIComponent(type)}/resume`, undefined, options) }
  stats(options) { return this.request('GET', '/stats', undefined, options) }
  /** The answer also where it is 503 and names what is wrong. */
  async health({ signal } = {}) {
    try {
      return await this.request('GET', '/health', undefined, { signal })
    } catch (error) {
      if (error.status === 503) return { status: 'unavailable', ...error.problem }
      throw error
    }
  }

  /** A short-lived right to read {task}, {group}, {all: true} or {run}: {ticket, expires_at, url}. */
  ticket(subject, { ttl, cookie, signal } = {}) {
    const body = typeof subject === 'string' ? { task: subject } : subject
    return this.request('POST', '/tickets', { ...body, ...(ttl && { ttl }) }, { signal, query: cookie ? { cookie: 1 } : {} })
  }

  // ---- events

  /**
   * The events of a task, {group} or {all: true}, each once and in order, until the task ends, `signal` aborts or break.
   * {from: 'earliest' | 'now' | an event's id, types, signal, transport: 'auto' | 'stream' | 'poll', share, replay}.
   */
  watch(what, options = {}) {
    const { transport = 'auto', types } = options
    if (!['auto', 'stream', 'poll'].includes(transport)) throw new TypeError(`watch: transport ${transport}`)
    const scope = scopeOf(what, types)
    const alone = transport !== 'auto' || options.share === false || scope.owner
    const hub = alone ? new Hub(this, { transport }) : this.#hub ??= new Hub(this, { transport, main: true })
    const watcher = new Watcher(this, hub, scope, options)
    if (alone || hub.settled) hub.add(watcher)
    else this.#settle(hub).then(() => hub.add(watcher), error => watcher.fail(error))
    return watcher
  }

  // Tabs share a stream only with those of the same caller.
  async #settle(hub) {
    const able = this.options.share && globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.document
    if (able && !hub.settled) {
      const who = this.options.user ?? await this.token()
      this.shareName = `leat ${this.url('')} ${who ? await digest(String(who)) : ''}`
      hub.shared = true
    }
    hub.settled = true
  }

  /** A page of events behind a cursor; `wait` seconds for the first. */
  page(scope, at, { signal, wait, limit = PAGE } = {}) {
    return this.request('GET', scope.path, undefined, {
      signal, query: { types: scope.types, last_event_id: at, limit }, headers: wait ? { Prefer: `wait=${wait}` } : {}
    })
  }

  // What there is of a scope now.
  async snapshot(scope, { signal } = {}) {
    if (scope.kind !== 'all') return this.request('GET', scope.self, undefined, { signal })
    const pages = await Promise.all(['running', 'pending'].map(status => this.list({ status, signal })))
    return { tasks: pages.flatMap(p => p.tasks), more: pages.some(p => p.next_page_token) }
  }
}

const taskPath = (id, tail = '') => `/tasks/${encodeURIComponent(id)}${tail}`
const taskIn = answer => answer?.task ?? answer
const versionOf = answer => Number((answer.headers.get('ETag') ?? '').replace(/\D/g, ''))

// A name for a secret that does not tell it.
async function digest(text) {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(bytes).slice(0, 12), b => b.toString(16).padStart(2, '0')).join('')
}

async function problemOf(answer) {
  const text = await answer.text().catch(() => '')
  let problem = {}
  try {
    problem = JSON.parse(text) ?? {}
  } catch { /* not ours: a proxy's page */ }
  const after = answer.headers.get('Retry-After')
  const wait = after === null ? 0 : /^\d+$/.test(after) ? after * 1000 : Math.max(0, Date.parse(after) - now()) || 0
  return new LeatError(answer.status, problem, wait)
}

/** The API of this site, below /api. */
export const leat = new Leat()

/** A client with options of its own. */
export const connect = options => new Leat(options)

export default leat
