// How the server is: its health, its figures over the last minutes, its processes.
import { client, session } from './api.js'
import { bytes, h, put, say, span, table } from './dom.js'
import { charts, figures, slow } from './chart.js'
import { plan, stats } from './stats.js'

const row = (name, ...values) => h('tr', null, h('th', { scope: 'row' }, name), values.map(value => h('td', null, value)))
const card = (title, columns, rows) => h('section.card', null, h('h2', null, title), table('plain', title, columns, h('tbody', null, rows)))
const ms = value => value == null ? '–' : `${value} ms`
const many = value => value.toLocaleString()

function details({ version, sqlite_version, uptime_seconds, streams, lag, processes, database, runners, queue }) {
  return [
    card('Server', null, [row('Leat', version), row('SQLite', sqlite_version), row('Up for', span(uptime_seconds)), row('Runners', many(runners)),
      row('Oldest task in line', queue.oldest_due_seconds ? span(queue.oldest_due_seconds) : '–'),
      row('Streams', `${many(streams.active)} open, ${many(streams.opened)} opened, ${many(streams.resumed)} resumed`)]),
    card('Latency', ['From', 'median', 'slowest 1 %', 'measured'], Object.entries({ delivery: 'event to watcher', claim: 'due to claimed', write_lock: 'asked for the write lock to having it' })
      .map(([key, name]) => row(name, ms(lag[key].p50_ms), ms(lag[key].p99_ms), many(lag[key].count)))),
    card('Processes', ['Program', 'Process', 'Up for', 'Memory'], processes.map(each => row(each.program, String(each.pid), span(each.uptime_seconds),
      each.resident_bytes == null ? '–' : bytes(each.resident_bytes)))),
    card('Database', null, [row('Size', bytes(database.bytes)), row('Write-ahead log', bytes(database.wal_bytes)), row('Events kept', many(database.events)),
      row('Newest event', many(database.newest_seq))])
  ]
}

export function view({ signal }) {
  const health = h('section.card.row', { role: 'status' })
  const rest = h('div.grid.wide')
  async function look() {
    try {
      const answer = await client.health({ signal })
      const well = answer.status === 'ok'
      put(health, h(`span.status.${well ? 'completed' : 'failed'}`, null, well ? 'healthy' : 'unavailable'),
        h('span.foreign', null, well ? 'The database answers and a runner is alive.' : answer.detail))
    } catch (error) {
      if (!signal.aborted) put(health, h('span.status.failed', null, 'unreachable'), h('span', null, error.message))
    }
  }
  const paint = () => stats.latest && put(rest, details(stats.latest))
  function again() {
    if (document.hidden) return
    look()
    plan(0)
  }
  stats.addEventListener('sample', paint, { signal })
  const timer = setInterval(again, 15000)
  signal.addEventListener('abort', () => clearInterval(timer))
  again()
  if (session.admin) paint()
  else say(rest, 'Sign in with an admin token to see the figures of the server.')
  return { title: 'System', node: h('div', null, health, charts([...figures, slow], signal), rest) }
}
