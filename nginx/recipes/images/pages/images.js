// Uploads, and what became of them: a list that is loaded once, and one stream of messages that keeps it as it is.
const PAGE = 20
const PAGE_MAX = 200 // the longest that a server gives unless it is told otherwise
const KEPT = 500

const $ = id => document.getElementById(id)
const batches = new Map() // task_id: what row() makes; always the newest uploads, without a gap
const rows = [] // the same, newest first
let most = KEPT // how many there are at most: a page that is open for days does not grow; who asks for more gets more

// ---- the client ------------------------------------------------------------------------------------------------------

async function ask(method, path, body) {
  const answer = await fetch(path, { method, body, headers: { Accept: 'application/json' } })
  const said = await answer.json()
  began = answer.headers.get('Date') ?? began
  if (answer.status === 401) throw sign()
  if (!answer.ok) throw new Error(said.detail ?? answer.statusText)
  return said
}

// A message counts once, whichever way it came: by the stream, or by a sync.
const REMEMBERED = 10000
const seen = new Set()
let newest = null // {id, timestamp}
let began = null // the server's time when it last answered: the first stream tells what happened since
function hear(message) {
  if (message.type === 'sync_required') return load()
  if (seen.has(message.id)) return
  seen.add(message.id)
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value)
  newest = { id: message.id, timestamp: message.timestamp }
  update({ task_id: message.task_id, ...message.data })
}

let source = null
function listen() {
  source?.close()
  // where a stream was before, the new one goes on behind the last message
  const from = newest ? { last_event_id: newest.id } : { since: new Date(began).toISOString() }
  source = new EventSource(`/api/notifications?${new URLSearchParams(from)}`)
  source.onopen = () => state('Live')
  source.onmessage = ({ data }) => hear(JSON.parse(data))
  source.onerror = () => {
    state('Reconnecting…')
    // by itself it comes back and goes on; it is over when it was refused: who asks is no longer known
    if (source.readyState === EventSource.CLOSED) load().then(listen, () => setTimeout(() => $('sign').hidden && listen(), 2000))
  }
}

// All messages since a time, as pages.
async function sync(since) {
  let path = `/api/notifications/sync?since=${encodeURIComponent(since)}`
  for (let more = true; more;) {
    const page = await ask('GET', path)
    page.messages.forEach(hear)
    path = `/api/notifications/sync?since=${encodeURIComponent(since)}&last_event_id=${encodeURIComponent(page.cursor)}`
    more = page.more
  }
}

// ---- the page --------------------------------------------------------------------------------------------------------

const state = text => { $('state').textContent = text }
const complain = error => { $('wrong').textContent = error.message }
const h = (name, text, attributes = {}) => {
  const node = document.createElement(name)
  node.textContent = text
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
  return node
}

// Puts a row where it belongs. Those of uploads that come together come in any order.
function place(batch) {
  let at = 0
  for (let end = rows.length; at < end;) {
    const middle = (at + end) >> 1
    if (rows[middle].id > batch.id) at = middle + 1
    else end = middle
  }
  $('batches').insertBefore(batch.node, rows[at]?.node ?? null)
  rows.splice(at, 0, batch)
}

// A row is a copy of this one, made once: hundreds of messages may come at a time, and each changes little. What waits has no
// bar yet.
const blank = h('article', '')
blank.append(h('div', '', { class: 'head' }))
blank.firstChild.append(h('strong', ''), h('button', 'Cancel', { type: 'button' }))
const bar = h('progress', '', { max: 100, 'aria-label': 'Progress' })

function row(id) {
  const node = blank.cloneNode(true)
  const head = node.firstChild
  node.dataset.id = id
  const batch = { id, data: {}, node, head, word: head.firstChild, cancel: head.lastChild }
  batches.set(id, batch)
  place(batch)
  return batch
}

function dropOldest() {
  const { id, node } = rows.pop()
  batches.delete(id)
  node.remove()
}

