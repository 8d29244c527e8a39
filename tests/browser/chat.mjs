// The chat: every message is answered once, whatever happens to the page, the network and the server.
import assert from 'node:assert/strict'
import { writeFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { after, afterEach, before, test } from 'node:test'
import { barriers, launch, newPage, tenLines, wire } from './page.mjs'
import { Server, quiet, until } from './server.mjs'

const chat = new Server('CHAT')
const CONF = `${process.env.CHAT_JOBS}/chat.env`

let browser
const closing = [] // what a test leaves open
before(async () => { browser = await launch() })
after(() => browser?.close())
afterEach(async () => {
  rmSync(CONF, { force: true })
  for (const each of closing.splice(0)) await each.close()
})

async function visit(session, url = chat.url) {
  const page = await newPage(browser, closing)
  await page.goto(`${url}/#${encodeURIComponent(session)}`)
  return page
}

const shown = page => page.locator('#messages p').evaluateAll(all => all.map(node => [node.className, node.textContent]))
const shows = (page, expected) => until(async () => JSON.stringify(await shown(page)) === JSON.stringify(expected), 60, JSON.stringify(expected))
  .catch(async error => assert.deepEqual(await shown(page), expected, error.message))
const answered = page => until(async () => !await page.getByLabel('Message').isDisabled(), 60, 'the answer is complete')
const send = async (page, message) => {
  await page.getByLabel('Message').fill(message)
  await page.getByLabel('Message').press('Enter')
}
const group = session => `group=${encodeURIComponent(session)}`
const tasks = async session => (await chat.ask('GET', `/api/tasks?${group(session)}`)).tasks
const history = async session => (await chat.ask('GET', `/api/groups/-/context?${group(session)}`))?.messages
  .map(({ role, content }) => [role, content]) ?? []

// A model: an endpoint that streams. reply(n) gives what the n-th request gets: {status, error} or {pieces, cut}, where each piece
// waits for `gate`. `asked` has the messages of each request.
async function model(reply) {
  const asked = []
  let gates = []
  const server = createServer(async (request, answer) => {
    let text = ''
    for await (const chunk of request) text += chunk
    asked.push(JSON.parse(text).messages.map(message => message.content))
    const { status = 200, error, pieces = [], cut } = reply(asked.length)
    answer.writeHead(status, { 'Content-Type': error ? 'application/json' : 'text/event-stream' })
    if (error) return answer.end(JSON.stringify({ error: { message: error } }))
    for (const [i, content] of pieces.entries()) {
      await gates[i]?.promise
      answer.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`)
    }
    cut ? answer.socket.destroy() : answer.end('data: [DONE]\n\n')
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  closing.push({ close: () => server.closeAllConnections() ?? server.close() })
  writeFileSync(CONF, `OPENAI_BASE_URL=http://127.0.0.1:${server.address().port}/v1\nOPENAI_API_KEY=secret\n`)
  return {
    asked,
    hold(count) {
      gates = Array.from({ length: count }, () => {
        const gate = {}
        gate.promise = new Promise(open => { gate.open = open })
        return gate
      })
    },
    pass: i => gates[i].open()
  }
}

test('a message is answered word by word, and the conversation is there after a reload', async () => {
  const page = await visit('first')
  await page.evaluate(() => {
    window.seen = new Set()
    new MutationObserver(() => window.seen.add(document.querySelector('.assistant')?.textContent)).observe(document, { subtree: true, childList: true, characterData: true })
  })
  await send(page, 'Good <b>day</b>.')
  const turn = [['user', 'Good <b>day</b>.'], ['assistant', 'You said: Good <b>day</b>. This is turn 1 of our conversation.']]
  await shows(page, turn)
  assert.ok(await page.evaluate(() => window.seen.has('You said:') && window.seen.has('You said: Good')), 'piece by piece')
  await page.reload()
  await shows(page, turn)
  await answered(page)
  await send(page, 'Good <b>day</b>.') // the same words again are another message
  const second = [['user', 'Good <b>day</b>.'], ['assistant', 'You said: Good <b>day</b>. This is turn 2 of our conversation.']]
  await shows(page, [...turn, ...second])
  await answered(page)
  assert.deepEqual(await history('first'), [...turn, ...second])
  assert.equal((await tasks('first')).length, 2)
  assert.deepEqual(await barriers(page), [])
  assert.deepEqual(page.wrong, [])
})

test('the client that there was before, exactly: three of it at once, again and again, are answered once', async () => {
  const llm = await model(() => ({ pieces: ['Once', ' only', '.'] }))
  llm.hold(3)
  const page = await visit('legacy')
  const heard = page.evaluate(() => Promise.all([1, 2, 3].map(() => new Promise(resolve => {
    let tries = 0
    let text = ''
    const open = () => {
      const source = new EventSource('/api/app/chat/stream?session_id=legacy&message=How%20often%3F')
      source.onerror = () => {
        source.close()
        tries++ < 3 ? setTimeout(open, 200) : resolve('lost')
      }
      source.onmessage = ({ data }) => {
        const said = JSON.parse(data)
        if (said.type === 'connected') text = ''
        if (said.type === 'message.delta') text += said.text
        if (said.type === 'completed') {
          source.close()
          resolve(`${text} = ${said.result}`)
        }
      }
    }
    open()
  }))))
  llm.pass(0)
  await until(() => llm.asked.length)
  await chat.killWeb()
  llm.pass(1)
  llm.pass(2)
  assert.deepEqual(await heard, Array(3).fill('Once only. = Once only.'))
  const again = await fetch(`${chat.url}/api/app/chat/stream?session_id=legacy&message=How%20often%3F`, { headers: { Accept: 'text/event-stream' } })
  assert.match(await again.text(), /"type":"completed","result":"Once only\."/)
  assert.deepEqual(llm.asked, [['How often?']])
  assert.equal((await tasks('legacy')).length, 1)
})

test('a page that is left in the middle of an answer takes it up again, and one that comes back later finds it, whatever became of the server', async () => {
  const llm = await model(n => ({ pieces: n === 1 ? ['It', ' goes', ' on'] : ['Later'] }))
  llm.hold(3)
  const page = await visit('left')
  await send(page, 'Does it?')
  llm.pass(0)
  await shows(page, [['user', 'Does it?'], ['assistant', 'It']])
  await page.reload()
  await shows(page, [['user', 'Does it?'], ['assistant', 'It']])
  llm.pass(1)
  await shows(page, [['user', 'Does it?'], ['assistant', 'It goes']])
  llm.pass(2)
  await shows(page, [['user', 'Does it?'], ['assistant', 'It goes on']])
  await answered(page)
  assert.deepEqual(llm.asked, [['Does it?']])

  llm.hold(1)
  await send(page, 'And alone?')
  await until(() => llm.asked.length === 2)
  await page.goto('about:blank')
  await chat.restart()
  llm.pass(0)
  await until(async () => (await tasks('left')).every(task => task.status === 'completed'))
  await page.goto(`${chat.url}/#left`)
  const all = [['user', 'Does it?'], ['assistant', 'It goes on'], ['user', 'And alone?'], ['assistant', 'Later']]
  await shows(page, all)
  await answered(page)
  assert.deepEqual(await history('left'), all)
  assert.deepEqual(llm.asked, [['Does it?'], ['Does it?', 'It goes on', 'And alone?']])
  const before = page.asked.length
  await quiet()
  assert.deepEqual(page.asked.slice(before), [], 'a page that waits for nobody asks nothing')
})

test('nothing is sent before the conversation is there', async () => {
  const llm = await model(() => ({ pieces: ['Yes.'] }))
  const page = await visit('early')
  let load
  const held = new Promise(resolve => { load = resolve })
  const asked = new Promise(resolve => page.route('**/history*', async route => {
    resolve()
    await held
    await route.continue()
  }))
  await page.reload()
  const sent = send(page, 'Ready?')
  await asked
  assert.ok(await page.getByLabel('Message').isDisabled())
  load()
  await sent
  await shows(page, [['user', 'Ready?'], ['assistant', 'Yes.']])
  await answered(page)
  assert.deepEqual([llm.asked.length, (await tasks('early')).length], [1, 1])
})

test('a network that is cut, and a server that dies, cost no word', async () => {
  const llm = await model(() => ({ pieces: ['a', 'b', 'c', 'd'] }))
  llm.hold(4)
  const way = await wire(chat.url)
  closing.push(way)
  const page = await visit('cut', way.url)
  await send(page, 'Spell')
  llm.pass(0)
  await shows(page, [['user', 'Spell'], ['assistant', 'a']])
  way.cut()
  llm.pass(1)
  way.mend()
  await shows(page, [['user', 'Spell'], ['assistant', 'ab']])
  await chat.killWeb()
  llm.pass(2)
  await shows(page, [['user', 'Spell'], ['assistant', 'abc']])
  way.cut()
  await page.getByText('The connection was lost.').waitFor()
  llm.pass(3)
  await until(async () => (await tasks('cut'))[0].status === 'completed')
  way.mend()
  await page.getByRole('button', { name: 'Try again' }).click()
  await shows(page, [['user', 'Spell'], ['assistant', 'abcd']])
  await answered(page)
  assert.deepEqual([llm.asked.length, (await tasks('cut')).length], [1, 1])
})

test('what the model refuses is said and not asked again; what may mend itself is tried again', async () => {
  const replies = [
    { status: 400, error: 'Not about <i>that</i>.' },
    { status: 503, error: 'busy' },
    { pieces: ['half an'], cut: true },
    { pieces: ['whole', ' answer'] }
  ]
  const llm = await model(n => replies[n - 1])
  const page = await visit('errors')
  await send(page, 'Forbidden')
  await shows(page, [['user', 'Forbidden'], ['refused', 'Not about <i>that</i>.']])
  assert.equal(llm.asked.length, 1)
  assert.deepEqual(await history('errors'), [])
  await send(page, 'Allowed')
  await shows(page, [['user', 'Forbidden'], ['refused', 'Not about <i>that</i>.'], ['user', 'Allowed'], ['assistant', 'whole answer']])
  await answered(page)
  assert.deepEqual(llm.asked.slice(1), Array(3).fill(['Allowed']))
  assert.deepEqual((await tasks('errors')).map(task => [task.status, task.attempt]), [['completed', 3], ['failed', 1]])
})

test('the ten lines that replace a poll loop do', async () => {
  const page = await visit('unused')
  const said = await page.evaluate(`new Promise(resolve => {
    const session_id = 'ten lines', message = 'one two three', answer = {}
    const show = (error, retryable) => resolve(['failed', error, retryable])
    let tries = 0
    function again() {
      ${tenLines('chat')}
      const { onmessage } = source
      source.onmessage = event => {
        onmessage(event)
        if (source.readyState === EventSource.CLOSED) resolve(answer.textContent)
      }
    }
    again()
  })`)
  assert.deepEqual(await history('ten lines'), [['user', 'one two three'], ['assistant', said]])
  assert.equal((await tasks('ten lines')).length, 1)
})
