// EventSource of two npm packages, used as they are.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RUN, GROUP, TASK, assertIds, assertWhole, calm, ends, finished, load, quiet, restless, resumed, until } from './server.mjs'

process.emitWarning = () => {} // undici: EventSource is experimental

const CLOSED = 2
const clients = {
  eventsource: load('eventsource').EventSource,
  undici: load('undici').EventSource
}

// Opens it and gathers what comes: {source, seen, opened}.
function open(EventSource, url) {
  const w = { source: new EventSource(url), seen: [], opened: 0 }
  w.source.onopen = () => w.opened++
  w.source.onmessage = e => w.seen.push([e.lastEventId, JSON.parse(e.data)])
  w.source.onerror = () => {}
  w.closed = (seconds = 30) => until(() => w.source.readyState === CLOSED, seconds, 'it stops by itself')
  return w
}

for (const [name, EventSource] of Object.entries(clients)) {
  test(`${name}: follows a task to its end and stops by itself`, async () => {
    const asked = calm.watch(TASK)
    const task = await calm.gated()
    const w = open(EventSource, `${calm.url}/api/tasks/${task.id}/events`)
    await until(() => w.seen.some(([, e]) => e.type === 'tell.it'))
    assert.equal(w.source.readyState, 1)
    task.open()
    await w.closed()
    await quiet()
    assertWhole(w.seen, task.id, 2)
    assertIds(w.seen)
    assert.deepEqual(ends(w.seen), ['finished'])
    assert.deepEqual(asked(), [200, 204])
  })

  test(`${name}: a task that is over is told and left in the same two requests`, async () => {
    const id = await calm.tell(3, 0)
    await calm.ask('GET', `/api/tasks/${id}`, undefined, { Prefer: 'wait=20' })
    await until(async () => (await calm.ask('GET', `/api/tasks/${id}`)).status === 'completed')
    const asked = calm.watch(TASK)
    const w = open(EventSource, `${calm.url}/api/tasks/${id}/events`)
    await w.closed()
    await quiet()
    assertWhole(w.seen, id, 3)
    assert.deepEqual(asked(), [200, 204])
  })

  test(`${name}: streams that end all the time lose and double nothing`, async () => {
    const asked = restless.watch(TASK)
    const id = await restless.tell(60, 0.04)
    const w = open(EventSource, `${restless.url}/api/tasks/${id}/events`)
    await w.closed(60)
    await quiet()
    assertWhole(w.seen, id, 60)
    assertIds(w.seen)
    const reasons = ends(w.seen)
    assert.ok(reasons.length > 3, `${reasons}`)
    assert.equal(reasons.pop(), 'finished')
    assert.deepEqual([...new Set(reasons)], ['rotated'])
    assert.equal(w.opened, reasons.length + 1)
    assert.deepEqual(asked(), [...reasons.map(() => 200), 200, 204])
  })

  test(`${name}: a stream that is cut off goes on, also where nobody was there for a while`, async () => {
    const asked = calm.watch(TASK)
    const task = await calm.gated()
    const w = open(EventSource, `${calm.url}/api/tasks/${task.id}/events`)
    await until(() => w.seen.some(([, e]) => e.type === 'tell.it'))
    await calm.away(async () => {
      await calm.killWeb()
      await until(() => ends(w.seen).includes('overloaded'), 20, 'it is told to come back')
    })
    await until(() => resumed(w.seen), 20, 'it comes back')
    task.open()
    await w.closed()
    await quiet()
    assertWhole(w.seen, task.id, 2)
    assert.deepEqual(asked(), [200, 200, 204])
  })

  test(`${name}: follows a group from now on`, async () => {
    const group = `of ${name}/1`
    const asked = restless.watch(GROUP)
    const before = await restless.tell(1, 0, { group })
    await until(async () => (await restless.ask('GET', `/api/tasks/${before}`)).status === 'completed')
    const w = open(EventSource, `${restless.url}/api/groups/${encodeURIComponent(group)}/events`)
    await until(() => w.seen.length)
    assert.equal(w.seen[0][1].type, 'stream.connected')
    assert.equal(w.seen[0][1].payload.snapshot.counts.completed, 1)
    const ids = [await restless.tell(20, 0.05, { group }), await restless.tell(20, 0.03, { group })]
    await until(() => w.seen.filter(([, e]) => e.payload.to === 'completed' && ids.includes(e.task_id)).length === 2)
    await until(() => ends(w.seen).length >= 2)
    w.source.close()
    for (const id of ids) assertWhole(w.seen, id, 20)
    assert.deepEqual(w.seen.filter(([, e]) => e.task_id === before), [])
    const count = asked().length
    await quiet()
    assert.equal(asked().length, count, 'once it is closed it asks no more')
    assert.deepEqual([...new Set(asked())], [200])
  })

  test(`${name}: a ticket in the query is enough`, async () => {
    const { task_id: id } = await calm.alice('POST', '/api/tasks', { type: 'tell', input: '3 0.02\n' })
    const asked = calm.watch(TASK)
    const without = open(EventSource, `${calm.url}/api/tasks/${id}/events`)
    await without.closed()
    await quiet()
    assert.deepEqual(asked(), [404], 'without one there is nothing, and it asks once')
    const { url } = await calm.alice('POST', '/api/tickets', { task: id, ttl: 60 })
    const w = open(EventSource, calm.url + url)
    await w.closed()
    await quiet()
    assertWhole(w.seen, id, 3)
    assert.deepEqual(asked(), [404, 200, 204])
  })

  test(`${name}: a URL that asks, asks once`, async () => {
    const asked = restless.watch(RUN)
    const group = `run ${name}`
    const w = open(EventSource, `${restless.url}/api/run/tell?input=${encodeURIComponent('40 0.04\n')}&group=${encodeURIComponent(group)}`)
    await w.closed(60)
    await quiet()
    const { tasks } = await restless.ask('GET', `/api/tasks?group=${encodeURIComponent(group)}`)
    assert.equal(tasks.length, 1)
    assertWhole(w.seen, tasks[0].id, 40)
    assert.ok(ends(w.seen).length > 2, `${ends(w.seen)}`)
    assert.ok(finished(w.seen))
    assert.deepEqual(asked(), [...ends(w.seen).map(() => 200), 204])
  })
}