function update(data) {
  const { task_id: id } = data
  // one of those that are not shown: it is loaded when somebody wants to see more
  if (!batches.has(id) && !$('more').hidden && rows.at(-1)?.id > id) return
  const batch = batches.get(id) ?? row(id)
  Object.assign(batch.data, data)
  draw(batch)
  if (rows.length > most) {
    dropOldest()
    $('more').hidden = false
  }
}

function draw(batch) {
  const { id, data, node, head, word, cancel } = batch
  const { status, progress, error_message: error, pictures = [], refused = [] } = data
  if (node.className !== status) {
    node.className = word.textContent = status
    cancel.hidden = status === 'completed' || status === 'failed'
    if (status === 'processing') word.after(batch.bar = bar.cloneNode())
    else batch.bar?.remove()
  }
  if (status === 'processing') batch.bar.value = progress
  const body = [...error ? [h('p', error, { class: 'wrong' })] : []]
  if (pictures.length) {
    const gallery = h('div', '', { class: 'gallery' })
    for (const { name, file, width, height } of pictures) {
      const figure = h('figure', '')
      figure.append(h('img', '', { src: `/api/images/${id}/${file}`, alt: name, width, height, loading: 'lazy' }), h('figcaption', name))
      gallery.append(figure)
    }
    body.push(gallery)
  }
  body.push(...refused.map(({ name, why }) => h('p', `${name}: ${why}`, { class: 'wrong' })))
  if (body.length || head.nextSibling) node.replaceChildren(head, ...body)
}

// Asks who it is; gives what there is to say of who it was.
function sign() {
  $('sign').hidden = false
  $('upload').hidden = true
  state('')
  $('token').focus()
  return new Error($('token').value && 'This token is not known, or it has ended.')
}

// A page of the list.
async function list(skip, limit) {
  const { tasks } = await ask('GET', `/api/images?skip=${skip}&limit=${limit}`)
  $('more').hidden = true // whatever it brings is shown
  for (const task of tasks) update(task)
  $('more').hidden = tasks.length < limit
  return tasks
}

// The newest uploads as they are now, and what happened since. Older ones may have changed too: they are loaded when somebody
// wants to see more.
async function load() {
  const since = newest?.timestamp
  const tasks = await list(0, Math.min(Math.max(PAGE, rows.length), PAGE_MAX))
  while (!$('more').hidden && rows.at(-1).id < tasks.at(-1).task_id) dropOldest()
  if (since) await sync(since)
  count()
}

async function count() {
  const answer = await fetch('/api/images/stats')
  if (answer.ok) $('stats').textContent = `${(await answer.json()).total_tasks} uploads so far`
}

async function upload(files) {
  const form = new FormData()
  for (const file of files) form.append('pictures', file)
  $('wrong').textContent = ''
  try {
    update(await ask('POST', '/api/images', form))
  } catch (error) {
    complain(error)
  }
  count()
}

$('pictures').addEventListener('change', () => {
  if ($('pictures').files.length) upload([...$('pictures').files])
  $('upload').reset()
})
addEventListener('dragover', event => event.preventDefault())
addEventListener('drop', event => {
  event.preventDefault()
  if (event.dataTransfer.files.length) upload([...event.dataTransfer.files])
})
$('more').addEventListener('click', async () => {
  most = Math.max(KEPT, rows.length + PAGE)
  await list(rows.length, PAGE).catch(complain)
})
$('batches').addEventListener('click', ({ target }) => {
  if (target.type === 'button') ask('POST', `/api/images/${target.closest('article').dataset.id}/cancel`).catch(complain)
})
$('sign').addEventListener('submit', async event => {
  event.preventDefault()
  document.cookie = `token=${encodeURIComponent($('token').value.trim())}; path=/api; SameSite=Strict`
  $('sign').hidden = true
  $('upload').hidden = false
  $('wrong').textContent = ''
  await begin()
})

async function begin() {
  try {
    await load()
    listen()
  } catch (error) {
    complain(error)
  }
}
await begin()
