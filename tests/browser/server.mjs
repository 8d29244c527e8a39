// The servers of clients.t, as the tests beside it see them.
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, renameSync } from 'node:fs'
import { createRequire } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'

// A package as npm installed it.
export const load = name => createRequire(`${process.env.NODE_MODULES}/here.js`)(name)

// until(condition, seconds): the condition's first true value; throws when time is up.
export async function until(condition, seconds = 20, what = condition.toString()) {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const value = await condition()
    if (value) return value
    assert.ok(Date.now() < end, `time is up: ${what}`)
    await pause(10)
  }
}

// Longer than any client waits before it asks again (retry_ms is 100). The time is what is measured.
export const quiet = () => pause(600)

export class Server {
  constructor(name) {
    this.url = process.env[`${name}_URL`]
    this.dir = process.env[`${name}_DIR`]
    this.token = process.env[`${name}_TOKEN`]
  }

  // A JSON request, anonymous unless `headers` say otherwise; the answer's body.
  async ask(method, path, body, headers = {}) {
    const r = await fetch(this.url + path, {
      method, headers: { 'Content-Type': 'application/json', ...headers }, body: body && JSON.stringify(body)
    })
    const text = await r.text()
    assert.ok(r.ok, `${method} ${path}: ${r.status} ${text}`)
    return text && JSON.parse(text)
  }

  alice(method, path, body) {
    return this.ask(method, path, body, { Authorization: `Bearer ${this.token}` })
  }

  // A task of `tell`: events a pause apart. Gives its id.
  async tell(events, seconds, more = {}) {
    return (await this.ask('POST', '/api/tasks', { type: 'tell', input: `${events} ${seconds}\n`, ...more })).task_id
  }

  // A task that waits for its gate: {id, open()}.
  async gated(more = {}) {
    const gate = `${this.dir}/gate-${Math.random()}`
    const { task_id: id } = await this.ask('POST', '/api/tasks', { type: 'gated', input: `${gate}\n`, ...more })
    return { id, open: () => appendFileSync(gate, '') }
  }

  log() {
    return readFileSync(`${this.dir}/server.log`, 'utf8')
  }

  // From now on: a function that gives the statuses of the requests of this route, in their order.
  watch(route) {
    const from = this.log().length
    return () => [...this.log().slice(from).matchAll(/msg="request" .*?route=(\S+) status=(\d+)/g)]
      .filter(line => line[1] === route).map(line => Number(line[2]))
  }

  // While this runs, nginx finds no leat.fcgi.
  async away(meanwhile) {
    const socket = `${this.dir}/state/leat.sock`
    renameSync(socket, `${socket}.away`)
    try {
      await meanwhile()
    } finally {
      renameSync(`${socket}.away`, socket)
    }
  }

  // Ends the programs of a pid file; gives when others have begun.
  async #end(name, signal) {
    const pids = () => readFileSync(`${this.dir}/state/${name}.pid`, 'utf8').split('\n').filter(Boolean)
    const old = pids()
    for (const pid of old) process.kill(Number(pid), signal)
    await until(() => pids().length === old.length && !pids().some(pid => old.includes(pid)), 20, `others of ${name}.pid`)
  }

  // Each leat.fcgi outright, or leatd.
  killWeb() { return this.#end('web', 'SIGKILL') }
  killRunner() { return this.#end('runner', 'SIGKILL') }

  // The web server and, outright, each leat.fcgi behind it.
  async restart() {
    await Promise.all([this.#end('server', 'SIGTERM'), this.killWeb()])
    await until(() => fetch(`${this.url}/api/health`).then(answer => answer.ok, () => false), 20, 'the server is back')
  }
}

export const calm = new Server('CALM')
export const restless = new Server('RESTLESS')
export const TASK = '/tasks/{id}/events'
export const GROUP = '/groups/{group}/events'
export const RUN = '/run/{type}'

// What a client has seen: messages as [id, event].
export const logged = seen => seen.map(([, e]) => e).filter(e => !e.type.startsWith('stream.'))
export const ends = seen => seen.map(([, e]) => e).filter(e => e.type === 'stream.end').map(e => e.payload.reason)
export const resumed = seen => seen.some(([, e]) => e.type === 'stream.connected' && e.payload.message === 'resumed')
export const finished = seen => ends(seen).includes('finished')

// Every event of one task, each once, in order: created, running, `told` events, completed.
export function assertWhole(seen, id, told) {
  const events = logged(seen).filter(e => e.task_id === id)
  assert.deepEqual(events.map(e => e.task_seq), Array.from({ length: told + 3 }, (_, i) => i + 1))
  assert.deepEqual(events.filter(e => e.type === 'tell.it').map(e => e.payload.n), Array.from({ length: told }, (_, i) => i + 1))
  assert.equal(events.at(-1).payload.to, 'completed')
}

// The id that came with each event is its own.
export function assertIds(seen) {
  for (const [id, e] of seen) if (!e.type.startsWith('stream.')) assert.equal(id, e.id)
}
