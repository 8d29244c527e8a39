// The generator: work that outlives every request of a page.
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { barriers, launch, newPage, tenLines, wire } from './page.mjs'
import { Server, quiet, until } from './server.mjs'

const site = new Server('GENERATE')
const closing = [] // what a test leaves open

let browser
before(async () => { browser = await launch() })
after(() => browser?.close())
afterEach(async () => {
  for (const each of closing.splice(0)) await each.close()
})

// A page that has seen nothing yet; what it asks for is in `asked`, what its streams say in messages().
async function visit({ url = site.url, seconds = 3 } = {}) {
  const page = await newPage(browser, closing)
  await page.addInitScript(() => {
    window.heard = []
    window.EventSource = class extends EventSource {
      constructor(url) {
        super(url)
        this.addEventListener('message', ({ data }) => window.heard.push(JSON.parse(data)))
      }
    }
  })
  await page.goto(`${url}/?seconds=${seconds}`)
  page.messages = () => page.evaluate(() => window.heard)
  return page
}

async function generate(page, prompt, token = site.token) {
  await page.getByLabel('Token').fill(token)
  await page.getByLabel('What shall it be about?').fill(prompt)
  await page.getByRole('button', { name: 'Generate' }).click()
}
const id = page => until(() => new URL(page.url()).hash.slice(1))
const polls = page => page.asked.filter(line => /^GET .*generate-async\/[^/]+$/.test(line)).length
const streams = page => page.asked.filter(line => line.endsWith('/stream')).length
// the page shows what the API has
async function done(page) {
  await page.locator('pre').first().waitFor()
  const task = await site.alice('GET', `/api/tasks/${await id(page)}`)
  assert.equal(task.status, 'completed')
  assert.deepEqual(await page.locator('pre').allTextContents(), task.result.files.map(file => file.content))
  assert.deepEqual(page.wrong, [])
  return task
}

test('nobody comes in without a token; with one the page follows by streams alone, however often they end', async () => {
  const page = await visit({ seconds: 5 })
  await generate(page, 'x', 'wrong')
  await page.getByText('This token is not known.').waitFor()
  assert.deepEqual(await barriers(page), [])
  await generate(page, 'Ducks <b>&</b> geese')
  await done(page)
  assert.match(await page.locator('pre').first().textContent(), /<h1>Ducks &lt;b&gt;&amp;&lt;\/b&gt; geese<\/h1>/)
  const messages = await page.messages()
  const types = new Set(messages.map(message => message.type))
  for (const type of ['connected', 'status_update', 'progress_update', 'completed']) assert.ok(types.has(type), type)
  assert.ok(streams(page) > 2, `${streams(page)} streams`)
  assert.equal(polls(page), 0)
  const told = messages.filter(message => message.type === 'progress_update').map(message => message.progress)
  assert.deepEqual(told, [...new Set(told)].sort((a, b) => a - b), 'nothing twice, nothing out of order')
  const task = await site.alice('GET', `/api/tasks/${await id(page)}`)
  const { events } = await site.ask('GET', `/api/tasks/${task.id}/events?limit=500`, undefined, { Authorization: `Bearer ${site.token}`, Accept: 'application/json' })
  assert.deepEqual(told, events.filter(event => event.type === 'task.progress').map(event => event.payload.percent), 'nothing lost')
  const before = page.asked.length
  await quiet()
  assert.deepEqual(page.asked.slice(before), [], 'then it asks nothing more')
  assert.deepEqual(await barriers(page), [])
})

test('a server that cuts every connection again and again changes nothing, and one that is restarted is waited for', async () => {
  const way = await wire(site.url)
  const tearing = setInterval(() => way.tear(), 900)
  closing.push(way, { close: () => clearInterval(tearing) })
  const page = await visit({ url: way.url, seconds: 5 })
  await generate(page, 'Cut')
  await until(async () => (await page.messages()).some(message => message.progress > 20))
  assert.equal(polls(page), 0)
  await site.restart() // how often it is asked for meanwhile, and so whether it is polled, is a matter of time
  await done(page)
})

test('a reload in the middle goes on with the same task', async () => {
  const page = await visit()
  await generate(page, 'Again')
  const before = await id(page)
  await until(async () => (await page.messages()).some(message => message.progress > 20))
  await page.reload()
  await done(page)
  assert.equal(await id(page), before)
  assert.equal(page.asked.filter(line => line.startsWith('POST')).length, 1)
})

test('where no stream comes through it is polled', async () => {
  const page = await visit({ seconds: 1 })
  await page.route('**/stream', route => route.abort())
  await generate(page, 'Polled')
  await done(page)
  assert.ok(polls(page) > 0)
  assert.deepEqual(await page.messages(), [])
})

for (const way of ['stream', 'polling']) {
  test(`of two that are asked for one after the other, the page shows the last (${way})`, async () => {
    const page = await visit({ seconds: 1 })
    if (way === 'polling') await page.route('**/stream', route => route.abort())
    await page.evaluate(() => {
      window.titles = new Set()
      new MutationObserver(() => document.querySelectorAll('pre').forEach(pre => window.titles.add(pre.textContent.match(/<h1>(.*)<.h1>/)?.[1])))
        .observe(document.getElementById('files'), { childList: true })
    })
    await generate(page, 'First')
    const first = await id(page)
    await generate(page, 'Last')
    await until(async () => await id(page) !== first)
    await until(async () => (await site.alice('GET', `/api/tasks/${first}`)).status === 'completed', 60)
    await done(page)
    assert.deepEqual(await page.evaluate(() => [...window.titles].filter(Boolean)), ['Last'])
  })
}

test('a failure is told in the words of the job', async () => {
  const page = await visit()
  await page.route('**/api/generate-async', route => route.continue({ postData: '["no prompt"]' }))
  await generate(page, 'x')
  await page.getByText('The request is no {"prompt": "..."}.').waitFor()
  const [failed] = (await page.messages()).filter(message => message.type === 'failed')
  assert.deepEqual([failed.code, failed.retryable], ['exit_status', false])
})

test('the ten lines that replace a poll loop do', async () => {
  const page = await visit()
  const { said, values, polled } = await page.evaluate(`new Promise(resolve => {
    document.cookie = 'token=${site.token}; path=/api/generate-async; SameSite=Strict'
    const headers = { Authorization: 'Bearer ${site.token}', 'Content-Type': 'application/json' }
    const prompt = 'Ducks', values = [], polled = []
    const bar = { set value(n) { values.push(n) } }
    const poll = id => polled.push(id)
    const end = said => resolve({ said, values, polled })
    void (async () => {
      ${tenLines('generate')}
    })()
  })`)
  assert.deepEqual([said.type, polled], ['completed', []])
  assert.match(said.result.files[0].content, /Ducks/)
  assert.ok(values.length > 3 && values.every((value, i) => !i || value > values[i - 1]), `${values}`)
})
