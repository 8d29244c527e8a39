// How the server is: its health, its figures over the last minutes, its processes.
import { client, reason, session } from './api.js'
import { bytes, h, put, span, table } from './dom.js'
import { charts, figures, slow } from './chart.js'
import { plan, stats } from './stats.js'

const row = (name, ...values) => h('tr', null, h('th', { scope: 'row' }, name), values.map(value => h('td', null, value)))
const card = (title, columns, rows) => h('section.card', null, h('h2', null, title), table('plain', title, columns, h('tbody', null, rows)))
const ms = value => value == null ? '–' : `${value} ms`
const many = value => value.toLocaleString()

function details({ version, sqlite_version, uptime_seconds, streams, lag, processes, database, runners, queue }) {
  return [
    card('Server', null, [row('Leat', version), row('SQLite', sqlite_version), row('Uptime', span(uptime_seconds)), row('Runners', many(runners)),
      row('Longest wait in the queue', queue.oldest_due_seconds ? span(queue.oldest_due_seconds) : '–'),
      row('Streams', `${many(streams.active)} open, ${many(streams.opened)} opened, ${many(streams.resumed)} resumed`)]),
    card('Latency', ['Time', 'Median', 'Slowest 1 %', 'Samples'], Object.entries({ delivery: 'Event to watcher', claim: 'Due to started', write_lock: 'Wait for the write lock' })
      .map(([key, name]) => row(name, ms(lag[key].p50_ms), ms(lag[key].p99_ms), many(lag[key].count)))),
    card('Processes', ['Program', 'Process', 'Uptime', 'Memory'], processes.map(each => row(each.program, String(each.pid), span(each.uptime_seconds),
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
      if (!signal.aborted) put(health, h('span.status.failed', null, 'unreachable'), h('span', null, reason(error)))
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
  else put(rest, h('p.empty', null, 'The figures of the server are for admins: sign in with a token that has the scope admin.'))
  return { title: 'System', node: h('div', null, health, charts([...figures, slow], signal), rest) }
}
