// Groups: the list, and one with its tasks and its context.
import { ask, get, groupQuery, link } from './api.js'
import { bar, button, confirm, h, put, say, status, table, time, toast } from './dom.js'
import { listen } from './live.js'
import { STATES } from './model.js'
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
      say(note, groups.length ? '' : 'No task has been put in a group yet.')
      moreButton.hidden = !token || wanted >= 200
    } catch (error) {
      if (!signal.aborted) say(note, error.message)
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
  const all = (label, verb, question) => button(label, async () => {
    if (!await confirm(question, label)) return
    try {
      const done = await ask('POST', `/groups/-/${verb}`, { query: groupQuery(name) })
      toast(verb === 'retry' ? `${done.retried} tasks will run again.` : `${done.cancelled} tasks were cancelled, ${done.cancel_requested} are being stopped.`)
      load()
    } catch (error) {
      toast(error.message, 'error')
    }
  })
  const buttons = h('div.row', null,
    all('Cancel all', 'cancel', 'Cancel all unfinished tasks of this group?'), all('Retry failed', 'retry', 'Run all failed and cancelled tasks of this group again?'),
    h('a.button', { href: link('new', { group: name.id }) }, 'New task here'))

  async function load() {
    try {
      const group = await get('/groups/-', groupQuery(name), signal)
      put(head, status(group.status), progress, h('span.percent', null, `${Math.floor(group.progress)} %`))
      progress.value = group.progress
      put(numbers, counts(group))
      contextCard.hidden = group.context == null
      say(context, JSON.stringify(group.context, null, 2))
    } catch (error) {
      if (!signal.aborted) put(head, h('p.wrong', null, error.message))
    }
  }
  const tasks = taskList(() => ({ group: name.id }), () => '', signal)
  refreshed(event => event.group_id === name.id, load, signal)
  return { title: `Group ${name.id}`, node: h('div', null, h('section.card.top', null, head, numbers, buttons), contextCard, tasks.node) }
}
