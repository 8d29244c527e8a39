// Types of jobs: what they may do, and whether they are paused.
import { ask, get, link, session } from './api.js'
import { button, bytes, h, put, say, span, table, toast } from './dom.js'
import { stats } from './stats.js'

export function view({ signal }) {
  const body = h('tbody')
  const note = h('p.empty', null, 'Loading…')
  const rows = table('cards', 'Types of jobs', ['Type', 'State', 'Limits', 'Tasks', ''], body, { hidden: true })

  async function turn(type, verb) {
    try {
      await ask('POST', `/types/${encodeURIComponent(type)}/${verb}`)
      toast(verb === 'pause' ? `Nothing more of ${type} begins until it is resumed.` : `${type} goes on.`)
    } catch (error) {
      toast(error.message, 'error')
    }
    load()
  }

  function row(each) {
    const { type, paused, broken } = each
    const counted = session.admin && stats.latest?.tasks.by_type[type]
    return h('tr', null, h('th', { scope: 'row' }, h('a', { href: link('tasks', { type }) }, type)),
      h('td', null, paused ? h('span.status.paused', null, 'paused') : broken ? h('span.status.failed', null, 'held back') : h('span.status.completed', null, 'ready'),
        broken && h('div.said.foreign.wrong', null, broken)),
      h('td.full', null, [`${span(each.timeout)} each`, each.max_attempts > 1 && `${each.max_attempts} attempts`, `${bytes(each.max_input_bytes)} of input`,
        each.serialize && 'one at a time in a group', each.get && 'by GET'].filter(Boolean).join(' · ')),
      h('td.when.full', null, counted ? ['running', 'pending'].filter(state => counted[state]).map(state => `${counted[state]} ${state}`).join(', ') : ''),
      h('td.actions', null, session.admin && paused != null && (paused ? button('Resume', () => turn(type, 'resume'), { 'aria-label': `Resume ${type}` })
        : button('Pause', () => turn(type, 'pause'), { 'aria-label': `Pause ${type}` })),
      h('a.button', { href: link('new', { type }), 'aria-label': `New task of ${type}` }, 'New task')))
  }

  let types = []
  const paint = () => put(body, types.map(row))
  async function load() {
    try {
      types = (await get('/types', null, signal)).types
      rows.hidden = !types.length
      say(note, types.length ? '' : 'There is no job yet: put an executable into the jobs folder.')
      paint()
    } catch (error) {
      if (!signal.aborted) say(note, error.message)
    }
  }
  load()
  return { title: 'Types', node: h('div', null, rows, note) }
}
