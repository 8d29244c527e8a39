// Groups: the list, and one with its tasks and its context.
import { ask, get, groupQuery, link, reason } from './api.js'
import { bar, button, confirm, failed, h, instead, put, say, status, table, time, toast } from './dom.js'
import { listen } from './live.js'
import { FINAL, STATES } from './model.js'
import { list as taskList } from './tasks.js'

const PAGE = 50

const counts = group => h('span.counts', null, STATES.filter(state => group.counts[state])
  .map(state => h(`span.${state}`, { title: `${group.counts[state]} ${state}` }, `${group.counts[state].toLocaleString()} ${state}`)))

function row(group) {
  return h('tr', null, h('td', null, status(group.status)),
    h('th', { scope: 'row' }, h('a.foreign', { href: link('group', { id: group.id, owner: group.owner }) }, group.id)),
    h('td.progress', null, h('div.row', null, bar(group.progress, `Progress of ${group.id}`), h('span.percent', null, `${Math.floor(group.progress)} %`))),
    h('td', null, counts(group)), h('td.when', null, group.updated_at && time(group.updated_at)))
}

export function list({ signal }) {
  const body = h('tbody')
  const note = h('p.empty', null, 'Loading…')
  const rows = table('cards', 'Groups, latest change first', ['Status', 'Group', 'Progress', 'Tasks', 'Changed'], body, { hidden: true })
  let token = ''
  let wanted = PAGE
  const moreButton = button('Load more', () => {
    wanted += PAGE
    load()
  }, { hidden: true })

  async function load() {
    try {
      const { groups, next_page_token: next } = await get('/groups', { page_size: Math.min(wanted, 200) }, signal)
      token = next
      put(body, groups.map(row))
      rows.hidden = !groups.length
      note.hidden = !!groups.length
      if (!groups.length) instead(note, 'No task has been put into a group yet.', h('a.button.primary', { href: '#/new?group=' }, 'New task in a group'))
      moreButton.hidden = !token || wanted >= 200
    } catch (error) {
      if (signal.aborted) return
      note.hidden = false
      failed(note, reason(error), load)
    }
  }
  refreshed(event => event.group_id, load, signal)
  return { title: 'Groups', node: h('div', null, rows, note, moreButton) }
}

// Calls load() now, and at most once in two seconds while such events come.
function refreshed(concerns, load, signal) {
  let timer = null
  listen(event => {
    if (timer || !(event.type === 'stream.connected' || concerns(event))) return
    timer = setTimeout(() => {
      timer = null
      load()
    }, 2000)
  }, signal)
  signal.addEventListener('abort', () => clearTimeout(timer))
  load()
}

export function one({ parameters, signal }) {
  const name = { id: parameters.get('id') ?? '', owner: parameters.get('owner') }
  const head = h('div.row')
  const numbers = h('p')
  const progress = bar(0, 'Progress of the group')
  const context = h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Context' })
  const contextCard = h('details.card', { hidden: true }, h('summary', null, h('h2', null, 'Context')), context)
  // A button for all tasks in these states, which are counted while it asks.
  let group = null
  const many = states => states.reduce((sum, state) => sum + (group?.counts[state] ?? 0), 0)
  const tasksIn = states => many(states) === 1 ? '1 task' : `${many(states).toLocaleString()} tasks`
  const all = (label, verb, states, detail, kind) => button(label, async () => {
    if (!await confirm(`${verb === 'retry' ? 'Retry' : 'Cancel'} ${tasksIn(states)} of ${name.id}?`, detail, label, kind)) return
    try {
      const done = await ask('POST', `/groups/-/${verb}`, { query: groupQuery(name) })
      toast(verb === 'retry' ? `Tasks that will run again: ${done.retried}.` : `Tasks cancelled: ${done.cancelled}; being stopped: ${done.cancel_requested}.`)
      load()
    } catch (error) {
      toast(reason(error), 'error')
    }
  }, { hidden: true })
  const unfinished = ['running', 'pending']
  const ended = FINAL.filter(state => state !== 'completed')
  const cancelAll = all('Cancel all', 'cancel', unfinished, 'What runs is stopped, what waits does not begin.')
  const retryAll = all('Retry failed', 'retry', ended, 'Those that failed, timed out or were cancelled run again.', 'primary')
  const buttons = h('div.row', null, cancelAll, retryAll,
    h('a.button', { href: link('new', { group: name.id }) }, 'New task here'))

  async function load() {
    try {
      group = await get('/groups/-', groupQuery(name), signal)
      cancelAll.hidden = !many(unfinished)
      retryAll.hidden = !many(ended)
      put(head, status(group.status), progress, h('span.percent', null, `${Math.floor(group.progress)} %`))
      progress.value = group.progress
      put(numbers, counts(group))
      contextCard.hidden = group.context == null
      say(context, JSON.stringify(group.context, null, 2))
    } catch (error) {
      if (!signal.aborted) put(head, h('p.wrong', null, reason(error)))
    }
  }
  const tasks = taskList(() => ({ group: name.id }), () => '', signal)
  refreshed(event => event.group_id === name.id, load, signal)
  return { title: `Group ${name.id}`, node: h('div', null, h('section.card.top', null, head, numbers, buttons), contextCard, tasks.node) }
}
