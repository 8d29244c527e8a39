// A conversation. Its name is in the address; what was said is loaded from there, and an answer that was on its way when
// the page was left is taken up again.
const TRIES = 3

const $ = id => document.getElementById(id)
const session = decodeURIComponent(location.hash.slice(1)) || crypto.randomUUID()
history.replaceState(null, '', `#${encodeURIComponent(session)}`)
const asked = `chat ${session}` // in the storage: {message, key} that has no answer yet

// ---- the client ------------------------------------------------------------------------------------------------------

// Asks once, however often it has to be said: the key tells that it is the same question. on: begin(), piece(text),
// answer(text), refused(error) for what asking again would not change, broken(error) for what it may.
function ask({ message, key }, on) {
  let failures = 0
  let source

  function open() {
    source = new EventSource(`/api/app/chat/stream?${new URLSearchParams({ session_id: session, message, key })}`)
    source.onmessage = ({ data }) => hear(JSON.parse(data))
    source.onerror = () => {
      source.close()
      if (failures++ < TRIES) setTimeout(open, 500 * failures)
      else on.broken('The connection was lost.')
    }
  }

  function hear(said) {
    switch (said.type) {
      case 'connected': // the answer is told from its beginning
        return on.begin()
      case 'status_update': // another attempt begins anew
        return said.status === 'running' && on.begin()
      case 'message.delta':
        failures = 0
        return on.piece(said.text)
      case 'completed':
        source.close()
        return on.answer(said.result)
      case 'failed':
        source.close()
        return said.retryable ? on.broken(said.error) : on.refused(said.error)
    }
  }
  open()
}

// ---- the page --------------------------------------------------------------------------------------------------------

const atEnd = () => scrollY + innerHeight >= document.documentElement.scrollHeight - 60
const toEnd = () => scrollTo(0, document.documentElement.scrollHeight)

function show(role, content) {
  const node = document.createElement('p')
  node.className = role
  node.textContent = content
  $('messages').append(node)
  toEnd()
  return node
}

function busy(is) {
  $('message').disabled = $('form').querySelector('button').disabled = is
  if (!is) $('message').focus()
}

function notice(text, again) {
  const stay = atEnd()
  $('notice').textContent = text
  if (!again) return
  const button = document.createElement('button')
  button.type = 'button'
  button.textContent = 'Try again'
  button.onclick = again
  $('notice').append(button)
  if (stay) toEnd() // it has grown
}

function turn(question) {
  localStorage.setItem(asked, JSON.stringify(question))
  show('user', question.message)
  const answer = show('assistant', '')
  notice('')
  busy(true)
  const end = () => {
    localStorage.removeItem(asked)
    busy(false)
  }
  ask(question, {
    begin: () => { answer.textContent = '' },
    piece: text => {
      const stay = atEnd() // who reads further up is left there
      answer.append(text)
      if (stay) toEnd()
    },
    answer: text => {
      const stay = atEnd()
      answer.textContent = text
      if (stay) toEnd()
      end()
    },
    refused: error => {
      answer.className = 'refused'
      answer.textContent = error
      toEnd()
      end()
    },
    broken: error => {
      busy(false)
      notice(error, () => {
        answer.previousSibling.remove()
        answer.remove()
        // what failed is asked anew; what only was not heard is the same question
        turn(error === 'The connection was lost.' ? question : { ...question, key: crypto.randomUUID() })
      })
    }
  })
}

// Nothing can be sent before it is loaded (index.html): it would stand there twice, and in front of what was before it.
async function load() {
  const { messages = [] } = await (await fetch(`/api/app/chat/history?${new URLSearchParams({ session_id: session })}`)).json() ?? {}
  for (const { role, content } of messages) show(role, content)
  const question = JSON.parse(localStorage.getItem(asked))
  if (!question) return busy(false)
  // it was answered while nobody looked
  if (messages.length > question.before) {
    localStorage.removeItem(asked)
    return busy(false)
  }
  turn(question)
}

$('form').addEventListener('submit', event => {
  event.preventDefault()
  const message = $('message').value.trim()
  $('message').value = ''
  if (message) turn({ message, key: crypto.randomUUID(), before: document.querySelectorAll('.user, .assistant').length })
})
$('message').addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey) return
  event.preventDefault()
  $('form').requestSubmit()
})
$('new').addEventListener('click', event => {
  event.preventDefault()
  location.hash = crypto.randomUUID()
})
addEventListener('hashchange', () => location.reload())
await load().catch(() => notice('The conversation could not be loaded.', () => location.reload()))
