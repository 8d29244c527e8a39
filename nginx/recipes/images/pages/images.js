// Uploads, and what became of them: a list that is loaded once, and one stream of messages that keeps it as it is.
const PAGE = 20

const $ = id => document.getElementById(id)
const batches = new Map() // task_id: what row() makes
let shown = 0 // that were loaded as pages

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
const h = (name, text, attributes = {}) => {
  const node = document.createElement(name)
  node.textContent = text
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
  return node
}

// Newest first; most are newer than all that are there.
function place(node) {
  const all = $('batches')
  let next = all.firstChild
  if (all.lastChild?.dataset.id > node.dataset.id) next = null
  while (next?.dataset.id > node.dataset.id) next = next.nextSibling
  all.insertBefore(node, next)
}

// A row is made once: hundreds of messages may come at a time, and each changes little.
function row(id) {
  const node = h('article', '', { 'data-id': id })
  const head = h('div', '', { class: 'head' })
  const word = h('strong', '')
  const bar = h('progress', '', { max: 100, 'aria-label': 'Progress' })
  const cancel = h('button', 'Cancel', { type: 'button' })
  cancel.onclick = () => ask('POST', `/api/images/${id}/cancel`).catch(error => { $('wrong').textContent = error.message })
  head.append(word, bar, cancel)
  node.append(head)
  place(node)
  return { data: {}, node, head, word, bar, cancel }
}

function update(data) {
  const { task_id: id } = data
  if (!batches.has(id)) batches.set(id, row(id))
  const batch = batches.get(id)
  Object.assign(batch.data, data)
  draw(batch)
}

function draw({ data, node, head, word, bar, cancel }) {
  const { task_id: id, status, progress, error_message: error, pictures = [], refused = [] } = data
  node.className = word.textContent = status
  bar.hidden = cancel.hidden = status === 'completed' || status === 'failed'
  bar.value = progress
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

// The newest uploads as they are now, and what happened since. Whatever was shown and changed meanwhile is among them.
async function load() {
  const since = newest?.timestamp
  const { tasks } = await ask('GET', `/api/images?skip=0&limit=${Math.max(PAGE, shown)}`)
  for (const task of tasks) update(task)
  shown = Math.max(shown, tasks.length)
  $('more').hidden = tasks.length < PAGE
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
    $('wrong').textContent = error.message
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
  const { tasks } = await ask('GET', `/api/images?skip=${shown}&limit=${PAGE}`)
  for (const task of tasks) update(task)
  shown += tasks.length
  $('more').hidden = tasks.length < PAGE
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
    $('wrong').textContent = error.message
  }
}
await begin()
