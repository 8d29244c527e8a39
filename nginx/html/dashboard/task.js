// One task: what it is, how far it is, what it says and what came of it.
import { applyEvent } from '../leat.js'
import { address, ask, client, get, link, noticed, reason, taskPath } from './api.js'
import { at, bar, busy, button, bytes, confirm, failed, framed, h, instead, put, say, span, status, table, text, time, toast } from './dom.js'
import { listen } from './live.js'
import { clock, final, timing, words } from './model.js'
import { act } from './tasks.js'
import { paint } from './ansi.js'

const LINES = 5000 // of the log and of the events: what is older is in the log file
const SHOWN = 1 << 20 // bytes of a text that is shown
const IMAGE = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)\b/
const JSONS = /^application\/([\w.+-]+\+)?json\b/

// ---- results and files -------------------------------------------------------------------------------------------------

// A link that saves; with a token it goes by way of a ticket.
const download = (id, url, name) => h('a.button', { href: url, download: name, 'aria-label': `Download ${name}`, async click(event) {
  if (event.currentTarget.dataset.open) return
  event.preventDefault()
  try {
    const way = h('a', { href: await address(id, url), download: name, 'data-open': true })
    way.click()
  } catch (error) {
    toast(reason(noticed(error)), 'error')
  }
} }, 'Download')

function picture(id, url, name) {
  const image = h('img', { alt: name, loading: 'lazy' })
  address(id, url).then(source => { image.src = source }, error => toast(reason(noticed(error)), 'error'))
  return image
}

// Text as text, JSON in lines of its own.
async function reading(answer, type) {
  const said = await answer.text()
  if (!JSONS.test(type)) return said
  try {
    return JSON.stringify(JSON.parse(said), null, 2)
  } catch {
    return said
  }
}

const code = (words, label) => h('pre', { tabindex: 0, role: 'region', 'aria-label': label }, words)

// Shows what can be shown of `size` bytes of this type; load() gives them as a Response.
async function body(id, url, name, type, size, load) {
  if (IMAGE.test(type)) return picture(id, url, name)
  if (!/^text\/(?!html)/.test(type) && !JSONS.test(type)) return null
  if (size > SHOWN) return h('p', null, 'It is too large to be shown here.')
  return code(await reading(await load(), type), name)
}

function file(id, { name, bytes: size, content_type: type }) {
  const url = client.fileUrl(id, name)
  const place = h('div.body')
  const load = () => body(id, url, name, type, size, () => client.file(id, name))
    .then(shown => put(place, shown), error => toast(reason(noticed(error)), 'error'))
  const textual = !IMAGE.test(type) && (/^text\/(?!html)/.test(type) || JSONS.test(type))
  if (IMAGE.test(type)) load()
  return h('li', null, h('div.row', null, h('span.foreign.grow', null, name), h('small', null, `${type.split(';')[0]} · ${bytes(size)}`),
    textual && button('Show', load, { 'aria-label': `Show ${name}` }), download(id, url, name)), place)
}

// ---- log and events ----------------------------------------------------------------------------------------------------

// The lines of the log: the newest LINES, painted once a frame; it stays at its end while it is there.
function log(id) {
  const lines = h('div.lines.foreign', { tabindex: 0, role: 'log', 'aria-label': 'Log', 'aria-live': 'off' })
  const note = h('small')
  const node = h('section.card', null, h('div.row', null, h('h2.grow', null, 'Log'), note,
    download(id, client.logUrl(id), `${id}.log`)), lines)
  let fresh = []
  let count = 0
  const flush = framed(() => {
    node.hidden = false // what is hidden has no end to be at
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8
    lines.append(...fresh)
    fresh = []
    while (lines.childElementCount > LINES) lines.firstChild.remove()
    say(note, count > LINES ? `${LINES.toLocaleString()} of ${count.toLocaleString()} lines` : '')
    if (atEnd) lines.scrollTop = lines.scrollHeight
  })
  node.hidden = true
  return {
    node,
    add({ ts, payload: { level, message, ansi } }) {
      count++
      fresh.push(h(`div.${level}`, { title: at(ts) }, paint(ansi ?? message).map(piece => piece.names ? h('span', { class: piece.names }, piece.text) : piece.text)))
      if (fresh.length > LINES) fresh.shift()
      flush()
    }
  }
}

