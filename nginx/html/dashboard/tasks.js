// The list of tasks: live, filtered, newest first.
import { applyEvent } from '../leat.js'
import { ago, at, bar, busy, button, failed, framed, h, instead, put, say, status, table, toast } from './dom.js'
import { ask, get, link, reason, session, taskPath } from './api.js'
import { STATES, begun, final, timing, words } from './model.js'
import { charts, figures } from './chart.js'
import { connected, listen } from './live.js'
import { stats } from './stats.js'

const PAGE = 50
const KEPT = 200 // more than was asked for, that came since
const WAITING = 5000 // events that wait for a page; then it is asked for once more
const LOOKS = 8 // tasks that are asked for at once; then the page is

// Cancels or retries; gives the new document, or null.
export async function act(task, verb, query) {
  try {
    const answer = await ask('POST', taskPath(task.id, `/${verb}`), { query })
    toast(verb === 'retry' ? `${task.type} will run again.` : final(answer) ? `${task.type} was cancelled.` : `${task.type} is being cancelled.`)
    return answer
  } catch (error) {
    toast(reason(error), 'error')
    return null
  }
}

// ---- one row -----------------------------------------------------------------------------------------------------------

const name = task => `${task.type} ${task.id.slice(-8)}`

// The row of a task that never changes its id; change(verb) is what its buttons do.
function row(task, change) {
  const state = h('td.state')
  const progress = bar(0, `Progress of ${name(task)}`)
  const percent = h('span.percent')
  const said = h('div.said.foreign')
  const time = h('td.when')
  const created = h('td.when.created', { title: at(task.created_at) })
  const actions = h('td.actions')
  let offered
  const offer = (verb, label) => button(label, event => {
    busy(event.currentTarget)
    change(verb)
  }, { 'aria-label': `${label} ${name(task)}` })

  function update(task, seen, now) {
    const offers = task.status === 'completed' ? '' : final(task) ? 'retry' : task.cancel_requested ? 'stopping' : 'cancel'
    if (offered !== task.status + offers) {
      offered = task.status + offers
      put(state, status(task.status))
      put(actions, offers === 'cancel' && offer('cancel', 'Cancel'), offers === 'retry' && offer('retry', 'Retry'),
        offers === 'stopping' && h('small', null, 'stopping…'))
    }
    if (progress.value !== task.progress) progress.value = task.progress
    say(percent, `${Math.floor(task.progress)} %`)
    say(said, words(task))
    said.classList.toggle('wrong', !!task.error && task.status !== 'cancelled')
    node.classList.toggle('ended', final(task))
    tick(task, seen, now)
  }
  function tick(task, seen, now) {
    say(time, timing(task, seen, now))
    say(created, ago(task.created_at, now))
  }
  // Whatever came of it, its buttons are what fits now.
  function done() {
    offered = null
  }
  const node = h('tr', { 'data-id': task.id }, state,
    h('th', { scope: 'row' },
      h('a', { href: `#/task/${task.id}` }, task.type, h('small', null, ` ${task.id.slice(-8)}`)),
      task.group_id && h('a.group.foreign', { href: link('group', { id: task.group_id, owner: task.owner }) }, task.group_id)),
    h('td.progress', null, h('div.row', null, progress, percent), said), time, created, actions)
  return { node, update, tick, done }
}

// ---- the list ----------------------------------------------------------------------------------------------------------

