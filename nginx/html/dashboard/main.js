// The frame of the page: which view is shown, who is signed in, whether the stream stands.
import { client, identify, session, sign } from './api.js'
import { button, h, put, say } from './dom.js'
import * as groups from './groups.js'
import * as stats from './stats.js'
import * as submit from './submit.js'
import * as system from './system.js'
import * as task from './task.js'
import * as tasks from './tasks.js'
import * as types from './types.js'

const views = { tasks: tasks.view, task: task.view, groups: groups.list, group: groups.one, types: types.view, new: submit.view, system: system.view }
const places = [['tasks', 'Tasks'], ['groups', 'Groups'], ['types', 'Types'], ['system', 'System'], ['new', 'New task']]
const within = { task: 'tasks', group: 'groups' }

const $ = id => document.getElementById(id)
const main = $('main')
let current = null // {abort, search}

// ---- views -------------------------------------------------------------------------------------------------------------

function show(focus) {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [word, ...rest] = path.split('/')
  const name = Object.hasOwn(views, word) ? word : 'tasks'
  current?.abort.abort()
  const abort = new AbortController()
  for (const link of document.querySelectorAll('nav a')) {
    if (link.dataset.view === (within[name] ?? name)) link.setAttribute('aria-current', 'page')
    else link.removeAttribute('aria-current')
  }
  const heading = h('h1.foreign', { tabindex: -1 })
  function title(text) {
    say(heading, text)
    document.title = `${text} · Leat`
  }
  const view = session.refused ? { title: 'Sign in', node: h('p.empty', null, 'Sign in to see your tasks.') } : views[name]({
    argument: decodeURIComponent(rest.join('/')),
    parameters: new URLSearchParams(search),
    signal: abort.signal, title,
    // the filters of a view stand in its address, so that a reload and a link show the same
    keep: values => history.replaceState(null, '', `#/${name}?${new URLSearchParams(Object.entries(values).filter(([, value]) => value))}`)
  })
  current = { abort, search: view.search }
  title(view.title)
  put(main, heading, view.node)
  if (focus) heading.focus()
}

// ---- who ---------------------------------------------------------------------------------------------------------------

function signInDialog() {
  if (document.querySelector('dialog[open]')) return
  const token = h('input', { name: 'token', type: 'password', autocomplete: 'off', required: true, spellcheck: 'false' })
  const wrong = h('p.wrong', { role: 'alert' })
  const dialog = h('dialog', { 'aria-labelledby': 'sign-in', close: () => dialog.remove() },
    h('form', { method: 'dialog', async submit(event) {
      event.preventDefault()
      await sign(token.value.trim(), keep.checked)
      if (!session.refused) return dialog.close()
      await sign(null)
      say(wrong, 'This token is not known here, or it has ended.')
    } },
    h('h2', { id: 'sign-in' }, 'Sign in'),
    h('label', null, h('span', null, 'Token'), token, h('small', null, 'leat token add --owner NAME prints one')),
    h('label.check', null, h('input', { type: 'checkbox', name: 'keep' }), 'Stay signed in on this device'),
    wrong, h('div.row', null, h('button.primary', { type: 'submit' }, 'Sign in'), button('Close', () => dialog.close()))))
  const keep = dialog.querySelector('[name=keep]')
  document.body.append(dialog)
  dialog.showModal()
}

function who() {
  const account = $('account')
  account.hidden = !session.token && session.admin
  say(account, session.token ? 'Sign out' : 'Sign in')
}
$('account').addEventListener('click', () => session.token ? sign(null) : signInDialog())

// ---- the stream --------------------------------------------------------------------------------------------------------

const link = $('link')
function connection({ state, until }) {
  const words = { live: 'Live', polling: 'Live', connecting: 'Connecting…', waiting: until ? 'Reconnecting…' : 'Connecting…', paused: 'Paused' }[state] ?? ''
  say(link, words)
  link.className = state
}

// ---- the look ----------------------------------------------------------------------------------------------------------

const themes = ['system', 'light', 'dark']
function theme(name) {
  document.documentElement.dataset.theme = name
  say($('theme'), { system: '◐', light: '☀', dark: '☾' }[name])
  $('theme').setAttribute('aria-label', `Colours: ${name}`)
  $('theme').title = `Colours: ${name}`
  localStorage.setItem('leat-theme', name)
}
$('theme').addEventListener('click', () => theme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]))
theme(themes.includes(localStorage.getItem('leat-theme')) ? localStorage.getItem('leat-theme') : 'system')

// ---- keys --------------------------------------------------------------------------------------------------------------

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog')) return
  if (event.key === '/' && current?.search) {
    event.preventDefault()
    current.search.focus()
  } else if (event.key === 'n') location.hash = '#/new'
})

// ---- begin -------------------------------------------------------------------------------------------------------------

put(document.querySelector('nav'), places.map(([name, label]) => h('a', { href: `#/${name}`, 'data-view': name }, label)))
let reading = null
let leave = null
session.addEventListener('change', () => {
  reading?.abort()
  reading = new AbortController()
  leave?.()
  leave = client.connection.subscribe(connection)
  who()
  if (session.admin) stats.start(reading.signal)
  show(false)
  if (session.refused) signInDialog()
})
addEventListener('hashchange', () => show(true))
await identify()