function history() {
  const rows = h('tbody')
  let fresh = []
  const flush = framed(() => {
    rows.prepend(...fresh.reverse())
    fresh = []
    while (rows.childElementCount > LINES) rows.lastChild.remove()
  })
  return {
    node: h('details.card', null, h('summary', null, h('h2', null, 'Events')), h('div.scroll', { tabindex: 0, role: 'region', 'aria-label': 'Events' },
      table('events', 'Events, newest first', ['#', 'Time', 'Event', 'Payload'], rows))),
    add({ task_seq, ts, type, payload }) {
      fresh.push(h('tr', null, h('td', null, String(task_seq)), h('td', { title: new Date(ts).toISOString() }, new Date(ts).toLocaleTimeString()),
        h('td', null, type), h('td.foreign', null, h('code', null, JSON.stringify(payload)))))
      if (fresh.length > LINES) fresh.shift()
      flush()
    }
  }
}

// ---- the page ----------------------------------------------------------------------------------------------------------

const fact = (name, value) => value == null || value === '' || value === false ? null : h('div', null, h('dt', null, name), h('dd.foreign', null, value))

function facts(task) {
  const { error } = task
  return h('dl.facts', null,
    fact('Group', task.group_id && h('a', { href: link('group', { id: task.group_id, owner: task.owner }) }, task.group_id)),
    fact('Owner', task.owner), fact('Attempt', `${task.attempt} of ${task.max_attempts}`),
    fact('Priority', task.priority ? String(task.priority) : null),
    fact('Created', time(task.created_at)), fact('Due', task.status === 'pending' && task.run_at && time(task.run_at)),
    fact('Started', task.started_at && time(task.started_at)), fact('Ended', task.completed_at && time(task.completed_at)),
    fact('Error', error && [error.code, error.exit_status && `exit status ${error.exit_status}`, error.signal && `signal ${error.signal}`].filter(Boolean).join(', ')),
    fact('Request', task.request_id && h('code', null, task.request_id)), fact('Id', h('code', null, task.id)))
}

