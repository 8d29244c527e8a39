// Asks for a page to be generated and follows that: by a stream, which goes on where it ended, and by polling where no
// stream comes through. The task is in the address, so that a reload goes on with it.
const POLL = 2000 // ms
const FAILURES = 3 // of the stream in a row, after which it is polled

const $ = id => document.getElementById(id)
const api = '/api/generate-async'

// ---- the client ------------------------------------------------------------------------------------------------------

// An EventSource sends no header: there the token goes as a cookie for these paths alone.
function signIn(token) {
  sessionStorage.token = token
  document.cookie = `token=${encodeURIComponent(token)}; path=${api}; SameSite=Strict`
}
const headers = () => ({ Authorization: `Bearer ${sessionStorage.token}`, 'Content-Type': 'application/json' })

async function ask(method, path, body) {
  const answer = await fetch(api + path, { method, headers: headers(), body: body && JSON.stringify(body) })
  const said = await answer.json()
  if (!answer.ok) throw new Error(answer.status === 401 ? 'This token is not known.' : said.detail ?? said.error)
  return said
}

// on: {status, progress, waiting, completed, failed}(message). Nothing more is said once `left` is aborted.
function follow(id, on, left) {
  let failures = 0
  const source = new EventSource(`${api}/${id}/stream`)
  left.addEventListener('abort', () => source.close())
  source.onmessage = ({ data }) => {
    const said = JSON.parse(data)
    failures = 0
    switch (said.type) {
      case 'connected': return
      case 'status_update': return on.status(said)
      case 'progress_update': return on.progress(said)
      case 'completed':
      case 'failed':
        source.close()
        return on[said.type](said)
    }
  }
  // it comes back by itself and goes on with what follows, unless it was refused
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED && ++failures < FAILURES) return
    source.close()
    poll(id, on, left)
  }
}

async function poll(id, on, left) {
  if (left.aborted) return
  try {
    const said = await ask('GET', `/${id}`)
    if (left.aborted) return
    if (said.status === 'completed' || said.status === 'failed') return on[said.status](said)
    on.progress(said)
  } catch (error) {
    if (!left.aborted) on.waiting(error.message)
  }
  setTimeout(poll, POLL, id, on, left)
}

// ---- the page --------------------------------------------------------------------------------------------------------

function progress({ progress, message }) {
  $('progress').value = progress
  $('percent').textContent = `${Math.floor(progress)} %`
  $('said').textContent = message ?? ''
}

function show({ files }) {
  $('files').replaceChildren(...files.flatMap(({ name, content }) => {
    const title = document.createElement('h2')
    const code = document.createElement('pre')
    title.textContent = name
    code.textContent = content
    return [title, code]
  }))
}

let followed = new AbortController()
function begin(id) {
  followed.abort()
  followed = new AbortController()
  location.hash = id
  $('work').hidden = false
  $('wrong').textContent = ''
  $('files').replaceChildren()
  progress({ progress: 0, message: '' })
  follow(id, {
    status: said => progress(said),
    progress,
    waiting: message => { $('said').textContent = message },
    completed({ result }) {
      progress({ progress: 100, message: 'Done' })
      show(result)
    },
    failed({ error }) {
      $('work').hidden = true
      $('wrong').textContent = error
    }
  }, followed.signal)
}

$('ask').addEventListener('submit', async event => {
  event.preventDefault()
  signIn($('token').value.trim())
  try {
    const seconds = Number(new URLSearchParams(location.search).get('seconds')) || undefined
    begin((await ask('POST', '', { prompt: $('prompt').value.trim(), seconds })).taskId)
  } catch (error) {
    $('wrong').textContent = error.message
  }
})
if (sessionStorage.token) $('token').value = sessionStorage.token
if (location.hash && sessionStorage.token) begin(location.hash.slice(1))
