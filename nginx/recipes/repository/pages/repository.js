// Repositories, and one of them: its status, documents and log, read once from its tasks and then as they come, by one stream.
const ANALYSES = ['languages', 'todos', 'history']
const LINES = 2000

const $ = id => document.getElementById(id)
const api = '/api/repositories'
const path = encodeURIComponent
let open = null // {id, source}

async function ask(method, where, body, type) {
  const answer = await fetch(api + where, { method, body, headers: { Accept: 'application/json', ...type && { 'Content-Type': type } } })
  const said = await answer.json()
  if (!answer.ok) throw new Error(said.detail)
  return said
}

// Does it, and says what went wrong.
const attempt = f => async event => {
  event?.preventDefault()
  $('wrong').textContent = ''
  try {
    await f()
  } catch (error) {
    $('wrong').textContent = error.message
  }
}

const h = (name, text, attributes = {}) => {
  const node = document.createElement(name)
  node.textContent = text
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
  return node
}

// ---- one repository --------------------------------------------------------------------------------------------------

function status(word, error) {
  $('status').textContent = $('status').className = word
  $('error').textContent = error ?? ''
}

// Lines come by the hundred: they are added once a frame, and measured once.
let fresh = []
function line(text, level) {
  if (!fresh.length) requestAnimationFrame(flush)
  fresh.push(h('div', text, { class: level }))
  if (fresh.length > LINES) fresh.shift()
}

function flush() {
  const atEnd = $('log').scrollTop + $('log').clientHeight >= $('log').scrollHeight - 8
  $('log').append(...fresh)
  fresh = []
  while ($('log').childElementCount > LINES) $('log').firstChild.remove()
  if (atEnd) $('log').scrollTop = $('log').scrollHeight
}

// A document that was made again takes the place of the one before.
function listed(task, { name, title }) {
  const button = h('button', title, { type: 'button', 'data-name': name })
  button.onclick = attempt(async () => {
    const answer = await fetch(`${api}/docs/${task}/${path(name)}`)
    if (!answer.ok) throw new Error('This document is not there any more.')
    $('doc').hidden = false
    $('doc').textContent = await answer.text()
  })
  const item = h('li', '')
  item.append(button)
  const before = [...$('docs').children].find(each => each.firstChild.dataset.name === name)
  before ? before.replaceWith(item) : $('docs').append(item)
}

function hear({ type, task_id: task, payload }) {
  switch (type) {
    case 'stream.connected': return payload.snapshot && status(payload.snapshot.status, payload.snapshot.error_msg)
    case 'repo.status_changed': return status(payload.to, payload.error_msg)
    case 'doc.created': return listed(task, payload)
    case 'log.append': return line(payload.message, payload.level)
  }
}

// What its tasks have said so far, in the order of time.
async function past(id) {
  const { tasks } = await ask('GET', `/${path(id)}/tasks?page_size=50`)
  const told = await Promise.all(tasks.map(async task => {
    const events = []
    let page = { more: true, cursor: 'earliest' }
    for (; page.more; events.push(...page.events)) {
      page = await ask('GET', `/tasks/${task.id}/events?types=log.append,doc.created&limit=1000&last_event_id=${path(page.cursor)}`)
    }
    return events
  }))
  return told.flat().sort((a, b) => a.ts - b.ts)
}

// The stream first, then what was before it: an event that comes both ways counts once.
async function show(id) {
  open?.source.close()
  $('repository').hidden = false
  $('title').textContent = id
  status('') // until its stream says it
  $('docs').replaceChildren()
  $('log').replaceChildren()
  fresh = []
  $('doc').hidden = true
  const source = new EventSource(`${api}/${path(id)}/events`)
  const mine = open = { id, source }
  mark()
  const seen = new Set()
  let waiting = []
  const once = event => {
    if (event.id && seen.has(event.id)) return
    if (event.id) seen.add(event.id)
    hear(event)
  }
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data)
    if (event.type === 'stream.reset') show(id) // it was away for longer than is kept
    else if (waiting) event.type === 'stream.connected' ? hear(event) : waiting.push(event)
    else once(event)
  }
  const before = await past(id)
  if (open !== mine) return
  before.forEach(once)
  waiting.forEach(once)
  waiting = null
}

// Which of the list is open.
function mark() {
  for (const each of $('list').children) each.ariaCurrent = each.textContent === open?.id ? 'page' : null
}

// ---- what can be done ------------------------------------------------------------------------------------------------

async function list() {
  const { groups } = await ask('GET', '')
  $('list').replaceChildren(...groups.map(({ repo_id, id = repo_id }) => h('a', id, { href: `#${path(id)}` })))
  mark()
}

$('add').addEventListener('submit', attempt(async () => {
  const id = $('name').value.trim()
  await ask('POST', `/${path(id)}/clone`, $('url').value.trim(), 'text/plain')
  await list()
  location.hash = path(id)
}))

// one request for all of them: either each is made or none
$('analyze').addEventListener('click', attempt(() => ask('POST', '/analyze',
  ANALYSES.map(type => JSON.stringify({ type, group: open.id, unique: open.id })).join('\n'), 'application/x-ndjson')))

// what failed or was cancelled runs again
$('reset').addEventListener('click', attempt(() => ask('POST', `/${path(open.id)}/reset`)))

// it is cloned anew, whatever it is doing
$('force').addEventListener('click', attempt(async () => {
  const { tasks } = await ask('GET', `/${path(open.id)}/tasks?type=clone&page_size=1`)
  if (!tasks.length) throw new Error('It has never been cloned.')
  await ask('POST', `/tasks/${tasks[0].id}/reset`)
}))

const follow = () => location.hash && show(decodeURIComponent(location.hash.slice(1)))
addEventListener('hashchange', attempt(follow))
await attempt(list)()
if (!open) await attempt(follow)() // something may have been cloned meanwhile