export function view({ argument: id, signal, title }) {
  let task = null
  let seen = 0
  let shownResult = ''
  let told = 0 // task_seq of the newest event that is shown
  const head = h('div.row')
  const progress = bar(0, 'Progress')
  const percent = h('strong.percent')
  const said = h('p.said.foreign')
  const clockText = h('span.when')
  const actions = h('div.row')
  const about = h('div')
  const result = h('section.card', { hidden: true }, h('h2', null, 'Result'))
  const resultBody = h('div.body')
  const files = h('section.card', { hidden: true }, h('h2', null, 'Files'))
  const fileList = h('ul.files')
  result.append(resultBody)
  files.append(fileList)
  const lines = log(id)
  const events = history()
  const note = h('p.empty', null, 'Loading…')
  const page = h('div', { hidden: true },
    h('section.card.top', null, head, h('div.row', null, progress, percent, clockText), said, actions, about),
    result, files, lines.node, events.node)

  const does = (label, verb, query, props) => button(label, async event => {
    busy(event.currentTarget)
    const answer = await act(task, verb, query)
    offered = null
    if (answer) take(answer)
    else paint()
    if (verb === 'retry' && answer) follow()
  }, props)
  async function remove() {
    if (!await confirm(`Delete ${task.type} ${id.slice(-8)}?`, 'Its log, its result and its files go with it. This cannot be undone.', 'Delete')) return
    try {
      await ask('DELETE', taskPath(id))
      toast(`${task.type} was deleted.`)
      location.hash = '#/tasks'
    } catch (error) {
      toast(reason(error), 'error')
    }
  }

  let offered = null
  function offer() {
    const offers = `${task.status} ${task.cancel_requested}`
    if (offers === offered) return
    offered = offers
    put(head, status(task.status))
    title(`${task.type} ${id.slice(-8)}`)
    put(actions,
      !final(task) && (task.cancel_requested ? h('small', null, 'Stopping…') : does('Cancel', 'cancel')),
      final(task) && task.status !== 'completed' && does('Retry', 'retry', null, { primary: true }),
      task.status === 'completed' && does('Run again', 'retry', { force: 1 }),
      h('a.button', { href: link('new', { type: task.type, group: task.group_id }) }, 'New of this type'),
      final(task) && button('Delete…', remove, { class: 'quiet' }))
  }

  function outcome() {
    const key = task.status === 'completed' ? `${task.completed_at} ${task.result_bytes}` : ''
    if (key === shownResult) return
    shownResult = key
    result.hidden = !key || task.result_bytes == null
    if (result.hidden) return
    const url = client.resultUrl(id)
    const type = task.result_type ?? 'application/octet-stream'
    const name = `${task.type}-${id.slice(-8)}`
    put(resultBody)
    const foot = h('div.row', null, h('small.grow', null, `${type} · ${bytes(task.result_bytes)}`), download(id, url, name))
    const show = task.result != null && !IMAGE.test(type) ? Promise.resolve(code(text(task.result), 'Result'))
      : body(id, url, name, type, task.result_bytes, () => client.result(id))
    show.then(shown => put(resultBody, shown, foot), error => put(resultBody, h('p.wrong', null, reason(noticed(error))), foot))
  }

  let listed = ''
  const paint = framed(() => {
    if (signal.aborted || !task) return
    page.hidden = false
    note.hidden = true
    offer()
    progress.value = task.progress
    say(percent, `${Math.floor(task.progress)} %`)
    say(said, words(task))
    said.classList.toggle('wrong', !!task.error && task.status !== 'cancelled')
    tick()
    outcome()
    const names = JSON.stringify(task.files)
    if (names !== listed) {
      listed = names
      files.hidden = !task.files.length
      put(fileList, task.files.map(each => file(id, each)))
    }
    put(about, facts(task))
  })
  function tick() {
    if (!task) return
    const { elapsed } = clock(task, seen)
    say(clockText, [timing(task, seen), task.status === 'running' && elapsed != null && `running for ${span(elapsed)}`].filter(Boolean).join(' · '))
  }

  function take(document) {
    if (task && document.event_count < task.event_count) return
    task = document
    seen = Date.now()
    paint()
  }

  // Once it has ended, somebody may still retry or delete it.
  function wait() {
    const until = new AbortController()
    listen(event => {
      if (event.task_id !== id) return
      until.abort()
      if (event.type === 'task.deleted') gone({ status: 404 })
      else follow()
    }, AbortSignal.any([signal, until.signal]))
  }

  // Reads the log from its beginning, or on from what is shown, to the end of the task.
  let following = false
  async function follow() {
    if (following) return
    following = true
    try {
      take(await get(taskPath(id), null, signal))
      for await (const event of client.watch(id, { signal })) {
        if (event.type === 'stream.reset') take(await get(taskPath(id), null, signal))
        if (!event.task_id || event.task_seq <= told) continue
        told = event.task_seq
        if (event.type === 'log.append') lines.add(event)
        events.add(event)
        const next = applyEvent(task, event)
        if (next !== task) take(next)
      }
      if (!signal.aborted) take(await get(taskPath(id), null, signal)) // what no event says: the result's type and size
    } catch (error) {
      if (!signal.aborted) gone(noticed(error))
    }
    following = false
    if (!signal.aborted && task && final(task)) wait()
  }
  function gone(error) {
    if (error.status === 404) page.hidden = true
    note.hidden = false
    if (error.status === 404) instead(note, 'There is no such task: it was deleted, or it belongs to somebody else.', h('a.button', { href: '#/tasks' }, 'All tasks'))
    else failed(note, reason(error), follow)
  }

  const timer = setInterval(tick, 1000)
  signal.addEventListener('abort', () => clearInterval(timer))
  follow()
  return { title: 'Task', node: h('div', null, page, note) }
}
