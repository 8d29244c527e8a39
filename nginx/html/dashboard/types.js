// Types of jobs: what they may do, and whether they are paused.
import { ask, get, link, reason, session } from './api.js'
import { busy, button, bytes, failed, h, instead, put, span, table, toast } from './dom.js'
import { stats } from './stats.js'

export function view({ signal }) {
  const body = h('tbody')
  const note = h('p.empty', null, 'Loading…')
  const rows = table('cards', 'Types of jobs', ['Type', 'State', 'Limits', session.admin && 'Tasks', ''].filter(name => name !== false), body, { hidden: true })

  async function turn(event, type, verb) {
    busy(event.currentTarget)
    try {
      await ask('POST', `/types/${encodeURIComponent(type)}/${verb}`)
      toast(verb === 'pause' ? `Nothing more of ${type} begins until it is resumed.` : `${type} goes on.`)
    } catch (error) {
      toast(reason(error), 'error')
    }
    load()
  }

  function row(each) {
    const { type, paused, broken } = each
    const counted = session.admin && stats.latest?.tasks.by_type[type]
    return h('tr', null, h('th', { scope: 'row' }, h('a', { href: link('tasks', { type }) }, type)),
      h('td', null, paused ? h('span.status.paused', null, 'paused') : broken ? h('span.status.failed', null, 'held back') : h('span.status.completed', null, 'ready'),
        broken && h('div.said.foreign.wrong', null, broken)),
      h('td.full', null, [`up to ${span(each.timeout)}`, each.max_attempts > 1 && `${each.max_attempts} attempts`, `input up to ${bytes(each.max_input_bytes)}`,
        each.serialize && 'one at a time in a group', each.get && 'by GET'].filter(Boolean).join(' · ')),
      session.admin && h('td.when.full', null, counted ? ['running', 'pending'].filter(state => counted[state]).map(state => `${counted[state]} ${state}`).join(', ') : ''),
      h('td.actions', null, session.admin && paused != null && (paused ? button('Resume', event => turn(event, type, 'resume'), { 'aria-label': `Resume ${type}` })
        : button('Pause', event => turn(event, type, 'pause'), { 'aria-label': `Pause ${type}` })),
      h('a.button', { href: link('new', { type }), 'aria-label': `New task of ${type}` }, 'New task')))
  }

  let types = []
  const paint = () => put(body, types.map(row))
  async function load() {
    try {
      types = (await get('/types', null, signal)).types
      rows.hidden = !types.length
      note.hidden = !!types.length
      instead(note, 'There is no job yet: put an executable into the jobs folder.')
      paint()
    } catch (error) {
      if (signal.aborted) return
      note.hidden = false
      failed(note, reason(error), load)
    }
  }
  load()
  return { title: 'Types', node: h('div', null, rows, note) }
}