// A table of the tasks of `filter()` ({status, type, group}, as the API has them) that hold the text `search()`:
// {node, reload(), paint()}. clear() shows all.
export function list(filter, search, signal, clear) {
  const tasks = new Map() // id: {task, seen}
  const rows = new Map()
  let wanted = PAGE
  let more = false
  let wrong = '' // why there is no list
  let waiting = null // events that came while a page was on its way
  let again = false
  let looks = 0
  let soon = null // a load that is planned

  const body = h('tbody')
  const sheet = table('cards.tasks', 'Tasks, newest first', ['Status', 'Task', 'Progress', 'Time', 'Created', ''], body, { hidden: true })
  const note = h('p.empty', null, 'Loading…')
  const moreButton = button('Load more', () => {
    wanted += PAGE
    load()
  }, { hidden: true })

  const keep = task => tasks.set(task.id, { task, seen: Date.now() })
  const narrowed = () => search() || ['status', 'type'].some(key => filter()[key])
  function fits(task) {
    const wanted = filter()
    return (!wanted.status || task.status === wanted.status) && (!wanted.type || task.type === wanted.type) &&
      (!wanted.group || task.group_id === wanted.group)
  }
  function shows(task) {
    const sought = search().toLowerCase()
    return fits(task) && (!sought || [task.id, task.type, task.group_id, task.owner, words(task)].some(value => value?.toLowerCase().includes(sought)))
  }

  const paint = framed(() => {
    if (signal.aborted) return
    const now = Date.now()
    const shown = [...tasks.values()].filter(each => shows(each.task)).sort((a, b) => a.task.id < b.task.id ? 1 : -1)
    const ids = new Set(shown.map(each => each.task.id))
    for (const [id, { node }] of rows) {
      if (ids.has(id)) continue
      node.remove()
      rows.delete(id)
    }
    let next = body.firstChild
    for (const { task, seen } of shown) {
      let each = rows.get(task.id)
      if (!each) rows.set(task.id, each = row(task, verb => change(task.id, verb)))
      if (each.node === next) next = next.nextSibling
      else body.insertBefore(each.node, next)
      each.update(task, seen, now)
    }
    sheet.hidden = !shown.length
    note.hidden = !!shown.length
    if (!waiting) explain()
    moreButton.hidden = !more
  })

  function explain() {
    const { group } = filter()
    if (wrong) failed(note, wrong, load)
    else if (narrowed()) instead(note, more ? 'None of the newest tasks matches.' : 'No task matches.', clear && button('Show all tasks', clear))
    else instead(note, group ? 'There is no task in this group.' : 'There is no task yet.', h('a.button.primary', { href: link('new', { group }) }, 'New task'))
  }

  function merge(task) {
    const have = tasks.get(task.id)
    if (!have || task.event_count >= have.task.event_count) keep(task)
  }

  async function change(id, verb) {
    const answer = await act(tasks.get(id).task, verb)
    if (answer) merge(answer)
    rows.get(id)?.done()
    paint()
  }

  async function look(id) {
    if (looks >= LOOKS) {
      soon ??= setTimeout(() => {
        soon = null
        load()
      }, 1000)
      return
    }
    looks++
    try {
      merge(await get(taskPath(id), null, signal))
      paint()
    } catch { /* it is gone, or the next event tells */ }
    looks--
  }

  function take(event) {
    const have = tasks.get(event.task_id)
    if (event.type === 'task.deleted') tasks.delete(event.task_id)
    else if (have) {
      const task = applyEvent(have.task, event)
      if (task !== have.task) keep(task)
    } else if (event.type === 'task.created') {
      const task = begun(event)
      if (fits({ ...task, status: filter().status })) keep(task)
    } else if (event.type === 'task.status_changed' && filter().status === event.payload.to) look(event.task_id)
  }

  // What is furthest back goes when more came than anybody asked for.
  function trim() {
    if (tasks.size <= wanted + KEPT) return
    for (const id of [...tasks.keys()].sort().slice(0, tasks.size - wanted)) tasks.delete(id)
    more = true
  }

  async function load() {
    if (waiting) {
      again = true
      return
    }
    waiting = []
    try {
      const found = new Map()
      let token = ''
      do {
        const page = await get('/tasks', { ...filter(), page_size: Math.min(200, wanted - found.size), page_token: token }, signal)
        for (const task of page.tasks) found.set(task.id, task)
        token = page.next_page_token
      } while (token && found.size < wanted)
      more = !!token
      for (const id of tasks.keys()) if (!found.has(id)) tasks.delete(id)
      for (const task of found.values()) merge(task)
      wrong = ''
    } catch (error) {
      if (signal.aborted) return
      wrong = reason(error)
      if (tasks.size) toast(wrong, 'error')
    }
    const came = waiting
    waiting = null
    for (const event of came) take(event)
    paint()
    if (!again) return
    again = false
    load()
  }

  listen(event => {
    if (event.type === 'stream.connected') return load()
    if (!event.task_id) return
    if (!waiting) take(event)
    else if (waiting.length < WAITING) waiting.push(event)
    else again = true
    trim()
    paint()
  }, signal)
  const timer = setInterval(() => {
    const now = Date.now()
    for (const [id, each] of rows) if (tasks.has(id)) each.tick(tasks.get(id).task, tasks.get(id).seen, now)
  }, 1000)
  signal.addEventListener('abort', () => {
    clearInterval(timer)
    clearTimeout(soon)
  })
  if (connected()) load()
  return { node: h('div', null, sheet, note, moreButton), reload: load, paint }
}

// ---- the page ----------------------------------------------------------------------------------------------------------

export function view({ parameters, signal, keep }) {
  const values = { status: parameters.get('status') ?? '', type: parameters.get('type') ?? '', q: parameters.get('q') ?? '' }

  const search = h('input', { type: 'search', placeholder: 'Search', 'aria-label': 'Search the tasks shown', 'aria-keyshortcuts': '/', value: values.q, input() {
    values.q = search.value.trim()
    keep(values)
    shown.paint()
  }, keydown(event) { // an id is found wherever it is
    if (event.key === 'Enter' && /^[\w-]{30,}$/.test(values.q)) location.hash = `#/task/${values.q}`
  } })
  const type = h('select', { 'aria-label': 'Type', change() {
    values.type = type.value
    changed()
  } }, h('option', { value: '' }, 'All types'))
  const states = ['', ...STATES].map(state => {
    const count = h('small')
    const node = h('button', { type: 'button', 'aria-pressed': String(values.status === state), click() {
      values.status = state
      press()
      changed()
    } }, state || 'all', count)
    return { state, count, node }
  })
  function press() {
    for (const { state, node } of states) node.setAttribute('aria-pressed', String(state === values.status))
  }
  function changed() {
    keep(values)
    shown.paint()
    shown.reload()
  }

  get('/types', null, signal).then(({ types }) => {
    const names = new Set([...types.map(each => each.type), values.type])
    names.delete('')
    type.append(...[...names].sort().map(name => h('option', { value: name, selected: name === values.type }, name)))
  }, () => {})
  function count() {
    const counted = stats.latest?.tasks
    for (const { state, count } of states) say(count, counted ? ` ${(state ? counted.by_status[state] : counted.total).toLocaleString()}` : '')
  }
  if (session.admin) count()
  stats.addEventListener('sample', count, { signal })

  const shown = list(() => ({ status: values.status, type: values.type }), () => values.q, signal, () => {
    Object.assign(values, { status: '', type: '', q: '' })
    search.value = type.value = ''
    search.focus()
    press()
    changed()
  })
  return {
    title: 'Tasks', search,
    node: h('div', null, charts(figures, signal),
      h('div.filters', null, search, type, h('div.choice', { role: 'group', 'aria-label': 'Status' }, states.map(each => each.node))),
      shown.node)
  }
}
