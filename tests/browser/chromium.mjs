// The EventSource of a real browser, in pages of the site itself and of other origins.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { launch } from './page.mjs'
import { RUN, GROUP, TASK, assertIds, assertWhole, calm, ends, finished, quiet, restless, resumed, until } from './server.mjs'

const CLOSED = 2
const LISTED = `http://localhost:${process.env.LISTED}`
const FOREIGN = `http://localhost:${process.env.FOREIGN}`

// Other origins: pages with nothing in them.
const others = [process.env.LISTED, process.env.FOREIGN].map(port => {
  const server = createServer((request, answer) => {
    answer.setHeader('Content-Type', 'text/html')
    answer.end('<!doctype html><title>page</title>')
  })
  server.listen(Number(port), '127.0.0.1')
  return server
})

let browser
before(async () => {
  browser = await launch()
})
after(async () => {
  await browser?.close()
  for (const server of others) server.close()
})

// A page at this URL with nothing of an earlier one.
async function visit(url) {
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(url)
  page.leave = () => context.close()
  return page
}

// Opens an EventSource in the page: {seen(), state(), closed(), close()}.
async function open(page, url, options) {
  const key = await page.evaluate(([url, options]) => {
    window.watched ??= []
    const w = { source: new EventSource(url, options), seen: [], opened: 0 }
    w.source.onopen = () => w.opened++
    w.source.onmessage = e => w.seen.push([e.lastEventId, JSON.parse(e.data)])
    return window.watched.push(w) - 1
  }, [url, options])
  const get = expression => page.evaluate(([key, expression]) => {
    const w = window.watched[key]
    return { seen: w.seen, state: w.source.readyState, opened: w.opened }[expression]
  }, [key, expression])
  return {
    seen: () => get('seen'),
    state: () => get('state'),
    opened: () => get('opened'),
    close: () => page.evaluate(key => window.watched[key].source.close(), key),
    closed: (seconds = 30) => until(async () => await get('state') === CLOSED, seconds, 'it stops by itself')
  }
}

for (const [where, origin] of [['a page of the site', ''], ['a page of an allowed origin', LISTED]]) {
  test(`${where}: follows a task to its end and stops by 204`, async () => {
    const page = await visit(origin || calm.url)
    const asked = calm.watch(TASK)
    const task = await calm.gated()
    const w = await open(page, `${calm.url}/api/tasks/${task.id}/events`)
    await until(async () => (await w.seen()).some(([, e]) => e.type === 'tell.it'))
    assert.equal(await w.state(), 1)
    task.open()
    await w.closed()
    await quiet()
    const seen = await w.seen()
    assertWhole(seen, task.id, 2)
    assertIds(seen)
    assert.deepEqual(ends(seen), ['finished'])
    assert.deepEqual(asked(), [200, 204])
    await page.leave()
  })

  test(`${where}: streams that end all the time lose and double nothing`, async () => {
    const page = await visit(origin || restless.url)
    const asked = restless.watch(TASK)
    const id = await restless.tell(60, 0.04)
    const w = await open(page, `${restless.url}/api/tasks/${id}/events`)
    await w.closed(60)
    await quiet()
    const seen = await w.seen()
    assertWhole(seen, id, 60)
    const reasons = ends(seen)
    assert.ok(reasons.length > 3, `${reasons}`)
    assert.equal(reasons.pop(), 'finished')
    assert.equal(await w.opened(), reasons.length + 1)
    assert.deepEqual(asked(), [...reasons.map(() => 200), 200, 204])
    await page.leave()
  })

  test(`${where}: a stream that is cut off goes on, also where nobody was there for a while`, async () => {
    const page = await visit(origin || calm.url)
    const asked = calm.watch(TASK)
    const task = await calm.gated()
    const w = await open(page, `${calm.url}/api/tasks/${task.id}/events`)
    await until(async () => (await w.seen()).some(([, e]) => e.type === 'tell.it'))
    await calm.away(async () => {
      await calm.killWeb()
      await until(async () => ends(await w.seen()).includes('overloaded'), 20, 'it is told to come back')
    })
    await until(async () => resumed(await w.seen()), 20, 'it comes back')
    task.open()
    await w.closed()
    await quiet()
    assertWhole(await w.seen(), task.id, 2)
    assert.deepEqual(asked(), [200, 200, 204])
    await page.leave()
  })

  test(`${where}: follows a group`, async () => {
    const page = await visit(origin || restless.url)
    const asked = restless.watch(GROUP)
    const group = `browser ${where}`
    const w = await open(page, `${restless.url}/api/groups/${encodeURIComponent(group)}/events`)
    await until(async () => (await w.seen()).length)
    const ids = [await restless.tell(20, 0.05, { group }), await restless.tell(20, 0.03, { group })]
    await until(async () => (await w.seen()).filter(([, e]) => e.payload.to === 'completed' && e.task_id).length === 2)
    await until(async () => ends(await w.seen()).length >= 2)
    await w.close()
    const seen = await w.seen()
    for (const id of ids) assertWhole(seen, id, 20)
    const count = asked().length
    await quiet()
    assert.equal(asked().length, count, 'once it is closed it asks no more')
    await page.leave()
  })

  test(`${where}: a ticket in the query is enough`, async () => {
    const { task_id: id } = await calm.alice('POST', '/api/tasks', { type: 'tell', input: '3 0.02\n' })
    const page = await visit(origin || calm.url)
    const asked = calm.watch(TASK)
    const without = await open(page, `${calm.url}/api/tasks/${id}/events`)
    await without.closed()
    const { url } = await calm.alice('POST', '/api/tickets', { task: id, ttl: 60 })
    const w = await open(page, calm.url + url)
    await w.closed()
    await quiet()
    assertWhole(await w.seen(), id, 3)
    assert.deepEqual(asked(), [404, 200, 204])
    await page.leave()
  })
}

