// The frame of the page: which view is shown, who is signed in, whether the stream stands.
import { client, hurry, identify, reason, session, signIn, signOut } from './api.js'
import { busy, button, h, put, say } from './dom.js'
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

// {name, argument, parameters} of the address; what it cannot mean is the list of tasks.
function place() {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [word, ...rest] = path.split('/')
  let argument = rest.join('/')
  try {
    argument = decodeURIComponent(argument)
  } catch { /* then it names nothing */ }
  return { name: Object.hasOwn(views, word) ? word : 'tasks', argument, parameters: new URLSearchParams(search) }
}

// What is shown instead while it is not known, or not allowed, what to show.
function without() {
  if (session.away) return { title: 'No connection', node: h('p.empty', { role: 'status' }, `${session.away} Trying again…`, button('Try now', hurry)) }
  return session.refused && { title: 'Sign in', node: h('p.empty', null, 'Sign in to see your tasks.', button('Sign in', signInDialog, { primary: true })) }
}

function show(focus) {
  const { name, argument, parameters } = place()
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
  const view = without() || views[name]({
    argument, parameters, signal: abort.signal, title,
    // the filters of a view stand in its address, so that a reload and a link show the same
    keep: values => history.replaceState(null, '', `#/${name}?${new URLSearchParams(Object.entries(values).filter(([, value]) => value))}`)
  })
  current = { abort, search: view.search }
  title(view.title)
  const inside = main.contains(document.activeElement)
  put(main, heading, view.node)
  if (focus || inside) heading.focus()
}

// ---- who ---------------------------------------------------------------------------------------------------------------

const ENDED = 'You are signed out: your token has expired or was revoked.'

function signInDialog() {
  if (document.getElementById('sign-in')) return
  for (const other of document.querySelectorAll('dialog[open]')) other.close('no')
  const token = h('input', { name: 'token', type: 'password', autocomplete: 'off', required: true, spellcheck: 'false', 'aria-describedby': 'hint refusal' })
  const wrong = h('p.wrong', { id: 'refusal', role: 'alert' })
  const stay = h('input', { type: 'checkbox', name: 'keep' })
  const go = h('button.primary', { type: 'submit' }, 'Sign in')
  const dialog = h('dialog', { 'aria-labelledby': 'sign-in', 'aria-describedby': session.ended && 'ended', close: () => dialog.remove() },
    h('form', { method: 'dialog', async submit(event) {
      event.preventDefault()
      if (go.ariaDisabled) return
      busy(go)
      say(wrong, '')
      try {
        await signIn(token.value.trim(), stay.checked)
        dialog.close()
        main.querySelector('h1').focus()
      } catch (error) {
        say(wrong, reason(error))
        token.ariaInvalid = 'true'
        token.select()
      }
      busy(go, false)
    } },
    h('h2', { id: 'sign-in' }, 'Sign in'),
    session.ended && h('p', { id: 'ended' }, ENDED),
    h('label', null, h('span', null, 'Token'), token),
    h('small', { id: 'hint' }, 'On the server, ', h('code', null, 'leat token add --owner NAME'), ' prints one.'),
    h('label.check', null, stay, 'Stay signed in on this device'),
    wrong, h('div.row', null, button('Cancel', () => dialog.close()), go)))
  document.body.append(dialog)
  dialog.showModal()
  token.focus()
}

function who() {
  const account = $('account')
  account.hidden = !session.token && (session.admin || !!session.away)
  say(account, session.token ? 'Sign out' : 'Sign in')
}
$('account').addEventListener('click', () => session.token ? signOut() : signInDialog())

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

document.querySelector('.skip').addEventListener('click', event => {
  event.preventDefault() // the address says which view it is
  main.querySelector('h1').focus()
})
put(document.querySelector('nav'), places.map(([name, label]) => h('a', { href: `#/${name}`, 'data-view': name }, label)))
let reading = null
let leave = null
session.addEventListener('change', () => {
  reading?.abort()
  reading = new AbortController()
  leave?.()
  leave = client.connection.subscribe(connection)
  who()
  if (session.admin && !session.away) stats.start(reading.signal)
  show(false)
  if (!session.away && (session.refused || session.ended)) signInDialog()
})
addEventListener('hashchange', () => show(true))
const { name } = place()
put(main, h('h1', { tabindex: -1 }, Object.fromEntries(places)[name] ?? 'Leat'), h('p.empty', null, 'Loading…'))
await identify()