test('a page of the site: a ticket as a cookie that no script sees', async () => {
  const { task_id: id } = await calm.alice('POST', '/api/tasks', { type: 'tell', input: '3 0.02\n' })
  const page = await visit(calm.url)
  const { url } = await page.evaluate(async ([id, token]) => {
    const r = await fetch('/api/tickets?cookie=1', {
      method: 'POST', headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }, body: JSON.stringify({ task: id })
    })
    return r.json()
  }, [id, calm.token])
  assert.equal(url, `/api/tasks/${id}/events`)
  assert.equal(await page.evaluate(() => document.cookie), '')
  const w = await open(page, url)
  await w.closed()
  assertWhole(await w.seen(), id, 3)
  await page.leave()
})

test('a page of the site: a URL that asks, asks once', async () => {
  const page = await visit(restless.url)
  const asked = restless.watch(RUN)
  const group = 'browser run'
  const w = await open(page, `/api/run/tell?input=${encodeURIComponent('40 0.04\n')}&group=${encodeURIComponent(group)}`)
  await w.closed(60)
  await quiet()
  const { tasks } = await restless.ask('GET', `/api/tasks?group=${encodeURIComponent(group)}`)
  assert.equal(tasks.length, 1)
  const seen = await w.seen()
  assertWhole(seen, tasks[0].id, 40)
  assert.ok(ends(seen).length > 2 && finished(seen), `${ends(seen)}`)
  assert.deepEqual(asked(), [...ends(seen).map(() => 200), 204])
  await page.leave()
})

test('a page of the site: one POST submits and watches', async () => {
  const page = await visit(calm.url)
  const text = await page.evaluate(async () => {
    const r = await fetch('/api/tasks?type=tell', { method: 'POST', headers: { Accept: 'text/event-stream' }, body: '2 0\n' })
    return `${r.redirected} ${await r.text()}`
  })
  assert.match(text, /^false retry: [\s\S]*"stream\.end"/)
  await page.leave()
})

test('a page of another origin gets nothing', async () => {
  const page = await visit(FOREIGN)
  const id = await calm.tell(1, 0)
  const { tasks: tasksBefore } = await calm.ask('GET', '/api/tasks?page_size=200')
  const asked = calm.watch(TASK)
  for (const path of [`/api/tasks/${id}/events`, `/api/tasks/${id}/events?x`]) {
    const w = await open(page, calm.url + path)
    await w.closed()
    assert.deepEqual(await w.seen(), [])
    assert.equal(await w.opened(), 0)
  }
  const run = await open(page, `${calm.url}/api/run/tell?input=1`)
  await run.closed()
  const attempts = await page.evaluate(async ([base, id]) => {
    const attempt = (path, options) => fetch(base + path, options).then(r => `answered ${r.status}`, e => e.name)
    return [
      await attempt(`/api/tasks/${id}`),
      await attempt('/api/tasks', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"type":"tell","input":"1"}' }),
      await attempt('/api/tasks?type=tell', { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: '1' }), // no preflight
      await attempt(`/api/tasks/${id}`, { method: 'DELETE' })
    ]
  }, [calm.url, id])
  assert.deepEqual(attempts, ['TypeError', 'TypeError', 'TypeError', 'TypeError'])
  // a form needs no leave to be sent, nor does an image
  await page.evaluate(base => new Promise(resolve => {
    const image = new Image()
    image.onerror = image.onload = resolve
    image.src = `${base}/api/run/tell?input=1`
  }), calm.url)
  await page.setContent(`<form method="post" enctype="text/plain" action="${calm.url}/api/tasks?type=tell"><input name="a" value="1"></form>`)
  await Promise.all([page.waitForNavigation(), page.evaluate(() => document.forms[0].submit())])
  assert.match(await page.content(), /origin_not_allowed/)
  await quiet()
  assert.deepEqual([...new Set(asked())], [403], 'all of it is refused')
  const { tasks } = await calm.ask('GET', '/api/tasks?page_size=200')
  assert.deepEqual(tasks.map(t => t.id), tasksBefore.map(t => t.id), 'nothing was made or deleted')
  await page.leave()
})
